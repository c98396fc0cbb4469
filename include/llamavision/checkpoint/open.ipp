// SPDX-License-Identifier: Apache-2.0
// Recognises the form of a checkpoint and calls that form's reader.
#pragma once

#include <llamavision/checkpoint/form/gguf/checkpoint.hpp>
#include <llamavision/checkpoint/form/hugging_face/checkpoint.hpp>
#include <llamavision/checkpoint/form/hugging_face/hub_cache.hpp>
#include <llamavision/checkpoint/form/meta/checkpoint.hpp>
#include <llamavision/checkpoint/open.hpp>
#include <llamavision/checkpoint/recognise.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/text_file.hpp>

#include <string>
#include <string_view>
#include <utility>

namespace llamavision::checkpoint {

namespace detail {

/// Advice for the user of a form that is not read.
[[nodiscard]] inline std::string_view advice(kind form) {
    switch (form) {
    case kind::adapter: return "open its base model, and give this as its adapter (load_options::adapter, --adapter)";
    case kind::pytorch: return "load it in transformers and save it again, which writes safetensors";
    default:
        return "these are read: Hugging Face's form (config.json, *.safetensors), Meta's (params.json, "
               "consolidated*.pth) "
               "and GGUF";
    }
}

inline void describe_into(description& d, std::filesystem::path const& given, faults mode, gguf_dialect dialect) {
    d.path = d.folder = given;
    attempt(mode, d.problems, [&] {
        auto const path = d.path = snapshot_of(given);
        d.folder = path.has_parent_path() ? path.parent_path() : ".";
        d.form = recognise(path);
        if (is_folder(path)) d.folder = path;
        switch (d.form) {
        case kind::hugging_face: return describe_hugging_face(d, mode);
        case kind::meta: return describe_meta(d, mode);
        case kind::gguf: return describe_gguf(d, mode, dialect);
        default:
            throw file_error(path.string() + ": is " + std::string(describe(d.form)) + "; "
                             + std::string(advice(d.form)));
        }
    });
}

} // namespace detail

LLAMAVISION_INLINE description read_description(std::filesystem::path const& path, faults mode, gguf_dialect dialect) {
    description result;
    detail::describe_into(result, path, mode, dialect);
    return result;
}

LLAMAVISION_INLINE opened open(description said, progress const& report, faults mode) {
    opened result;
    static_cast<description&>(result) = std::move(said);
    attempt(mode, result.problems, [&] {
        switch (result.form) {
        case kind::hugging_face: return map_hugging_face(result, report, mode);
        case kind::meta: return map_meta(result, report, mode);
        case kind::gguf: return map_gguf(result, report, mode);
        default: return; // an unknown form, whose fault was collected
        }
    });
    return result;
}

LLAMAVISION_INLINE opened open(std::filesystem::path const& path, progress const& report, faults mode,
                               gguf_dialect dialect) {
    return open(read_description(path, mode, dialect), report, mode);
}

} // namespace llamavision::checkpoint
