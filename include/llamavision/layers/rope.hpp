// SPDX-License-Identifier: Apache-2.0
// Rotary position embedding: each head's halves (i, i + head_dim/2) are coordinates that rotate with the position.
#pragma once

#include <cmath>
#include <cstddef>
#include <numbers>
#include <tuple>
#include <vector>

#include <llamavision/config/numbers.hpp>
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

/// The head_dim/2 angular frequencies f_i = theta^(-2i/head_dim), in float as both references compute them. The
/// "llama3" scaling divides those whose wavelength exceeds the original context by `factor`, keeps those that turn
/// often within it, and goes smoothly from one to the other in between (Meta: apply_scaling).
[[nodiscard]] inline std::vector<float> rope_frequencies(config::rope_numbers const& n, std::size_t head_dim) {
    std::vector<float> frequencies(head_dim / 2);
    auto const context = static_cast<float>(n.original_context);
    auto const factor = static_cast<float>(n.factor);
    auto const low = static_cast<float>(n.low_freq_factor), high = static_cast<float>(n.high_freq_factor);
    for (std::size_t i = 0; i < frequencies.size(); ++i) {
        float const exponent = static_cast<float>(2 * i) / static_cast<float>(head_dim);
        float const f = 1.0f / std::pow(static_cast<float>(n.theta), exponent);
        frequencies[i] = f;
        if (!n.scaled) continue;
        float const wavelength = 2.0f * std::numbers::pi_v<float> / f;
        if (wavelength < context / high) continue;
        if (wavelength > context / low)
            frequencies[i] = f / factor;
        else {
            float const smooth = (context / wavelength - low) / (high - low);
            frequencies[i] = (1.0f - smooth) * f / factor + smooth * f;
        }
    }
    return frequencies;
}

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
