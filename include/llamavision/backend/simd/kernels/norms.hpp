// SPDX-License-Identifier: Apache-2.0
// RMS norm and layer norm of one row. Four vectors hold partial sums; the order of additions depends on the width
// alone.
#pragma once

#include <cmath>
#include <cstddef>

#include <llamavision/backend/products.hpp>
#include <llamavision/backend/simd/arch/arch.hpp>
#include <llamavision/backend/simd/arch/xsimd.hpp>

namespace llamavision::inline LLAMAVISION_ARCH::norms {

using simd_ops::floats;

/// The sum of a row, where `f(values, sum)` returns the sum with these values added. In the last vector, if it is not
/// full, only lanes that have a value count.
template <class F>
float sum(float const* x, std::size_t width, F const& f) {
    constexpr std::size_t step = simd_ops::width;
    floats sums[4] = {floats(0.0f), floats(0.0f), floats(0.0f), floats(0.0f)};
    std::size_t i = 0, chain = 0;
    for (; i + 4 * step <= width; i += 4 * step)
        for (std::size_t c = 0; c < 4; ++c) sums[c] = f(simd_ops::load(x + i + c * step), sums[c]);
    for (; i + step <= width; i += step, ++chain) sums[chain] = f(simd_ops::load(x + i), sums[chain]);
    float total = simd_ops::sum((sums[0] + sums[1]) + (sums[2] + sums[3]));
    if (i < width) {
        float last[step] = {};
        simd_ops::store(last, f(simd_ops::load(x + i, width - i), floats(0.0f)));
        for (std::size_t j = 0; j < width - i; ++j) total += last[j];
    }
    return total;
}

inline void rms(float const* x, std::size_t width, float const* weight, float eps, float* y) {
    float const squares = sum(x, width, [](floats const& a, floats const& s) { return simd_ops::fma(a, a, s); });
    floats const scale(1.0f / std::sqrt(squares / static_cast<float>(width) + eps));
    simd_ops::map(
        width, y, [&](floats const& a, floats const& w) { return a * scale * w; }, x, weight);
}

/// The variance is the mean of the squared distances from the mean, in a second pass, so that no digits cancel.
inline void layer(float const* x, std::size_t width, float const* weight, float const* bias, float eps, float* y) {
    auto const n = static_cast<float>(width);
    floats const mean(sum(x, width, [](floats const& a, floats const& s) { return a + s; }) / n);
    float const squares = sum(x, width, [&](floats const& a, floats const& s) {
        floats const d = a - mean;
        return simd_ops::fma(d, d, s);
    });
    floats const scale(1.0f / std::sqrt(squares / n + eps));
    simd_ops::map(
        width, y,
        [&](floats const& a, floats const& w, floats const& b) { return simd_ops::fma((a - mean) * scale, w, b); }, x,
        weight, bias);
}

/// Rows first … first + count - 1 of x: where they lie, or, if they are to be normed, in `buffer` (count, width).
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

} // namespace llamavision::LLAMAVISION_ARCH::norms
