// SPDX-License-Identifier: Apache-2.0
// What is known of a checkpoint, of whichever form, before its weights are used.
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

/// The text of a chat template (Jinja), and the file that holds it. Both are empty if the checkpoint has none.
struct template_source {
    std::string text;
    std::filesystem::path file;
    std::string for_tools{};                ///< another one, for conversations with tools; empty: there is none
    std::filesystem::path for_tools_file{}; ///< the file that holds it
    std::string fault{}; ///< a sentence if there are templates of which none can be chosen; else empty
    std::map<std::string, std::string> words{}; ///< special tokens that it may name: "bos_token" and others
    /// True if ollama's TEMPLATE layer writes what transformers' conversion script writes; the text does not count
    /// then.
    bool as_converter = false;
};

/// How answers are sampled and where they end. The initial values are transformers' defaults: greedy. (Where a file
/// does not name top_k, transformers 4.x takes 50, and 5.x no limit; Meta has no top_k.)
struct generation_defaults {
    bool do_sample = false;
    double temperature = 1.0;         ///< >= 0
    double top_p = 1.0;               ///< in [0, 1]; 0 keeps the most likely token
    std::optional<std::size_t> top_k; ///< >= 1
    double repetition_penalty = 1.0;  ///< > 0; 1 changes nothing
    std::vector<std::int32_t> stop_ids;
    std::optional<std::int32_t> bos, pad;
    std::vector<std::string> stop_strings; ///< texts that end an answer
    std::optional<std::size_t> max_tokens; ///< the longest answer
    std::optional<std::uint64_t> seed;     ///< of the draws
};

/// How a picture becomes tiles. The initial values are the defaults of transformers' MllamaImageProcessor, for keys
/// that a file lacks; the published models have others.
struct preprocessor {
    std::size_t tile = 224; ///< pixels along a tile's side
    std::size_t tiles = 4;  ///< the largest number of tiles
    std::array<double, 3> mean{0.5, 0.5, 0.5},
        deviation{0.5, 0.5, 0.5}; ///< value = (level * rescale - mean) / deviation
    double rescale = 1.0 / 255.0;
};

/// The files that hold a model's tensors.
struct weight_files {
    std::vector<std::filesystem::path> files;   ///< in the order of their names
    std::vector<std::string> missing;           ///< names of files that the index lists and that do not exist
    std::filesystem::path index;                ///< empty for a single file
    std::map<std::string, std::string> located; ///< from the index, tensor to file; empty for a single file
};

/// A tokenizer inside the file of weights: the text of a tokenizer file, or GGUF's lists. Both are empty if there is
/// none.
struct embedded_tokenizer {
    std::string text;                ///< a whole tokenizer.json or tokenizer.model
    std::vector<std::string> tokens; ///< in GPT-2's byte alphabet, by id
    std::vector<std::size_t> types;  ///< the type of each token: 1 ordinary, 3 and 4 special, 5 unused; or empty
    std::vector<std::string> merges; ///< pairs of tokens that are joined, "left right"; or empty
    std::string file;                ///< for errors
};

struct gguf_files;

/// What a checkpoint says about its model, without its tensors.
struct description {
    std::filesystem::path path;   ///< as given: a folder, or a file
    std::filesystem::path folder; ///< the folder of config.json and the other small files
    kind form = kind::unknown;
    std::optional<model_config> model; ///< empty only if faults were collected
    generation_defaults generation;    ///< of config.json where generation_config.json lacks them: stop_ids, bos, pad
    preprocessor pictures;
    template_source chat;
    std::string system;                                    ///< ollama alone: the system prompt where none is given
    std::filesystem::path tokenizer_json, tokenizer_model; ///< empty if there is no such file
    embedded_tokenizer tokenizer;                          ///< takes precedence over the two files above
    std::string dialect;                                   ///< GGUF alone: name_of(gguf_dialect)
    weight_files weights;
    std::vector<std::string> warnings; ///< the model runs, but perhaps not as expected
    std::vector<std::string> problems; ///< with faults::collected: the messages of all errors

    // Lists of tensors that were read for the members above. `open` uses them, so that no list is read twice.
    std::shared_ptr<named_tensors const> meta_tensors; ///< Meta's form alone: under Meta's names, merged from all files
    std::shared_ptr<gguf_files const> gguf;            ///< GGUF alone: keys and tensors of the files
};

/// A description and the tensors. The tensors view mapped files, which stay mapped as long as `tensors` lives.
struct opened : description {
    named_tensors tensors; ///< of every form under Hugging Face's names and with Hugging Face's order of rows
    named_tensors spare;   ///< Meta's form alone: cells of tile tables that Hugging Face's form cannot hold and no
                           ///< computation reads
};

/// The file of a converted Hugging Face folder that holds `opened::spare`, so that converting back to Meta's form gives
/// the same bytes. It lies in a subfolder, since readers of the form take every safetensors file beside config.json for
/// weights.
inline constexpr char const* spare_cells_file = "original/spare_tile_cells.safetensors";

} // namespace llamavision::checkpoint
