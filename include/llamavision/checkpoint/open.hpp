// SPDX-License-Identifier: Apache-2.0
// A checkpoint of any form as one value: what its small files say, and its tensors under Hugging Face's names.
#pragma once

#include <llamavision/checkpoint/description.hpp>
#include <llamavision/checkpoint/faults.hpp>
#include <llamavision/checkpoint/gguf_checkpoint.hpp>
#include <llamavision/checkpoint/gguf_dialect.hpp>
#include <llamavision/checkpoint/hugging_face.hpp>
#include <llamavision/checkpoint/kind.hpp>
#include <llamavision/checkpoint/meta.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/progress.hpp>
#include <llamavision/support/text_file.hpp>

#include <filesystem>
#include <string>

namespace llamavision::checkpoint {

namespace detail {

inline void describe_into(description& d, std::filesystem::path const& path, faults mode, gguf_dialect dialect) {
    d.path = path;
    d.folder = path.has_parent_path() ? path.parent_path() : ".";
    attempt(mode, d.problems, [&] {
        d.form = recognise(path);
        if (is_folder(path)) d.folder = path;
        switch (d.form) {
        case kind::hugging_face: return describe_hugging_face(d, mode);
        case kind::meta: return describe_meta(d, mode);
        case kind::gguf: return describe_gguf(d, mode, dialect);
        default:
            throw file_error(path.string() + ": is " + std::string(describe(d.form))
                             + "; this build reads Hugging Face's form (config.json, *.safetensors), Meta's "
                               "(params.json, consolidated*.pth) and GGUF");
        }
    });
}

} // namespace detail

/// Reads what the checkpoint at `path` says of itself: a folder, or a file of weights beside its small files. Reads no
/// weights, though their files must be there (and Meta's form is told from their list of tensors). Throws file_error,
/// format_error and mismatch_error, or lists their messages in `problems`.
/// @param dialect of a GGUF that does not show its own
[[nodiscard]] inline description read_description(std::filesystem::path const& path, faults mode = faults::thrown,
                                                  gguf_dialect dialect = gguf_dialect::as_marked) {
    description result;
    detail::describe_into(result, path, mode, dialect);
    return result;
}

/// The same with the tensors. `report` counts weight files.
[[nodiscard]] inline opened open(std::filesystem::path const& path, progress const& report = {},
                                 faults mode = faults::thrown, gguf_dialect dialect = gguf_dialect::as_marked) {
    opened result;
    detail::describe_into(result, path, mode, dialect);
    detail::attempt(mode, result.problems, [&] {
        switch (result.form) {
        case kind::hugging_face: return map_hugging_face(result, report, mode);
        case kind::meta: return map_meta(result, report, mode);
        case kind::gguf: return map_gguf(result, report, mode, dialect);
        default: return; // only with faults::collected
        }
    });
    return result;
}

} // namespace llamavision::checkpoint
