// SPDX-License-Identifier: Apache-2.0
// From a checkpoint's folder to a model: `load` for one configuration, `load_any` for whichever of several fits.
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <llamavision/backend/scalar/scalar.hpp>
#include <llamavision/backend/simd/simd.hpp>
#include <llamavision/checkpoint/adapter/adapter.hpp>
#include <llamavision/checkpoint/encoding/widen.hpp>
#include <llamavision/checkpoint/fingerprint.hpp>
#include <llamavision/checkpoint/open.hpp>
#include <llamavision/config/differences.hpp>
#include <llamavision/runtime/conversation/chat_choice.hpp>
#include <llamavision/runtime/conversation/open_tokenizer.hpp>
#include <llamavision/runtime/load_options.hpp>
#include <llamavision/runtime/model.hpp>
#include <llamavision/runtime/network/make_network.hpp>
#include <llamavision/support/machine_memory.hpp>
#include <llamavision/support/out_of_memory.hpp>
#include <llamavision/support/thread_pool.hpp>

namespace llamavision {

/// The configurations among which `load_any` and the program choose.
template <configuration... C>
struct configurations {};

/// Those of the published models.
using published = configurations<llama_3_2_11b_vision, llama_3_2_11b_vision_448, llama_3_2_90b_vision, llama_3_1_8b,
                                 llama_3_2_3b, llama_3_2_1b>;

namespace detail {
template <configuration... C>
configurations<tiny, C...> with_tiny(configurations<C...>); // for its type
} // namespace detail

/// The bundled model and the published ones: those that llamavision::separate compiles.
using bundled_and_published = decltype(detail::with_tiny(published{}));

namespace detail {

template <backend B>
B make_backend(load_options const& options) {
    if constexpr (std::is_constructible_v<B, std::shared_ptr<thread_pool>>)
        return options.pool ? B(options.pool) : B(std::make_shared<thread_pool>(options.threads));
    else
        return B();
}

/// What the description says about pictures, conversations and answers.
inline model_defaults defaults_of(checkpoint::description const& d, std::optional<tokens::tokenizer> const& tokenizer,
                                  load_options const& options) {
    model_defaults m;
    checkpoint::preprocessor const& p = d.pictures;
    m.pictures = {p.tile, p.tiles, {p.mean, p.deviation, p.rescale}, options.resize};
    m.warnings = d.warnings;
    m.chat = chat_options_of(d, tokenizer, options.chat, m.warnings);
    m.chat.date = options.date;
    checkpoint::generation_defaults const& g = d.generation;
    m.answers.greedy = !g.do_sample;
    m.answers.sampling.temperature = g.temperature;
    m.answers.sampling.top_p = g.top_p;
    m.answers.sampling.top_k = g.top_k.value_or(0);
    m.answers.sampling.repetition_penalty = g.repetition_penalty;
    m.answers.stop_ids.assign(g.stop_ids.begin(), g.stop_ids.end());
    for (std::string const& text : g.stop_strings) {
        // Answers' text has no special tokens in it, so the name of one means its id.
        auto const mark = tokenizer ? tokenizer->special(text) : std::nullopt;
        if (mark)
            m.answers.stop_ids.push_back(*mark);
        else
            m.answers.stop_strings.push_back(text);
    }
    m.answers.max_tokens = g.max_tokens;
    m.answers.seed = g.seed.value_or(0);
    m.system = d.system;
    m.taps_after_layer = options.taps_after_layer;
    return m;
}

/// The checkpoint's tokenizer; nothing if it has none.
/// @throws mismatch_error if its ids are not the network's
inline std::optional<tokens::tokenizer> open_tokenizer_for(checkpoint::description const& d, config::numbers const& n) {
    auto tokenizer = open_tokenizer(d);
    if (tokenizer && static_cast<std::size_t>(tokenizer->image()) != n.text.vocabulary)
        throw mismatch_error(tokenizer_place(d) + ": the tokenizer's image id is " + std::to_string(tokenizer->image())
                             + ", the model's is " + std::to_string(n.text.vocabulary));
    return tokenizer;
}

/// Bytes that may still be taken where the backend works.
template <backend B>
std::size_t available_to([[maybe_unused]] B const& kernels) {
    if constexpr (owns_memory<B>)
        return kernels.available();
    else
        return available_memory();
}

/// A text that changes when the weights' files do, for a packed file.
inline std::string source_of(checkpoint::opened const& folder, load_options const& options) {
    if (options.packed.empty()) return {};
    std::vector<std::filesystem::path> files(folder.weights.files.begin(), folder.weights.files.end());
    if (!options.adapter.empty())
        for (auto const& entry : std::filesystem::directory_iterator(options.adapter))
            if (entry.is_regular_file()) files.push_back(entry.path());
    std::sort(files.begin() + static_cast<std::ptrdiff_t>(folder.weights.files.size()), files.end());
    return checkpoint::fingerprint(files) + " " + std::to_string(static_cast<int>(options.gguf)) + " "
           + std::string(checkpoint::name_of(options.blocks_as));
}

template <configuration C, backend B>
model assemble(checkpoint::opened folder, B kernels, load_options const& options) {
    std::optional<tokens::tokenizer> tokenizer = open_tokenizer_for(folder, config::numbers_of<C>());
    model_defaults defaults = defaults_of(folder, tokenizer, options);
    if (options.on_warning)
        for (std::string const& warning : defaults.warnings) options.on_warning(warning);
    checkpoint::widen_blocks(folder.tensors, options.blocks_as);
    if (!options.adapter.empty())
        folder.tensors =
            checkpoint::merge_adapter(std::move(folder.tensors), checkpoint::open_adapter(options.adapter));
    network_options how;
    how.formats = options.weights;
    how.on_repack = options.on_repack;
    how.packed = {options.packed, source_of(folder, options)};
    how.memory_budget = available_to(kernels);
    if constexpr (owns_memory<B>) how.host_memory_budget = available_memory();
    how.beyond_memory = options.beyond_memory;
    auto const& silent = folder.model->unstated;
    if (std::find(silent.begin(), silent.end(), "text.context") == silent.end())
        how.positions = folder.model->values.text.context;
    how.planned = {options.context, options.pictures, options.conversations};
    auto net = make_network<C>(std::move(folder.tensors), std::move(kernels), how);
    return model(std::move(net), std::move(tokenizer), std::move(defaults), options.images);
}

inline std::string listed(std::vector<std::string> const& sentences) {
    std::string text;
    for (std::string const& s : sentences) text += "\n  " + s;
    return text;
}

} // namespace detail

/// Loads a checkpoint of any form that checkpoint::open reads as the configuration C on backend B. Weights are mapped,
/// and copied only where the model wants another layout than the file has.
/// @throws file_error, format_error; mismatch_error naming every number or tensor in which the file and C differ;
///         memory_error with the figures if the machine has too little memory left, or if the system refuses memory;
///         argument_error for a context beyond the model's
template <configuration C, backend B>
[[nodiscard]] model load(std::filesystem::path const& path, B kernels, load_options const& options = {}) {
    return naming_refused_memory("loading a model", [&] {
        checkpoint::description d = checkpoint::read_description(path, checkpoint::faults::thrown, options.gguf);
        auto const differ = config::differences(d.model->values, config::numbers_of<C>(), d.model->unstated);
        if (!differ.empty())
            throw mismatch_error(path.string() + ": is not a " + std::string(C::name) + ":" + detail::listed(differ));
        return detail::assemble<C>(checkpoint::open(std::move(d), options.on_progress), std::move(kernels), options);
    });
}

/// The same on a backend that `options` describe.
template <configuration C, backend B = simd>
[[nodiscard]] model load(std::filesystem::path const& path, load_options const& options = {}) {
    return load<C>(path, detail::make_backend<B>(options), options);
}

/// Loads it as the one of `C...` whose numbers are those of its `config.json`.
/// @throws as `load`; mismatch_error with the differences from the nearest configuration if none fits
template <backend B, configuration... C>
[[nodiscard]] model load_any(configurations<C...>, std::filesystem::path const& path, B const& kernels,
                             load_options const& options = {}) {
    checkpoint::description d = checkpoint::read_description(path, checkpoint::faults::thrown, options.gguf);
    std::optional<model> loaded;
    std::optional<std::vector<std::string>> nearest;
    std::string nearest_name;
    auto const attempt = [&]<class Config>(std::type_identity<Config>) {
        if (loaded) return;
        auto differ = config::differences(d.model->values, config::numbers_of<Config>(), d.model->unstated);
        if (differ.empty())
            loaded = naming_refused_memory("loading a model", [&] {
                return detail::assemble<Config>(checkpoint::open(std::move(d), options.on_progress), kernels, options);
            });
        else if (!nearest || differ.size() < nearest->size()) {
            nearest = std::move(differ);
            nearest_name = Config::name;
        }
    };
    (attempt(std::type_identity<C>{}), ...);
    if (!loaded)
        throw mismatch_error(path.string() + ": has the numbers of no configuration of this program; nearest is "
                             + nearest_name + ":" + detail::listed(nearest.value_or(std::vector<std::string>{})));
    return *std::move(loaded);
}

template <backend B = simd, configuration... C>
[[nodiscard]] model load_any(configurations<C...> known, std::filesystem::path const& path,
                             load_options const& options = {}) {
    return load_any(known, path, detail::make_backend<B>(options), options);
}

} // namespace llamavision
