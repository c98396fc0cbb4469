// SPDX-License-Identifier: Apache-2.0
// The commands: the options of each, which main.cpp fills from the command line, and its function. Every function
// returns the program's exit status, and throws errors that end the command.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace program {

/// What weights are kept in while the model runs: "stored", "bf16", "i8", "q8", "q4".
struct format_settings {
    std::string text = "stored", vision = "stored";
};

/// Which model, and how it is loaded.
struct model_settings {
    std::string model;                ///< a checkpoint; empty: the bundled model
    std::string adapter;              ///< a LoRA adapter's folder; empty: none
    std::string gguf = "auto";        ///< the dialect, of a GGUF file
    std::string format;               ///< how conversations are written; empty: as the checkpoint says
    std::string date;                 ///< the day that prompts name, "2024-07-26"; empty: today
    std::string resize = "pillow-12"; ///< or "pillow-13"
    format_settings formats;
    std::size_t threads = 0;               ///< 0: as many as this process may use
    std::string device = "cpu";            ///< or "cuda", "cuda:1"
    std::optional<std::size_t> gpu_layers; ///< of the text; all, if absent
    bool taps_after_layer = false;         ///< for weights fine-tuned with transformers 4.56 or later
    std::string packed;                    ///< a file for the weights as they are laid out; empty: none
    bool beyond_memory = false;            ///< load even what does not fit
};

/// How an answer is made, in `describe` and `chat`; what is absent is the checkpoint's.
struct answer_settings : model_settings {
    std::optional<std::string> system;
    std::string parity = "default";        ///< "meta", "hf", "default"
    std::optional<std::size_t> max_tokens; ///< absent: the checkpoint's, else 1024
    std::size_t context = 0;               ///< 0: the model's, at most 8192
    std::optional<double> temperature, top_p, repetition_penalty;
    std::optional<std::size_t> top_k;
    std::optional<std::uint64_t> seed;
    bool greedy = false;
    std::vector<std::string> stop;
    std::string image_cache;                       ///< a folder for encoded pictures; empty: none
    std::size_t image_cache_limit = 4'000'000'000; ///< bytes of its files
};

struct describe_options {
    answer_settings answers;
    std::vector<std::string> photos;
    std::vector<std::string> prompts; ///< none: "Describe this image."
    std::size_t batch = 1;            ///< questions that are answered together
    std::size_t frames = 0;           ///< pictures of each photo, an animation or a folder; 0: the first one of a file
    bool json = false;
};
int describe(describe_options const& options);

struct chat_options {
    answer_settings answers;
    std::vector<std::string> photos;
    std::size_t frames = 0; ///< as above
};
int chat(chat_options const& options);

struct inspect_options {
    std::string path;
    bool json = false;
    bool config_header = false;
    std::string gguf = "auto"; ///< the dialect, of a GGUF file
    std::size_t context = 0;   ///< of the conversation that is to fit; 0: the model's, at most 8192
};
int inspect(inspect_options const& options);

struct tokenize_options {
    std::string tokenizer;     ///< a tokenizer's file, or a checkpoint of any form; empty: the bundled model's
    std::string gguf = "auto"; ///< the dialect, of a GGUF file
    std::string format;        ///< of conversations: "meta", "hub", "hub-original", "converter"; empty: the folder's
    std::string date;          ///< the day that prompts name, "2024-07-26"; empty: today
    std::vector<std::string> texts;
    bool jsonl = false, decode = false, chat = false, bos = false, special = false;
};
int tokenize(tokenize_options const& options);

struct preprocess_options {
    std::string model;         ///< whose tile size and normalisation; empty: the bundled model
    std::string gguf = "auto"; ///< the dialect, of a GGUF file
    std::optional<std::size_t> tile_size, max_tiles;
    std::string exif = "apply";       ///< or "ignore"
    std::string alpha = "white";      ///< or "drop"
    std::string resize = "pillow-12"; ///< or "pillow-13"
    std::string out, png;
    bool json = false;
    std::vector<std::string> files;
};
int preprocess(preprocess_options const& options);

struct trace_options : model_settings {
    std::string parity = "default";
    std::string prompt;
    std::optional<std::string> tokens; ///< instead of the prompt: its ids, "1,2,3"
    std::string out;
    std::size_t max_tokens = 16;
    enum class source { picture, tiles };
    std::vector<std::pair<source, std::string>> images; ///< in the order in which the text shows them
};
int trace(trace_options const& options);

struct scene_options {
    std::uint64_t seed = 0;
    std::uint64_t count = 10;
    std::string out; ///< where the scenes go; empty: nowhere
    bool ask = false;
    std::size_t batch = 1;   ///< questions that are answered together
    answer_settings answers; ///< of the model that is asked
};
int scene(scene_options const& options);

struct convert_options {
    std::string source; ///< a checkpoint of any form
    std::string out;    ///< a folder, or a GGUF file
    std::string to;     ///< "huggingface", "meta", "gguf"
    std::string dtype;  ///< "f32", "f16", "bf16"; empty: as stored
    std::string shards; ///< a number of files, or a size; empty: 5 GB, for Meta's form 1
    std::string adapter;
    std::string gguf = "auto"; ///< the dialect, of a GGUF file
    std::string config;        ///< a config.json with the numbers that the source does not say
    bool base = false;         ///< a base model, without a format of conversations
    bool force = false;        ///< `out` may be there already
};
int convert(convert_options const& options);

struct quantize_options {
    std::string model;         ///< a checkpoint of any form; empty: the bundled model
    std::string gguf = "auto"; ///< the dialect, of a GGUF file
    std::string out;           ///< a GGUF file; empty: nothing is written
    format_settings formats;   ///< of the file, and of the model that the report asks
    std::string image;         ///< what the report asks about; empty: a drawn scene
    bool base = false;         ///< as of `convert`
    bool force = false;        ///< `out` may be there already
    bool report = false, json = false;
    std::size_t threads = 0;
};
int quantize(quantize_options const& options);

struct bench_options : model_settings {
    std::string config; ///< with `random`: a name, "11b", "11b-448" or "90b"
    bool random = false;
    bool json = false;
    std::vector<std::size_t> tiles;          ///< empty: 1, 2 and the most
    std::vector<std::size_t> prompts = {64}; ///< the answer is to the first
    std::size_t answer = 32, repeat = 1;
    std::size_t batch = 1; ///< conversations about the last picture that are answered together
    std::uint64_t seed = 1;
};
int bench(bench_options const& options);

struct architecture_options {
    std::string model;  ///< a folder
    std::string config; ///< or the name of a configuration
};
int architecture(architecture_options const& options);

} // namespace program
