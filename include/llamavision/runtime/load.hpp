// SPDX-License-Identifier: Apache-2.0
// From a checkpoint's folder to a model: `load` for one configuration, `load_any` for whichever of several fits.
#pragma once

#include <array>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

#include <llamavision/backend/scalar/scalar.hpp>
#include <llamavision/backend/simd/simd.hpp>
#include <llamavision/checkpoint/open.hpp>
#include <llamavision/config/differences.hpp>
#include <llamavision/runtime/load_options.hpp>
#include <llamavision/runtime/model.hpp>
#include <llamavision/runtime/network/make_network.hpp>
#include <llamavision/support/machine_memory.hpp>
#include <llamavision/support/out_of_memory.hpp>
#include <llamavision/support/separate.hpp>
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

/// Bytes that may still be taken where the backend works.
template <backend B>
std::size_t available_to([[maybe_unused]] B const& kernels) {
    if constexpr (owns_memory<B>)
        return kernels.available();
    else
        return available_memory();
}

/// What is the same for every configuration: a checkpoint's tensors as the model takes them, its tokenizer, what it
/// says about answers, and how the network is made.
struct loaded_parts {
    checkpoint::named_tensors tensors;
    std::optional<tokens::tokenizer> tokenizer;
    model_defaults defaults;
    network_options how;
};

/// @throws mismatch_error if the tokenizer's ids are not those of the network
[[nodiscard]] LLAMAVISION_INLINE loaded_parts load_parts(checkpoint::opened folder, config::numbers const& numbers,
                                                         load_options const& options);

/// @throws mismatch_error naming every number in which they differ
LLAMAVISION_INLINE void require_numbers(std::filesystem::path const& path, checkpoint::description const& d,
                                        config::numbers const& numbers, std::string_view name);

/// An error that names the differences from the nearest of several configurations.
[[nodiscard]] LLAMAVISION_INLINE mismatch_error fits_none(std::filesystem::path const& path,
                                                          checkpoint::description const& d,
                                                          std::span<config::numbers const> known,
                                                          std::span<std::string_view const> names);

template <configuration C, backend B>
model assemble(checkpoint::description said, B kernels, load_options const& options) {
    loaded_parts parts =
        load_parts(checkpoint::open(std::move(said), options.on_progress), config::numbers_of<C>(), options);
    parts.how.memory_budget = available_to(kernels);
    if constexpr (owns_memory<B>) parts.how.host_memory_budget = available_memory();
    auto net = make_network<C>(std::move(parts.tensors), std::move(kernels), parts.how);
    return model(std::move(net), std::move(parts.tokenizer), std::move(parts.defaults), options.images);
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
        detail::require_numbers(path, d, config::numbers_of<C>(), C::name);
        return detail::assemble<C>(std::move(d), std::move(kernels), options);
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
    auto const attempt = [&]<class Config>(std::type_identity<Config>) {
        if (loaded || !config::differences(d.model->values, config::numbers_of<Config>(), d.model->unstated).empty())
            return;
        loaded = naming_refused_memory("loading a model",
                                       [&] { return detail::assemble<Config>(std::move(d), kernels, options); });
    };
    (attempt(std::type_identity<C>{}), ...);
    if (!loaded) {
        std::array<config::numbers, sizeof...(C)> const known{config::numbers_of<C>()...};
        std::array<std::string_view, sizeof...(C)> const names{C::name...};
        throw detail::fits_none(path, d, known, names);
    }
    return *std::move(loaded);
}

template <backend B = simd, configuration... C>
[[nodiscard]] model load_any(configurations<C...> known, std::filesystem::path const& path,
                             load_options const& options = {}) {
    return load_any(known, path, detail::make_backend<B>(options), options);
}

} // namespace llamavision

#if !defined(LLAMAVISION_SEPARATE)
#include <llamavision/runtime/load.ipp>
#endif
