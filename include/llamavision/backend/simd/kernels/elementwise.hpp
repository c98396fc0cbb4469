// SPDX-License-Identifier: Apache-2.0
// Functions of single values, and rope, with xsimd: the instructions that the program is compiled for.
#pragma once

#include <cstddef>

#include <llamavision/backend/simd/arch/arch.hpp>
#include <llamavision/backend/simd/arch/xsimd.hpp>

namespace llamavision::inline LLAMAVISION_ARCH::elementwise {

using simd_ops::floats;

inline floats silu(floats const& x) { return x / (floats(1.0f) + xsimd::exp(-x)); }
inline floats gelu(floats const& x) {
    return floats(0.5f) * x * (floats(1.0f) + xsimd::erf(x * floats(0.70710678118654752f)));
}

inline void silu(float const* x, std::size_t count, float* y) {
    simd_ops::map(
        count, y, [](floats const& a) { return silu(a); }, x);
}
inline void gelu(float const* x, std::size_t count, float* y) {
    simd_ops::map(
        count, y, [](floats const& a) { return gelu(a); }, x);
}
inline void multiply(float const* a, float const* b, std::size_t count, float* y) {
    simd_ops::map(
        count, y, [](floats const& u, floats const& v) { return u * v; }, a, b);
}
inline void swiglu(float const* gate, float const* up, std::size_t count, float* y) {
    simd_ops::map(
        count, y, [](floats const& g, floats const& u) { return silu(g) * u; }, gate, up);
}
inline void add_scaled(float const* x, float scale, float const* f, std::size_t count, float* y) {
    floats const s(scale);
    simd_ops::map(
        count, y, [&](floats const& a, floats const& b) { return simd_ops::fma(s, b, a); }, x, f);
}

/// Rotates one head of 2 · half values: with its halves a and b, (a, b) = (a cos - b sin, b cos + a sin).
inline void rotate(float* head, std::size_t half, float const* cos, float const* sin) {
    using simd_ops::load, simd_ops::store, simd_ops::fma, simd_ops::width;
    for (std::size_t i = 0; i < half; i += width) {
        bool const whole = i + width <= half;
        std::size_t const rest = half - i;
        auto const read = [&](float const* p) { return whole ? load(p + i) : load(p + i, rest); };
        auto const write = [&](float* p, floats const& v) { whole ? store(p + i, v) : store(p + i, v, rest); };
        floats const a = read(head), b = read(head + half), c = read(cos), s = read(sin);
        write(head, fma(a, c, -(b * s)));
        write(head + half, fma(b, c, a * s));
    }
}

} // namespace llamavision::LLAMAVISION_ARCH::elementwise
