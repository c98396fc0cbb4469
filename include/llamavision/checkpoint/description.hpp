// SPDX-License-Identifier: Apache-2.0
// What is known of a checkpoint of any form before its weights are used.
#pragma once

#include <llamavision/checkpoint/chat_template.hpp>
#include <llamavision/checkpoint/generation.hpp>
#include <llamavision/checkpoint/kind.hpp>
#include <llamavision/checkpoint/preprocessor.hpp>
#include <llamavision/checkpoint/shards.hpp>
#include <llamavision/checkpoint/tensor.hpp>
#include <llamavision/config/read.hpp>

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace llamavision::checkpoint {

/// A tokenizer that lies in the weights' file: the text of a tokenizer file, or GGUF's lists; neither if there is none.
struct embedded_words {
    std::string text;                ///< a whole tokenizer.json or tokenizer.model
    std::vector<std::string> tokens; ///< in GPT-2's byte alphabet, by id
    std::vector<std::size_t> types;  ///< as many: 1 ordinary, 3 and 4 special, 5 unused; or none
    std::string file;                ///< for errors
};

/// What a checkpoint says about its model, without its tensors.
struct description {
    std::filesystem::path path;   ///< as given: a folder, or a file
    std::filesystem::path folder; ///< where the small files are
    kind form = kind::unknown;
    std::optional<config::read_result> model; ///< always there unless faults were collected
    generation_defaults generation;           ///< stop ids, bos and pad are config.json's where the file names none
    preprocessor pictures;
    chat_template chat;
    std::filesystem::path tokenizer_json, tokenizer_model; ///< empty if not there
    embedded_words words;                                  ///< goes before the files
    std::string dialect;                                   ///< of GGUF: gguf_dialect.hpp's name of it
    weight_files weights;
    std::vector<std::string> warnings; ///< runs, but perhaps not as expected
    std::vector<std::string> problems; ///< with faults::collected: everything that would have been thrown
};

/// A description and the tensors, which view files that stay mapped as long as `tensors` lives.
struct opened : description {
    named_tensors tensors; ///< under Hugging Face's names, in Hugging Face's order of rows, whatever the form
    named_tensors spare;   ///< of Meta's form: what Hugging Face's has no place for (spare_cells); nothing uses it
};

/// Where a Hugging Face folder that was converted from Meta's form keeps `opened::spare`, so that the way back gives
/// the same bytes. Readers of the form look for weights beside config.json only.
inline constexpr char const* spare_cells_file = "original/spare_tile_cells.safetensors";

} // namespace llamavision::checkpoint
