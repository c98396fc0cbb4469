// SPDX-License-Identifier: Apache-2.0
// Options of several commands, and checks of values that the parser does not make.
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <CLI/CLI.hpp>
#include <llamavision/checkpoint/form/gguf/dialect.hpp>
#include <llamavision/checkpoint/form/hugging_face/hub_cache.hpp>
#include <llamavision/checkpoint/recognise.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/tokens/chat.hpp>

#include "commands.hpp"
#include "console.hpp"

namespace program {

/// A list that takes one value each time that it is named, so that `--stop a photo.png` has a photo.
template <class T>
CLI::Option* add_list(CLI::App* app, std::string const& name, T& list, std::string const& text) {
    return app->add_option(name, list, text)->allow_extra_args(false);
}

/// For options whose text may not be empty, as it is when a shell's variable is not set.
inline CLI::Validator not_empty() {
    return {[](std::string const& word) { return std::string(word.empty() ? "may not be empty" : ""); }, ""};
}

/// A natural number; the parser alone would take -1 for a very large one.
template <class T>
CLI::Option* add_natural(CLI::App* app, std::string const& name, T& number, std::string const& text) {
    auto const check = [](std::string const& word) -> std::string {
        std::uint64_t value = 0;
        auto const [end, fault] = std::from_chars(word.data(), word.data() + word.size(), value);
        bool const natural = fault == std::errc() && end == word.data() + word.size();
        return natural ? "" : "\"" + word + "\" is no natural number below 2^64";
    };
    return app->add_option(name, number, text)->check(CLI::Validator(check, ""))->type_name("N");
}

/// A size such as 500MB.
inline CLI::Option* add_size(CLI::App* app, std::string const& name, std::size_t& bytes, std::string const& text) {
    auto const read = [&bytes](std::string const& word) -> std::string {
        auto const size = bytes_in(word);
        if (size) bytes = *size;
        return size ? "" : "\"" + word + "\" is no size such as 500MB or 4GB";
    };
    return app->add_option(name, text)->expected(1)->check(CLI::Validator(read, ""))->type_name("SIZE");
}

/// A real number that `fits`; `range` is a text that says which do.
template <class Fits>
CLI::Option* add_number(CLI::App* app, std::string const& name, std::optional<double>& number, std::string const& text,
                        std::string const& range, Fits fits) {
    auto const check = [=](std::string const& word) -> std::string {
        char* end = nullptr;
        double const value = std::strtod(word.c_str(), &end);
        bool const good = !word.empty() && *end == '\0' && std::isfinite(value) && fits(value);
        return good ? "" : "\"" + word + "\" is no number " + range;
    };
    return app->add_option(name, number, text)->check(CLI::Validator(check, ""));
}

inline void add_model(CLI::App* app, std::string& model) {
    app->add_option("--model", model,
                    "The checkpoint: a folder in Hugging Face's form or in Meta's, a GGUF file or a folder with model "
                    "and projector, or the manifest of an ollama model")
        ->check(not_empty())
        ->type_name("DIR|FILE");
}

inline void add_gguf(CLI::App* app, std::string& dialect) {
    std::vector<std::string> names;
    for (auto const& entry : llamavision::checkpoint::gguf_dialects) names.emplace_back(entry.second);
    app->add_option("--gguf-dialect", dialect,
                    "How a GGUF file was written, where it does not show: auto (default), llamavision, ollama (0.7.1 "
                    "and later), ollama-0.7.0, pair (model and projector of 0.4 to 0.6), pair-permuted (the same with "
                    "the q and k rows of cross-attention in rotary pairs), llama.cpp (text models)")
        ->check(CLI::IsMember(names))
        ->type_name("NAME");
}

/// Throws a usage error if a dialect is named for a checkpoint that is no GGUF file. If the checkpoint cannot be read,
/// the command itself reports that.
/// @param checkpoint empty: the bundled model
inline void check_gguf(std::string const& dialect, std::string const& checkpoint) {
    namespace cp = llamavision::checkpoint;
    if (dialect == "auto") return;
    try {
        if (!checkpoint.empty() && cp::recognise(cp::snapshot_of(checkpoint)) == cp::kind::gguf) return;
    } catch (llamavision::error const&) { return; }
    throw CLI::ValidationError("--gguf-dialect",
                               (checkpoint.empty() ? "the bundled model" : checkpoint) + " is no GGUF file");
}

inline void add_adapter(CLI::App* app, std::string& adapter) {
    app->add_option("--adapter", adapter, "Folder of a LoRA adapter (PEFT), merged into the weights")
        ->check(not_empty())
        ->type_name("DIR");
}

inline void add_resize(CLI::App* app, std::string& resize) {
    app->add_option(
           "--resize", resize,
           "Pictures are resized like Pillow's releases up to 12, with which the model was trained (pillow-12, "
           "default), or from 13.0.0 on (pillow-13): at most one level apart")
        ->check(CLI::IsMember({"pillow-12", "pillow-13"}))
        ->type_name("RELEASE");
}

inline void add_parity(CLI::App* app, std::string& parity) {
    app->add_option("--parity", parity,
                    "Whose reading of the model: meta (Meta's code exactly), hf (transformers up to 4.54 exactly), "
                    "default (Meta's, and the last image stays in sight)")
        ->check(CLI::IsMember({"meta", "hf", "default"}))
        ->type_name("MODE");
}

inline void add_chat_format(CLI::App* app, std::string& format) {
    std::vector<std::string> names;
    for (auto const& entry : llamavision::tokens::presets) names.emplace_back(entry.second);
    app->add_option("--format", format,
                    "How conversations are written; by default by the checkpoint's chat template, else meta. "
                    "base: a base model's prompt, without any frame")
        ->check(CLI::IsMember(names))
        ->type_name("NAME");
}

inline void add_date(CLI::App* app, std::string& date) {
    auto const check = [](std::string const& word) -> std::string {
        return llamavision::tokens::day_of(word) ? "" : "\"" + word + "\" is no day such as 2024-07-26";
    };
    app->add_option("--date", date, "The day that prompts name, where the chat template writes one; today by default")
        ->check(CLI::Validator(check, ""))
        ->type_name("YYYY-MM-DD");
}

inline void add_formats(CLI::App* app, format_settings& s) {
    app->add_option("--text", s.text,
                    "What the text's weights are kept in: stored (as in the checkpoint; exact), bf16, q8, q4 (smaller "
                    "and faster; activations are rounded, too)")
        ->check(CLI::IsMember({"stored", "bf16", "q8", "q4"}))
        ->type_name("FORMAT");
    app->add_option("--vision", s.vision, "The same for the vision tower: stored, bf16, i8, q8, q4")
        ->check(CLI::IsMember({"stored", "bf16", "i8", "q8", "q4"}))
        ->type_name("FORMAT");
}

inline void add_threads(CLI::App* app, std::size_t& threads) {
    app->add_option("--threads", threads,
                    "Threads; by default as many as this process may use: its affinity mask and CPU quota count")
        ->check(CLI::Range(1, 1024))
        ->type_name("N");
}

inline void add_device(CLI::App* app, std::string& device) {
    auto const check = [](std::string const& word) -> std::string {
        std::string_view rest = word;
        if (rest == "cpu" || rest == "cuda") return {};
        bool const numbered = rest.starts_with("cuda:") && rest.size() > 5 && rest.size() < 9;
        rest.remove_prefix(std::min<std::size_t>(rest.size(), 5));
        return numbered && rest.find_first_not_of("0123456789") == std::string_view::npos ? std::string()
                                                                                          : "cpu, cuda or cuda:N";
    };
    app->add_option("--device", device, "Where the model runs: cpu (default), cuda, or cuda:N for one of several GPUs")
        ->check(check)
        ->type_name("DEVICE");
}

inline void add_batch(CLI::App* app, std::size_t& batch) {
    app->add_option("--batch", batch,
                    "Answer so many questions together, a token of each whenever the weights are read; 1 by default")
        ->check(CLI::Range(1, 256))
        ->type_name("N");
}

/// Which model, and how it is loaded.
inline void add_loading(CLI::App* app, model_settings& s) {
    add_model(app, s.model);
    add_gguf(app, s.gguf);
    add_adapter(app, s.adapter);
    add_formats(app, s.formats);
    add_threads(app, s.threads);
    add_device(app, s.device);
    app->add_option("--gpu-layers", s.gpu_layers,
                    "With --device cuda: so many of the text's layers on the GPU, the products of the rest on the CPU")
        ->check(CLI::Range(0, 1000))
        ->type_name("N");
    app->add_flag("--taps-after-layer", s.taps_after_layer, "For weights fine-tuned with transformers 4.56 or later");
    app->add_option("--packed", s.packed,
                    "Keep the weights as they are laid out in this file, made where it is missing or made of others: "
                    "the next start lays out nothing")
        ->check(not_empty())
        ->type_name("FILE");
    app->add_flag("--beyond-memory", s.beyond_memory,
                  "Load even what does not fit into the memory that is left: weights in files (--packed) are read "
                  "again for every token");
}

/// Throws a usage error for settings that could have no effect.
inline void check_loading(model_settings const& s) {
    check_gguf(s.gguf, s.model);
    if (s.gpu_layers && s.device == "cpu") throw CLI::ValidationError("--gpu-layers", "needs --device cuda");
}

inline void add_answers(CLI::App* app, answer_settings& s) {
    add_loading(app, s);
    add_chat_format(app, s.format);
    add_date(app, s.date);
    app->add_option("--system", s.system, "System prompt; by default the checkpoint's (ollama); empty: none")
        ->type_name("TEXT");
    add_natural(
        app, "--max-tokens", s.max_tokens,
        "Longest answer; by default the checkpoint's, else 1024; 0: questions are read, and nothing is answered");
    CLI::Option* const temperature =
        add_number(app, "--temperature", s.temperature, "0 is greedy; by default the checkpoint's", "of at least 0",
                   [](double t) { return t >= 0; })
            ->type_name("T");
    CLI::Option* const top_p =
        add_number(app, "--top-p", s.top_p, "Draw from the most likely tokens that have this share", "from 0 to 1",
                   [](double p) { return p >= 0 && p <= 1; })
            ->type_name("P");
    CLI::Option* const top_k = add_natural(app, "--top-k", s.top_k, "Draw from so many tokens; 0: all");
    add_number(app, "--repetition-penalty", s.repetition_penalty, "1 is none", "above 0", [](double r) {
        return r > 0;
    })->type_name("R");
    add_natural(app, "--seed", s.seed,
                "Of the draws; the same seed, the same answer. By default the checkpoint's, else 0");
    app->add_flag("--greedy", s.greedy, "Always the most likely token")
        ->excludes(temperature)
        ->excludes(top_p)
        ->excludes(top_k);
    add_list(app, "--stop", s.stop, "Text that ends the answer; may be given more than once")
        ->check(not_empty())
        ->type_name("TEXT");
    add_natural(app, "--context", s.context,
                "Tokens that a conversation may have; by default, and for 0, the model's, at most 8192");
    add_parity(app, s.parity);
    add_resize(app, s.resize);
    CLI::Option* const cache =
        app->add_option("--image-cache", s.image_cache,
                        "Keep encoded pictures in this folder: one that was shown before is not looked at again")
            ->check(not_empty())
            ->type_name("DIR");
    add_size(app, "--image-cache-limit", s.image_cache_limit,
             "What its files may take, those that were used longest ago being removed; 4GB by default")
        ->needs(cache);
}

} // namespace program
