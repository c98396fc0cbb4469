// SPDX-License-Identifier: Apache-2.0
// Rotary position embedding: each head's halves (i, i + head_dim/2) are coordinates that rotate with the position.
#pragma once

#include <cmath>
#include <cstddef>
#include <tuple>
#include <vector>

#include <llamavision/config/rope.hpp>
#include <llamavision/expression/run.hpp>
#include <llamavision/layers/linear.hpp>

namespace llamavision {

namespace layer {

/// Rotates every head of a row by the angles of its position (`text_rows::cos` and `sin`).
template <std::size_t HeadDim>
struct rope : expression_base {
    static constexpr std::string_view kind = "rope";
    static_assert(HeadDim % 2 == 0);
    static constexpr bool in_place = true;

    template <class B>
    static void run(B const& backend, weights<rope> const&, context& c, rows x, rows y) {
        if (x.data != y.data) backend.copy(x.data, x.size(), y.data);
        backend.rope(y.data, y.count, y.width / HeadDim, HeadDim, c.text->cos, c.text->sin);
    }
};

} // namespace layer

/// C is a text configuration.
template <class C>
inline constexpr layer::rope<C::width / C::heads> rope{};

namespace detail {

/// What backends that make several projections of attention in one pass know of each: linear, or linear | rope.
template <class E>
struct projection_of {
    static constexpr bool is_plain = false; // something else
    static constexpr std::size_t rope_dim = 0;
};
template <name Name, std::size_t In, std::size_t Out>
struct projection_of<layer::linear<Name, In, Out>> {
    static constexpr bool is_plain = true;
    static constexpr std::size_t rope_dim = 0; // no rope after it
    static matrix const& weight(weights<layer::linear<Name, In, Out>> const& w) { return w.own[0]; }
};
template <name Name, std::size_t In, std::size_t Out, std::size_t HeadDim>
struct projection_of<grammar::chain<layer::linear<Name, In, Out>, layer::rope<HeadDim>>> {
    static constexpr bool is_plain = true;
    static constexpr std::size_t rope_dim = HeadDim;
    template <class W>
    static matrix const& weight(W const& w) {
        return std::get<0>(w.parts).own[0];
    }
};

} // namespace detail

using config::rope_frequencies;

/// Cosines and sines of positions first … first + count - 1: (count, frequencies.size()) each.
inline void rope_angles(std::vector<float> const& frequencies, std::size_t first, std::size_t count, float* cos,
                        float* sin) {
    for (std::size_t r = 0; r < count; ++r)
        for (std::size_t i = 0; i < frequencies.size(); ++i) {
            float const angle = static_cast<float>(first + r) * frequencies[i];
            *cos++ = std::cos(angle);
            *sin++ = std::sin(angle);
        }
}

} // namespace llamavision
