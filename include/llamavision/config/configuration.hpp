// SPDX-License-Identifier: Apache-2.0
// Concepts for configurations, which are types with static constexpr members, and constants that follow from these
// members.
#pragma once

#include <concepts>
#include <cstddef>
#include <string_view>

#include <llamavision/config/arrangements.hpp>
#include <llamavision/config/numbers.hpp>

namespace llamavision {

namespace config {

/// Whether these are ascending indices below `layers`, without duplicates.
[[nodiscard]] constexpr bool ascending_below(auto const& indices, std::size_t layers) {
    for (std::size_t i = 0; i < indices.size(); ++i)
        if (indices[i] >= layers || (i > 0 && indices[i] <= indices[i - 1])) return false;
    return true;
}

} // namespace config

/// A model that sees: `vision`, the numbers of its tower, and `text`, whose `cross_layers` look at the image. Both hold
/// static constexpr members. (All requirements are in one concept: compilers name those of the outermost one.)
template <class C>
concept has_vision = requires {
    {
        C::vision::width + C::vision::mlp + C::vision::heads + C::vision::layers + C::vision::global_layers
        } -> std::convertible_to<std::size_t>;
    { C::vision::tile + C::vision::patch + C::vision::channels + C::vision::tiles } -> std::convertible_to<std::size_t>;
    { C::vision::taps.size() } -> std::convertible_to<std::size_t>;
    { C::vision::norm_eps } -> std::convertible_to<float>;
    {
        C::text::width + C::text::mlp + C::text::heads + C::text::kv_heads + C::text::layers
        } -> std::convertible_to<std::size_t>;
    { C::text::vocabulary + C::text::context } -> std::convertible_to<std::size_t>;
    { C::text::cross_layers.size() } -> std::convertible_to<std::size_t>;
    { C::text::norm_eps } -> std::convertible_to<float>;
    { C::text::rope } -> std::convertible_to<config::rope_numbers>;
    requires C::vision::width % C::vision::heads == 0;
    requires C::vision::tile % C::vision::patch == 0;
    requires config::ascending_below(C::vision::taps, C::vision::layers);
    requires C::text::width % C::text::heads == 0;
    requires C::text::width / C::text::heads % 2 == 0; // rope rotates pairs
    requires C::text::heads % C::text::kv_heads == 0;
    requires config::ascending_below(C::text::cross_layers, C::text::layers);
    requires C::text::cross_layers.size() < C::text::layers;
};

/// A text model alone (Llama 3.1 and 3.2), whose head may be tied to its embedding.
template <class C>
concept is_text_alone = !requires {
    typename C::vision;
}
&&requires {
    {
        C::text::width + C::text::mlp + C::text::heads + C::text::kv_heads + C::text::layers
        } -> std::convertible_to<std::size_t>;
    { C::text::vocabulary + C::text::context } -> std::convertible_to<std::size_t>;
    { C::text::norm_eps } -> std::convertible_to<float>;
    { C::text::rope } -> std::convertible_to<config::rope_numbers>;
    { C::text::tied_head } -> std::convertible_to<bool>;
    requires C::text::width % C::text::heads == 0;
    requires C::text::width / C::text::heads % 2 == 0;
    requires C::text::heads % C::text::kv_heads == 0;
};

/// A configuration of a whole model: a name, `text`, and `vision` if it sees. See llama_3_2.hpp for the published ones;
/// a user's own is a struct like those, and everything works with it.
template <class C>
concept configuration = requires {
    { C::name } -> std::convertible_to<std::string_view>;
    requires has_vision<C> || is_text_alone<C>;
};

namespace config {

/// The number of rows of embed_tokens beyond the vocabulary. The first of them is that of the image token.
inline constexpr std::size_t extra_tokens = 8;

/// Rows of embed_tokens: ids below it can be read. A text model alone has no row beyond the vocabulary.
[[nodiscard]] inline std::size_t embedding_rows(numbers const& n) {
    return n.text.vocabulary + (n.kind == family::mllama ? extra_tokens : 0);
}

/// The number of patches of a tile. V is a vision configuration.
template <class V>
inline constexpr std::size_t patches = (V::tile / V::patch) * (V::tile / V::patch);
/// The number of tokens of a tile: patches and the class token.
template <class V>
inline constexpr std::size_t tokens = patches<V> + 1;
/// The number of rows that pad a tile's tokens to a multiple of eight.
template <class V>
inline constexpr std::size_t pads = (8 - tokens<V> % 8) % 8;

/// The number of arrangements of tiles.
template <class V>
inline constexpr std::size_t arrangements = count_arrangements(V::tiles);

/// The configuration's numbers as run-time values, to be compared with a file's.
template <configuration C>
[[nodiscard]] numbers numbers_of() {
    using T = typename C::text;
    numbers n;
    n.text = {T::width,      T::mlp,     T::heads,
              T::kv_heads,   T::layers,  {},
              T::vocabulary, T::context, static_cast<double>(T::norm_eps),
              T::rope,       false};
    if constexpr (has_vision<C>) {
        using V = typename C::vision;
        n.text.cross_layers.assign(T::cross_layers.begin(), T::cross_layers.end());
        n.vision = {V::width,
                    V::mlp,
                    V::heads,
                    V::layers,
                    V::global_layers,
                    V::tile,
                    V::patch,
                    V::channels,
                    V::tiles,
                    {V::taps.begin(), V::taps.end()},
                    all_arrangements(V::tiles),
                    static_cast<double>(V::norm_eps)};
    } else {
        n.kind = family::llama;
        n.text.tied_head = T::tied_head;
    }
    return n;
}

} // namespace config
} // namespace llamavision
