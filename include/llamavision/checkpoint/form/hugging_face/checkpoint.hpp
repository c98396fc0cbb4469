// SPDX-License-Identifier: Apache-2.0
// Hugging Face's form: reads its JSON files, and maps its safetensors.
#pragma once

#include <llamavision/checkpoint/container/safetensors.hpp>
#include <llamavision/checkpoint/description.hpp>
#include <llamavision/checkpoint/encoding/quantised/join.hpp>
#include <llamavision/checkpoint/faults.hpp>
#include <llamavision/checkpoint/form/hugging_face/chat_template.hpp>
#include <llamavision/checkpoint/form/hugging_face/config.hpp>
#include <llamavision/checkpoint/form/hugging_face/generation_config.hpp>
#include <llamavision/checkpoint/form/hugging_face/names.hpp>
#include <llamavision/checkpoint/form/hugging_face/patches.hpp>
#include <llamavision/checkpoint/form/hugging_face/preprocessor_config.hpp>
#include <llamavision/checkpoint/form/hugging_face/quantisation.hpp>
#include <llamavision/checkpoint/form/hugging_face/shards.hpp>
#include <llamavision/checkpoint/tied_head.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/listed.hpp>
#include <llamavision/support/progress.hpp>
#include <llamavision/support/quoted.hpp>
#include <llamavision/support/text_file.hpp>

#include <filesystem>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace llamavision::checkpoint {

namespace detail {

inline void read_generation_into(description& d) {
    if (auto const file = d.folder / "generation_config.json"; has_entry(file))
        d.generation = read_generation(file, d.warnings);
    if (!d.model) return;
    if (d.generation.stop_ids.empty()) d.generation.stop_ids = d.model->stop_ids;
    if (!d.generation.bos) d.generation.bos = d.model->bos;
    if (!d.generation.pad) d.generation.pad = d.model->pad;
    if (d.generation.stop_ids.empty())
        d.warnings.push_back(d.folder.string() + ": no file names an eos_token_id, so answers end only at their limit");
}

/// Checks that pictures are cut into the tiles that the tower takes.
/// @throws mismatch_error
inline void check_tiles(preprocessor const& p, config::vision_numbers const& v, std::string const& where) {
    if (p.tile != v.tile || p.tiles != v.tiles)
        throw mismatch_error(where + ": the image processor makes up to " + std::to_string(p.tiles) + " tiles of "
                             + std::to_string(p.tile) + " pixels, but config.json says " + std::to_string(v.tiles)
                             + " of " + std::to_string(v.tile));
}

inline void read_pictures_into(description& d) {
    auto const found = find_preprocessor(d.folder);
    if (found) d.pictures = *found;
    if (!d.model || d.model->text_alone) return;
    auto const& vision = d.model->values.vision;
    if (!found) {
        d.pictures = published_preprocessor(vision.tile, vision.tiles);
        d.warnings.push_back(d.folder.string()
                             + ": has no preprocessor_config.json; pictures are prepared as for the "
                               "published models");
    }
    check_tiles(d.pictures, vision, d.folder.string());
}

inline void find_tokenizer(description& d) {
    auto const first_of = [&d](std::initializer_list<char const*> names) -> std::filesystem::path {
        for (char const* const name : names)
            if (has_entry(d.folder / name)) return d.folder / name;
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

/// Checks that all tensors are F32, F16 or BF16: what no scheme of quantisation has claimed.
/// @throws mismatch_error that names the others
inline void check_types(named_tensors const& tensors, std::string const& path) {
    std::vector<std::string> strange;
    for (auto const& [name, value] : tensors.tensors)
        if (!is_plain_weight(value.type))
            strange.push_back(in_quotes(name) + " (" + std::string(name_of(value.type)) + ")");
    if (!strange.empty())
        throw mismatch_error(
            path + ": weights must be F32, F16 or BF16, or of a known format of quantised weights: " + listed(strange));
}

[[nodiscard]] inline bool has_no_quantised(named_tensors const& tensors) {
    for (auto const& [name, value] : tensors.tensors)
        if (value.stored || !is_plain_weight(value.type)) return false;
    return true;
}

/// Adds a warning for Llama Guard 3. It has the same numbers as an assistant but another purpose, which only its chat
/// template shows.
inline void warn_of_guard(description& d) {
    if (d.chat.text.find("unsafe content") == std::string::npos
        && d.chat.text.find("UNSAFE CONTENT") == std::string::npos)
        return;
    d.warnings.push_back(d.folder.string()
                         + ": is a Llama Guard, which judges whether a conversation is safe, and does not converse; "
                           "its chat template (in "
                         + d.chat.file.filename().string() + ") makes a question to it of what it is asked");
}

} // namespace detail

/// Reads the JSON files of d.folder into `d`, and finds the files of weights at d.path.
/// @throws file_error, format_error and mismatch_error; with faults::collected, their messages are in `problems`
///         instead
inline void describe_hugging_face(description& d, faults mode) {
    auto const step = [&](auto const& f) { attempt(mode, d.problems, f); };
    step([&] {
        d.model = read_config(d.folder / "config.json");
        d.warnings = d.model->warnings;
        read_quantisation_beside(d.folder, *d.model);
    });
    step([&] { detail::read_generation_into(d); });
    step([&] { detail::read_pictures_into(d); });
    step([&] {
        d.chat = find_chat_template(d.folder, &d.warnings);
        detail::warn_of_guard(d);
    });
    step([&] { detail::find_tokenizer(d); });
    step([&] { detail::find_weights_into(d); });
    step([&] { detail::check_presence(d.weights); });
}

/// Maps the weights that `describe_hugging_face` found. `report` counts files.
inline void map_hugging_face(opened& o, progress const& report, faults mode) {
    if (o.weights.files.empty()) return; // no weights were found, and the fault was collected
    auto const kind = o.model ? o.model->values.kind : config::family::mllama;
    o.tensors = read_weights(o.weights, report, mode, &o.problems, kind);
    attempt(mode, o.problems, [&] {
        o.tensors =
            join_quantised(std::move(o.tensors), o.model ? &*o.model : nullptr, o.path.string(), mode, o.problems);
    });
    if (o.model && o.model->quantisation && detail::has_no_quantised(o.tensors))
        o.warnings.push_back(o.path.string() + ": " + o.model->quantisation->file
                             + " says that weights are quantised, but none is");
    if (o.model) bring_patches_to_pytorch(o.tensors, o.model->values.vision);
    if (o.model && o.model->values.text.tied_head)
        attempt(mode, o.problems, [&] { drop_tied_head(o.tensors, o.path.string()); });
    if (auto const file = o.folder / spare_cells_file; has_entry(file))
        attempt(mode, o.problems, [&] { o.spare = read_safetensors(file); });
    attempt(mode, o.problems, [&] { detail::check_types(o.tensors, o.path.string()); });
    bool const whole = is_folder(o.path) && o.weights.missing.empty();
    if (whole && o.model && !o.model->text_alone && is_text_alone(o.tensors))
        o.warnings.push_back(o.path.string()
                             + ": holds the text model alone, though config.json describes a vision tower; it answers "
                               "texts, and sees no pictures");
}

} // namespace llamavision::checkpoint
