// SPDX-License-Identifier: Apache-2.0
// Finds and reads a folder's weights: one model.safetensors, or shards with an index that says which file holds which
// tensor.
#pragma once

#include <llamavision/checkpoint/container/safetensors.hpp>
#include <llamavision/checkpoint/description.hpp>
#include <llamavision/checkpoint/faults.hpp>
#include <llamavision/checkpoint/form/hugging_face/names.hpp>
#include <llamavision/checkpoint/tensor.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/json.hpp>
#include <llamavision/support/json_view.hpp>
#include <llamavision/support/listed.hpp>
#include <llamavision/support/progress.hpp>
#include <llamavision/support/quoted.hpp>
#include <llamavision/support/text_file.hpp>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace llamavision::checkpoint {

namespace detail {

/// Whether `name` is a plain file name, which cannot lead out of its folder.
[[nodiscard]] inline bool stays_inside(std::string const& name) {
    return !name.empty() && name != "." && name != ".." && name.find_first_of("/\\:") == std::string::npos
           && name.find('\0') == std::string::npos;
}

} // namespace detail

/// The content of an index: tensor name to file name. `file` is the index's own name in errors.
/// @throws format_error if it is not an index, or names files outside of the folder
[[nodiscard]] inline std::map<std::string, std::string> read_weight_map(nlohmann::json const& document,
                                                                        std::string const& file) {
    std::map<std::string, std::string> result;
    for (auto const& [tensor, place] : json_view(document, file).at("weight_map").members()) {
        if (!detail::stays_inside(place.text())) place.fail("the name of a file in the same folder");
        result.emplace(tensor, place.text());
    }
    if (result.empty()) throw format_error(file + ": weight_map names no tensor");
    return result;
}

namespace detail {

/// The files that the index at `path` names, those that exist and those that do not.
[[nodiscard]] inline weight_files read_index(std::filesystem::path const& path) {
    weight_files result;
    result.index = path;
    result.located = read_weight_map(read_json(path), path.string());
    std::set<std::string> names;
    for (auto const& place : result.located) names.insert(place.second);
    for (std::string const& name : names) {
        auto file = path.parent_path() / name;
        if (is_there(file)) {
            result.files.push_back(std::move(file));
        } else {
            result.missing.push_back(name);
        }
    }
    return result;
}

/// The sorted names of the *.safetensors files in `folder`.
[[nodiscard]] inline std::vector<std::string> safetensors_in(std::filesystem::path const& folder) {
    std::vector<std::string> result;
    std::error_code fault;
    std::filesystem::directory_iterator entry(folder, fault);
    for (; !fault && entry != std::filesystem::directory_iterator(); entry.increment(fault))
        if (entry->path().extension() == ".safetensors") result.push_back(entry->path().filename().string());
    if (fault) throw file_error(folder.string() + ": cannot be listed: " + fault.message());
    std::sort(result.begin(), result.end());
    return result;
}

/// Checks that all files that the index names exist.
/// @throws file_error
inline void check_presence(weight_files const& weights) {
    if (!weights.missing.empty())
        throw file_error(weights.index.string() + ": " + std::to_string(weights.missing.size()) + " of the "
                         + std::to_string(weights.files.size() + weights.missing.size())
                         + " files that it names are missing: " + listed(weights.missing));
}

/// Compares the index with the tensors that were found, pairs of tensor and file. The index may name more tensors in
/// files that were not `read`.
/// @throws format_error if they differ
inline void check_index(weight_files const& weights, std::set<std::pair<std::string, std::string>> const& found,
                        std::set<std::string> const& read) {
    std::vector<std::string> lacking, unnamed;
    for (auto const& place : weights.located)
        if (read.contains(place.second) && !found.contains(place))
            lacking.push_back(in_quotes(place.first) + " in " + place.second);
    for (auto const& [name, file] : found)
        if (auto const place = weights.located.find(name); place == weights.located.end() || place->second != file)
            unnamed.push_back(in_quotes(name) + " in " + file);
    std::string message = weights.index.string() + ": ";
    if (!lacking.empty()) message += "names tensors that the files lack: " + listed(lacking);
    if (!lacking.empty() && !unnamed.empty()) message += "; ";
    if (!unnamed.empty()) message += "does not name tensors that the files hold: " + listed(unnamed);
    if (!lacking.empty() || !unnamed.empty()) throw format_error(message);
}

} // namespace detail

/// The files of weights at `path`, which is a folder or one *.safetensors file. Opens none of them.
/// @throws file_error if there are none, or shards without an index; format_error for a wrong index
[[nodiscard]] inline weight_files find_weights(std::filesystem::path const& path) {
    if (!is_folder(path)) return {{path}, {}, {}, {}};
    if (auto const single = path / "model.safetensors"; is_there(single)) return {{single}, {}, {}, {}};
    auto const index = path / "model.safetensors.index.json";
    if (!is_there(index)) {
        auto const found = detail::safetensors_in(path);
        for (std::string const& name : found)
            if (!is_there(path / name)) throw file_error(absence(path / name));
        if (found.empty())
            throw file_error(path.string() + ": holds no model.safetensors, nor shards with an index"
                             + (is_there(path / "original") ? "; Meta's files in original/ are another form" : ""));
        throw file_error(path.string() + ": holds " + listed(found)
                         + ", but neither model.safetensors nor the index"
                           " model.safetensors.index.json; fetch the index, or name one file");
    }
    return detail::read_index(index);
}

/// Maps the files and returns their tensors under canonical names. `report` counts files.
/// @throws file_error and format_error, also if the index and the files differ; with faults::collected, the messages
///         are added to `problems`, and the other files are read
[[nodiscard]] inline named_tensors read_weights(weight_files const& weights, progress const& report = {},
                                                faults mode = faults::thrown,
                                                std::vector<std::string>* problems = nullptr,
                                                config::family kind = config::family::mllama) {
    if (mode == faults::thrown) detail::check_presence(weights);
    std::vector<std::string> unwanted;
    auto& list = problems ? *problems : unwanted;
    named_tensors all;
    std::set<std::pair<std::string, std::string>> found; // tensor, file
    std::set<std::string> read;
    for (std::size_t i = 0; i < weights.files.size(); ++i) {
        if (report) report(i, weights.files.size());
        attempt(mode, list, [&] {
            auto part = read_safetensors(weights.files[i]);
            auto const file = weights.files[i].filename().string();
            read.insert(file);
            for (auto const& tensor : part.tensors) found.emplace(tensor.first, file);
            all.tensors.merge(part.tensors);
            all.owners.insert(all.owners.end(), part.owners.begin(), part.owners.end());
        });
    }
    if (!weights.index.empty()) attempt(mode, list, [&] { detail::check_index(weights, found, read); });
    std::string const where = weights.files.size() == 1 ? weights.files.front().string() : weights.index.string();
    attempt(mode, list, [&] { all = with_canonical_names(all, where, kind); });
    if (report) report(weights.files.size(), weights.files.size());
    return all;
}

} // namespace llamavision::checkpoint
