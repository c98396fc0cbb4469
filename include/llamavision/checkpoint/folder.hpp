// SPDX-License-Identifier: Apache-2.0
// A Hugging Face checkpoint as one value: what its JSON files say, and its tensors.
#pragma once

#include <llamavision/checkpoint/chat_template.hpp>
#include <llamavision/checkpoint/faults.hpp>
#include <llamavision/checkpoint/generation.hpp>
#include <llamavision/checkpoint/kind.hpp>
#include <llamavision/checkpoint/preprocessor.hpp>
#include <llamavision/checkpoint/shards.hpp>
#include <llamavision/checkpoint/tensor.hpp>
#include <llamavision/config/read.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/progress.hpp>
#include <llamavision/support/quoted.hpp>
#include <llamavision/support/text_file.hpp>

#include <filesystem>
#include <initializer_list>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace llamavision::checkpoint {

/// What a folder says about its model, without its tensors.
struct description {
    std::filesystem::path path;   ///< as given: a folder, or one *.safetensors file in it
    std::filesystem::path folder; ///< where the JSON files are
    kind form = kind::unknown;
    std::optional<config::read_result> model; ///< always there unless faults were collected
    generation_defaults generation;           ///< stop ids, bos and pad are config.json's where the file names none
    preprocessor pictures;
    chat_template chat;
    std::filesystem::path tokenizer_json, tokenizer_model; ///< empty if not there
    weight_files weights;
    std::vector<std::string> warnings; ///< runs, but perhaps not as expected
    std::vector<std::string> problems; ///< with faults::collected: everything that would have been thrown
};

/// A description and the tensors, which view files that stay mapped as long as `tensors` lives.
struct hf_folder : description {
    named_tensors tensors; ///< under canonical names
};

namespace detail {

/// Settles where the files are, or says which form of checkpoint this is instead.
inline void locate(description& d, std::filesystem::path const& path) {
    d.path = path;
    d.form = recognise(path);
    d.folder = is_folder(path) ? path : path.has_parent_path() ? path.parent_path() : ".";
    if (d.form != kind::hugging_face)
        throw file_error(path.string() + ": is " + std::string(describe(d.form))
                         + "; this build reads Hugging Face folders (config.json, *.safetensors)");
}

inline void read_generation_into(description& d) {
    if (auto const file = d.folder / "generation_config.json"; is_there(file)) d.generation = read_generation(file);
    if (!d.model) return;
    if (d.generation.stop_ids.empty()) d.generation.stop_ids = d.model->stop_ids;
    if (!d.generation.bos) d.generation.bos = d.model->bos;
    if (!d.generation.pad) d.generation.pad = d.model->pad;
    if (d.generation.stop_ids.empty())
        d.warnings.push_back(d.folder.string() + ": no file names an eos_token_id, so answers end only at their limit");
}

inline void read_pictures_into(description& d) {
    auto const found = find_preprocessor(d.folder);
    if (found) d.pictures = *found;
    if (!d.model) return;
    auto const& vision = d.model->values.vision;
    if (!found) {
        d.pictures = published_preprocessor(vision.tile, vision.tiles);
        d.warnings.push_back(d.folder.string()
                             + ": has no preprocessor_config.json; pictures are prepared as for the "
                               "published models");
    }
    if (d.pictures.tile != vision.tile || d.pictures.tiles != vision.tiles)
        throw mismatch_error(d.folder.string() + ": the image processor makes up to " + std::to_string(d.pictures.tiles)
                             + " tiles of " + std::to_string(d.pictures.tile) + " pixels, but config.json says "
                             + std::to_string(vision.tiles) + " of " + std::to_string(vision.tile));
}

inline void find_tokenizer(description& d) {
    auto const first_of = [&d](std::initializer_list<char const*> names) -> std::filesystem::path {
        for (char const* const name : names)
            if (is_there(d.folder / name)) return d.folder / name;
        return {};
    };
    d.tokenizer_json = first_of({"tokenizer.json"});
    d.tokenizer_model = first_of({"tokenizer.model", "original/tokenizer.model"});
}

inline void find_weights_into(description& d) {
    d.weights = find_weights(d.path);
    if (!is_folder(d.path) && d.path.filename() != "model.safetensors"
        && is_there(d.folder / "model.safetensors.index.json"))
        d.warnings.push_back(d.path.string() + ": is one of several files of its folder; open the folder");
}

/// Weights are real numbers; integers and 8-bit floats come from quantised derivatives.
inline void check_types(named_tensors const& tensors, std::string const& path) {
    std::vector<std::string> strange;
    for (auto const& [name, value] : tensors.tensors)
        if (value.type != dtype::f32 && value.type != dtype::f16 && value.type != dtype::bf16)
            strange.push_back(in_quotes(name) + " (" + std::string(name_of(value.type)) + ")");
    if (!strange.empty())
        throw mismatch_error(
            path + ": weights must be F32, F16 or BF16; quantised models are not supported: " + listed(strange));
}

inline void describe_into(description& d, std::filesystem::path const& path, faults mode) {
    auto const step = [&](auto const& f) { attempt(mode, d.problems, f); };
    step([&] { locate(d, path); });
    if (d.form != kind::hugging_face) return; // only with faults::collected
    step([&] {
        d.model = config::read(d.folder / "config.json");
        d.warnings = d.model->warnings;
    });
    step([&] { read_generation_into(d); });
    step([&] { read_pictures_into(d); });
    step([&] { d.chat = find_chat_template(d.folder); });
    step([&] { find_tokenizer(d); });
    step([&] { find_weights_into(d); });
    step([&] { check_presence(d.weights); });
}

} // namespace detail

/// Reads the JSON files at `path`: a folder, or a *.safetensors file whose folder holds them. Opens no weights, though
/// their files must be there. Throws file_error, format_error and mismatch_error, or lists their messages in
/// `problems`.
[[nodiscard]] inline description read_description(std::filesystem::path const& path, faults mode = faults::thrown) {
    description result;
    detail::describe_into(result, path, mode);
    return result;
}

/// The same with the tensors. `report` counts weight files.
[[nodiscard]] inline hf_folder open_folder(std::filesystem::path const& path, progress const& report = {},
                                           faults mode = faults::thrown) {
    hf_folder result;
    detail::describe_into(result, path, mode);
    if (result.weights.files.empty()) return result; // only with faults::collected
    result.tensors = read_weights(result.weights, report, mode, &result.problems);
    detail::attempt(mode, result.problems, [&] { detail::check_types(result.tensors, path.string()); });
    return result;
}

} // namespace llamavision::checkpoint
