// SPDX-License-Identifier: Apache-2.0
// The baseline tier: xsimd, with the instructions that the translation unit is compiled for.
#pragma once

#include <cstring>

#include <llamavision/backend/simd/arch/arch.hpp>
#include <llamavision/backend/simd/arch/compiler.hpp>
#include <llamavision/backend/simd/arch/targets.hpp>
#include <llamavision/backend/simd/arch/xsimd.hpp>
#include <llamavision/backend/simd/panels/panels.hpp>
#include <llamavision/support/cold.hpp>

#define LLAMAVISION_TARGET
#define LLAMAVISION_LANE __attribute__((always_inline)) inline

namespace llamavision::inline LLAMAVISION_ARCH::baseline {

struct lanes {
    using reg = simd_ops::floats;
    static constexpr tier level = tier::baseline;
    static constexpr std::size_t width = simd_ops::width;
#if defined(__AVX512F__) || defined(__aarch64__) // thirty-two registers
    static constexpr std::size_t rows = 4, vectors = 4, panel_rows = 4;
#else
    static constexpr std::size_t rows = 2, vectors = 2, panel_rows = width < 8 ? 2 : 4;
#endif
    static constexpr std::size_t panel_group = 1;

    static reg set(float a) { return reg(a); }
    static reg load(float const* p) { return simd_ops::load(p); }
    static reg load(bf16 const* p) { return simd_ops::cast_bits<reg>(simd_ops::widen(&p->bits) << 16); }
    static reg load(f16 const* p) { return simd_ops::from_f16(simd_ops::widen(&p->bits)); }
    static void store(float* p, reg const& a) { simd_ops::store(p, a); }
    static reg fma(reg const& a, reg const& b, reg const& c) { return simd_ops::fma(a, b, c); }
    static reg add(reg const& a, reg const& b) { return a + b; }
    static reg subtract(reg const& a, reg const& b) { return a - b; }
    static reg multiply(reg const& a, reg const& b) { return a * b; }
    static reg max(reg const& a, reg const& b) { return xsimd::max(a, b); }
    static reg exponent_from_low_bits(reg const& a) {
        return simd_ops::cast_bits<reg>(simd_ops::cast_bits<simd_ops::integers>(a) << 23);
    }
    static reg divide(reg const& a, reg const& b) { return a / b; }
    /// Pairs of bf16 values, the even ones in the low halves.
    static simd_ops::integers pairs(std::byte const* p) {
        return simd_ops::integers::load_unaligned(reinterpret_cast<std::int32_t const*>(p));
    }
    static reg even_of_pairs(std::byte const* p) { return simd_ops::cast_bits<reg>(pairs(p) << 16); }
    static reg odd_of_pairs(std::byte const* p) {
        return simd_ops::cast_bits<reg>(pairs(p) & simd_ops::integers(-0x10000));
    }
    /// Rounded to bf16, to nearest even; NaNs stay NaNs.
    static void store_rounded(float* p, reg const& a) {
        using simd_ops::integers;
        integers const u = simd_ops::cast_bits<integers>(a);
        integers const up = u + integers(0x7fff) + ((u >> 16) & integers(1));
        store(p, xsimd::select(xsimd::isnan(a), a, simd_ops::cast_bits<reg>(up & integers(-0x10000))));
    }
    static void store_rounded(bf16* p, reg const& a) {
        float values[width];
        store(values, a);
        for (std::size_t i = 0; i < width; ++i) p[i] = bf16::round(values[i]);
    }
    template <class To>
    static void store_weight(To* p, reg const& a) {
        store_rounded(p, a);
    }
    static void store_low_bytes(std::uint8_t* p, reg const& a) {
        std::int32_t values[width];
        simd_ops::cast_bits<simd_ops::integers>(a).store_unaligned(values);
        for (std::size_t i = 0; i < width; ++i) p[i] = static_cast<std::uint8_t>(values[i] & 0xff);
    }
    /// y[0…3] += the sums over the lanes of four registers.
    static void add_sums(reg const (&a)[4], float* y) {
        for (std::size_t i = 0; i < 4; ++i) y[i] += simd_ops::sum(a[i]);
    }
};

#include <llamavision/backend/simd/kernels/kernels.inc>
#include <llamavision/backend/simd/panels/panels.inc>

} // namespace llamavision::LLAMAVISION_ARCH::baseline

#undef LLAMAVISION_TARGET
#undef LLAMAVISION_LANE
