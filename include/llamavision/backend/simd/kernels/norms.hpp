// SPDX-License-Identifier: Apache-2.0
// RMS and layer normalisation of one row. Sums run over four batches of lanes, in an order that the width decides.
#pragma once

#include <cmath>
#include <cstddef>

#include <llamavision/backend/products.hpp>
#include <llamavision/backend/simd/arch/arch.hpp>
#include <llamavision/backend/simd/arch/xsimd.hpp>

namespace llamavision::inline LLAMAVISION_ARCH::norms {

using simd_words::floats;

/// Adds up what `f(batch, sum)` makes of a row: f takes a batch of values into a sum. Of a last batch that is not full,
/// only the lanes that have a value are added.
template <class F>
float sum(float const* x, std::size_t width, F const& f) {
    constexpr std::size_t step = simd_words::width;
    floats sums[4] = {floats(0.0f), floats(0.0f), floats(0.0f), floats(0.0f)};
    std::size_t i = 0, chain = 0;
    for (; i + 4 * step <= width; i += 4 * step)
        for (std::size_t c = 0; c < 4; ++c) sums[c] = f(simd_words::load(x + i + c * step), sums[c]);
    for (; i + step <= width; i += step, ++chain) sums[chain] = f(simd_words::load(x + i), sums[chain]);
    float total = simd_words::sum((sums[0] + sums[1]) + (sums[2] + sums[3]));
    if (i < width) {
        float last[step] = {};
        simd_words::store(last, f(simd_words::load(x + i, width - i), floats(0.0f)));
        for (std::size_t j = 0; j < width - i; ++j) total += last[j];
    }
    return total;
}

inline void rms(float const* x, std::size_t width, float const* weight, float eps, float* y) {
    float const squares = sum(x, width, [](floats const& a, floats const& s) { return simd_words::fma(a, a, s); });
    floats const scale(1.0f / std::sqrt(squares / static_cast<float>(width) + eps));
    simd_words::map(
        width, y, [&](floats const& a, floats const& w) { return a * scale * w; }, x, weight);
}

/// The variance is the mean of squared distances from the mean, in a second pass: no cancellation.
inline void layer(float const* x, std::size_t width, float const* weight, float const* bias, float eps, float* y) {
    auto const n = static_cast<float>(width);
    floats const mean(sum(x, width, [](floats const& a, floats const& s) { return a + s; }) / n);
    float const squares = sum(x, width, [&](floats const& a, floats const& s) {
        floats const d = a - mean;
        return simd_words::fma(d, d, s);
    });
    floats const scale(1.0f / std::sqrt(squares / n + eps));
    simd_words::map(
        width, y,
        [&](floats const& a, floats const& w, floats const& b) { return simd_words::fma((a - mean) * scale, w, b); }, x,
        weight, bias);
}

/// Rows first … first + count - 1 of x, `width` floats each: where they lie, or their norm, made in `buffer` (count,
/// width).
inline float const* read(normed const& x, std::size_t width, std::size_t first, std::size_t count, float* buffer) {
    float const* const from = x.x + first * width;
    if (!x.weight) return from;
    for (std::size_t r = 0; r < count; ++r)
        if (x.bias)
            layer(from + r * width, width, x.weight, x.bias, x.eps, buffer + r * width);
        else
            rms(from + r * width, width, x.weight, x.eps, buffer + r * width);
    return buffer;
}

} // namespace llamavision::inline LLAMAVISION_ARCH::norms
