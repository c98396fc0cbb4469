// SPDX-License-Identifier: Apache-2.0
// Meta's own form: params.json, tokenizer.model, and consolidated.pth or consolidated.00.pth, consolidated.01.pth, …
#pragma once

#include <llamavision/checkpoint/container/pth.hpp>
#include <llamavision/checkpoint/description.hpp>
#include <llamavision/checkpoint/faults.hpp>
#include <llamavision/checkpoint/form/hugging_face/checkpoint.hpp>
#include <llamavision/checkpoint/form/hugging_face/preprocessor_config.hpp>
#include <llamavision/checkpoint/form/meta/fit.hpp>
#include <llamavision/checkpoint/form/meta/mapping.hpp>
#include <llamavision/checkpoint/form/meta/params.hpp>
#include <llamavision/checkpoint/form/meta/shards.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/listed.hpp>
#include <llamavision/support/progress.hpp>
#include <llamavision/support/text_file.hpp>

#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace llamavision::checkpoint {

/// The name of the file of a rank: "consolidated.07.pth".
[[nodiscard]] inline std::string meta_file_name(std::size_t number) {
    return "consolidated." + std::string(number < 10 ? "0" : "") + std::to_string(number) + ".pth";
}

namespace detail {

/// The number in "consolidated.07.pth"; empty for other names.
[[nodiscard]] inline std::optional<std::size_t> shard_number(std::string_view name) {
    constexpr std::string_view begin = "consolidated.", end = ".pth";
    if (!name.starts_with(begin) || !name.ends_with(end) || name.size() < begin.size() + end.size()) return {};
    name = name.substr(begin.size(), name.size() - begin.size() - end.size());
    if (name.empty() || name.size() > 4) return {};
    std::size_t number = 0;
    for (char const c : name) {
        if (c < '0' || c > '9') return {};
        number = number * 10 + static_cast<std::size_t>(c - '0');
    }
    return number;
}

/// The files of weights in `folder`, in the order of their ranks.
[[nodiscard]] inline weight_files find_meta_weights(std::filesystem::path const& folder) {
    weight_files result;
    std::map<std::size_t, std::filesystem::path> shards;
    std::error_code fault;
    std::filesystem::directory_iterator entry(folder, fault);
    for (; !fault && entry != std::filesystem::directory_iterator(); entry.increment(fault))
        if (auto const number = shard_number(entry->path().filename().string()))
            if (!shards.emplace(*number, entry->path()).second)
                throw file_error(folder.string() + ": holds two files numbered " + std::to_string(*number));
    if (fault) throw file_error(folder.string() + ": cannot be listed: " + fault.message());
    if (auto const single = folder / "consolidated.pth"; is_there(single)) {
        if (!shards.empty())
            throw file_error(folder.string() + ": holds both consolidated.pth and "
                             + shards.begin()->second.filename().string() + "; remove what is not of this model");
        result.files.push_back(single);
        return result;
    }
    if (shards.empty()) throw file_error(folder.string() + ": holds no consolidated.pth nor consolidated.00.pth");
    for (std::size_t i = 0; i <= shards.rbegin()->first; ++i) {
        if (auto const at = shards.find(i); at != shards.end())
            result.files.push_back(at->second);
        else
            result.missing.push_back(meta_file_name(i));
    }
    return result;
}

/// The tensors of the whole model under Meta's names, merged from all files.
[[nodiscard]] inline named_tensors read_meta_weights(weight_files const& weights) {
    std::vector<meta_shard> shards;
    for (auto const& file : weights.files) shards.push_back({file.string(), read_pth(file)});
    return merge_shards(std::move(shards));
}

/// Sets the defaults of Meta's generation.py. The ids that end an answer come from read_params.
inline void describe_meta_generation(description& d) {
    d.generation.do_sample = true;
    d.generation.temperature = 0.6;
    d.generation.top_p = 0.9;
    d.generation.stop_ids = d.model->stop_ids;
    d.generation.bos = d.model->bos;
    d.generation.pad = d.model->pad;
    auto const& vision = d.model->values.vision;
    if (!d.model->text_alone) d.pictures = published_preprocessor(vision.tile, vision.tiles);
}

/// Whether this is the folder `original/` that holds Meta's files in a download from Hugging Face.
[[nodiscard]] inline bool is_original(std::filesystem::path const& folder) {
    return (folder / "x").lexically_normal().parent_path().filename() == "original";
}

inline void find_meta_tokenizer(description& d) {
    auto const above = is_original(d.folder) ? d.folder / ".." : d.folder;
    if (auto const file = d.folder / "tokenizer.model"; has_entry(file))
        d.tokenizer_model = file;
    else if (auto const other = above / "tokenizer.json"; has_entry(other))
        d.tokenizer_json = other;
}

} // namespace detail

/// Reads params.json and the weights' lists of tensors into `d`. d.path is a folder, a folder that contains
/// `original/`, or one file of weights.
/// @throws file_error, format_error and mismatch_error; with faults::collected, their messages are in `problems`
///         instead
inline void describe_meta(description& d, faults mode) {
    auto const step = [&](auto const& f) { attempt(mode, d.problems, f); };
    if (!is_there(d.folder / "params.json") && is_there(d.folder / "original" / "params.json")) d.folder /= "original";
    step([&] { d.model = read_params(d.folder / "params.json"); });
    step([&] {
        auto const name = d.path.filename().string();
        if (is_folder(d.path) || name == "consolidated.pth" || detail::shard_number(name))
            d.weights = detail::find_meta_weights(d.folder);
        else
            d.weights.files = {d.path};
    });
    step([&] {
        if (!d.weights.missing.empty())
            throw file_error(d.folder.string() + ": holds " + d.weights.files.back().filename().string() + ", but not "
                             + listed(d.weights.missing));
    });
    bool const complete = !d.weights.files.empty() && d.weights.missing.empty();
    if (d.model && complete)
        step([&] {
            d.meta_tensors = std::make_shared<named_tensors const>(detail::read_meta_weights(d.weights));
            fit_to_tensors(*d.model, *d.meta_tensors, d.weights.files.size(), d.folder.string());
        });
    if (d.model) {
        d.warnings = d.model->warnings;
        detail::describe_meta_generation(d);
    }
    detail::find_meta_tokenizer(d);
}

/// Converts the tensors that `describe_meta` read to Hugging Face's names and layouts. `report` counts files.
inline void map_meta(opened& o, progress const& report, faults mode) {
    if (!o.model || !o.meta_tensors) return;                      // nothing could be read, and the fault was collected
    if (mode == faults::collected && !o.problems.empty()) return; // the tensors would cause the same faults again
    o.tensors = meta_to_hugging_face(*o.meta_tensors, o.model->values);
    if (!o.model->text_alone) o.spare = spare_cells(*o.meta_tensors, o.model->values.vision);
    if (report) report(o.weights.files.size(), o.weights.files.size());
    attempt(mode, o.problems, [&] { detail::check_types(o.tensors, o.path.string()); });
}

} // namespace llamavision::checkpoint
