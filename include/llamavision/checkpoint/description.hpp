// SPDX-License-Identifier: Apache-2.0
// What is known of a checkpoint of any form before its weights are used.
#pragma once

#include <llamavision/checkpoint/kind.hpp>
#include <llamavision/checkpoint/model_config.hpp>
#include <llamavision/checkpoint/tensor.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace llamavision::checkpoint {

/// A Jinja template, and the file that it stands in; both empty if the folder has none.
struct chat_template {
    std::string text;
    std::filesystem::path file;
};

/// Defaults of transformers where a file is silent: greedy. (transformers 4.x samples with top_k = 50 where the file
/// names none, 5.x without a limit; Meta has no top_k.)
struct generation_defaults {
    bool do_sample = false;
    double temperature = 1.0;         ///< >= 0
    double top_p = 1.0;               ///< in (0, 1]
    std::optional<std::size_t> top_k; ///< >= 1
    double repetition_penalty = 1.0;  ///< > 0; 1 changes nothing
    std::vector<std::int32_t> stop_ids;
    std::optional<std::int32_t> bos, pad;
};

/// Absent keys mean the defaults of transformers' MllamaImageProcessor, which are not the real models' values.
struct preprocessor {
    std::size_t tile = 224; ///< pixels along a tile's side
    std::size_t tiles = 4;  ///< at most so many tiles
    std::array<double, 3> mean{0.5, 0.5, 0.5},
        deviation{0.5, 0.5, 0.5}; ///< value = (level * rescale - mean) / deviation
    double rescale = 1.0 / 255.0;
};

/// The files that hold a model's tensors.
struct weight_files {
    std::vector<std::filesystem::path> files;   ///< in the order of their names
    std::vector<std::string> missing;           ///< files that the index names and that are not there
    std::filesystem::path index;                ///< empty for a single file
    std::map<std::string, std::string> located; ///< tensor to file name, as the index says; empty for a single file
};

/// A tokenizer that lies in the weights' file: the text of a tokenizer file, or GGUF's lists; neither if there is none.
struct embedded_tokenizer {
    std::string text;                ///< a whole tokenizer.json or tokenizer.model
    std::vector<std::string> tokens; ///< in GPT-2's byte alphabet, by id
    std::vector<std::size_t> types;  ///< as many: 1 ordinary, 3 and 4 special, 5 unused; or none
    std::string file;                ///< for errors
};

struct gguf_files;

/// What a checkpoint says about its model, without its tensors.
struct description {
    std::filesystem::path path;   ///< as given: a folder, or a file
    std::filesystem::path folder; ///< where the small files are
    kind form = kind::unknown;
    std::optional<model_config> model; ///< always there unless faults were collected
    generation_defaults generation;    ///< stop ids, bos and pad are config.json's where the file names none
    preprocessor pictures;
    chat_template chat;
    std::filesystem::path tokenizer_json, tokenizer_model; ///< empty if not there
    embedded_tokenizer tokenizer;                          ///< goes before the files
    std::string dialect;                                   ///< of GGUF: form/gguf/dialect.hpp's name of it
    weight_files weights;
    std::vector<std::string> warnings; ///< runs, but perhaps not as expected
    std::vector<std::string> problems; ///< with faults::collected: everything that would have been thrown

    // Lists of tensors that had to be read for the above. `open` goes on from them instead of reading them again.
    std::shared_ptr<named_tensors const> meta_tensors; ///< of Meta's form: under Meta's names, merged from all files
    std::shared_ptr<gguf_files const> gguf;            ///< of GGUF: the files' keys and tensors
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
