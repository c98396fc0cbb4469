// SPDX-License-Identifier: Apache-2.0
// The AVX2 tier: eight lanes, sixteen registers, fused multiply-add, conversion from binary16.
#pragma once

#include <cstring>

#include <llamavision/backend/simd/arch/arch.hpp>
#include <llamavision/backend/simd/arch/compiler.hpp>
#include <llamavision/backend/simd/arch/targets.hpp>
#include <llamavision/backend/simd/panels/panels.hpp>
#include <llamavision/support/cold.hpp>

#if defined(__x86_64__)
#define LLAMAVISION_TARGET __attribute__((target("avx2,fma,f16c")))
#define LLAMAVISION_LANE LLAMAVISION_TARGET __attribute__((always_inline)) inline

namespace llamavision::inline LLAMAVISION_ARCH::avx2 {

struct lanes {
    using reg = __m256;
    static constexpr tier level = tier::avx2;
    static constexpr std::size_t width = 8, rows = 3, vectors = 2, panel_rows = 4, panel_group = 1;

    LLAMAVISION_LANE static reg set(float a) { return _mm256_set1_ps(a); }
    LLAMAVISION_LANE static reg load(float const* p) { return _mm256_loadu_ps(p); }
    LLAMAVISION_LANE static reg load(bf16 const* p) {
        __m256i const wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<__m128i const*>(p)));
        return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
    }
    LLAMAVISION_LANE static reg load(f16 const* p) {
        return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<__m128i const*>(p)));
    }
    LLAMAVISION_LANE static void store(float* p, reg a) { _mm256_storeu_ps(p, a); }
    LLAMAVISION_LANE static bool can_stream(float* p) { return reinterpret_cast<std::uintptr_t>(p) % 64 == 0; }
    LLAMAVISION_LANE static void stream(float* p, reg a) { _mm256_stream_ps(p, a); }
    LLAMAVISION_LANE static reg fma(reg a, reg b, reg c) { return _mm256_fmadd_ps(a, b, c); }
    LLAMAVISION_LANE static reg add(reg a, reg b) { return _mm256_add_ps(a, b); }
    LLAMAVISION_LANE static reg subtract(reg a, reg b) { return _mm256_sub_ps(a, b); }
    LLAMAVISION_LANE static reg multiply(reg a, reg b) { return _mm256_mul_ps(a, b); }
    LLAMAVISION_LANE static reg max(reg a, reg b) { return _mm256_max_ps(a, b); }
    LLAMAVISION_LANE static bool any_above(reg a, reg limit) {
        return _mm256_movemask_ps(_mm256_cmp_ps(a, limit, _CMP_NLE_UQ)) != 0;
    }
    LLAMAVISION_LANE static reg exponent_from_low_bits(reg a) {
        return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(a), 23));
    }
    LLAMAVISION_LANE static reg divide(reg a, reg b) { return _mm256_div_ps(a, b); }
    /// Pairs of bf16 values, the even ones in the low halves.
    LLAMAVISION_LANE static __m256i pairs(std::byte const* p) {
        return _mm256_loadu_si256(reinterpret_cast<__m256i const*>(p));
    }
    LLAMAVISION_LANE static reg even_of_pairs(std::byte const* p) {
        return _mm256_castsi256_ps(_mm256_slli_epi32(pairs(p), 16));
    }
    LLAMAVISION_LANE static reg odd_of_pairs(std::byte const* p) {
        return _mm256_castsi256_ps(_mm256_and_si256(pairs(p), _mm256_set1_epi32(-0x10000)));
    }
    /// Rounded to bf16, to nearest even; NaNs stay NaNs.
    LLAMAVISION_LANE static void store_rounded(float* p, reg a) {
        __m256i const u = _mm256_castps_si256(a),
                      odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
        __m256i const up = _mm256_add_epi32(_mm256_add_epi32(u, _mm256_set1_epi32(0x7fff)), odd);
        reg const top = _mm256_castsi256_ps(_mm256_and_si256(up, _mm256_set1_epi32(-0x10000)));
        _mm256_storeu_ps(p, _mm256_blendv_ps(top, a, _mm256_cmp_ps(a, a, _CMP_UNORD_Q)));
    }
    LLAMAVISION_LANE static void store_rounded(bf16* p, reg a) {
        alignas(32) float values[8];
        store_rounded(values, a);
        __m256i const top = _mm256_srli_epi32(_mm256_load_si256(reinterpret_cast<__m256i const*>(values)), 16);
        _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                         _mm_packus_epi32(_mm256_castsi256_si128(top), _mm256_extracti128_si256(top, 1)));
    }
    LLAMAVISION_LANE static void store_weight(float* p, reg a) { store_rounded(p, a); }
    LLAMAVISION_LANE static void store_low_bytes(std::uint8_t* p, reg a) {
        __m256i const low = _mm256_and_si256(_mm256_castps_si256(a), _mm256_set1_epi32(0xff));
        __m128i const words = _mm_packus_epi32(_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1));
        _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packus_epi16(words, words));
    }
    /// y[0…3] += the sums over the lanes of four registers.
    LLAMAVISION_LANE static void add_sums(reg const (&a)[4], float* y) {
        __m256 const pairs = _mm256_hadd_ps(_mm256_hadd_ps(a[0], a[1]), _mm256_hadd_ps(a[2], a[3]));
        __m128 const sums = _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps(pairs, 1));
        _mm_storeu_ps(y, _mm_add_ps(_mm_loadu_ps(y), sums));
    }
};

#include <llamavision/backend/simd/kernels/kernels.inc>
#include <llamavision/backend/simd/panels/panels.inc>

/// The instruction multiplies unsigned bytes with signed ones, and adds pairs in 16 bits: |w| times (x with the sign of
/// w), where pairs fit (2 · 127² < 2¹⁵).
template <std::size_t Rows>
LLAMAVISION_TARGET inline void i8_tile(std::uint8_t const* x, std::size_t height, std::byte const* w, std::size_t steps,
                                       float* c, std::size_t stride, bool add) {
    __m256i sums[Rows][2];
    LLAMAVISION_UNROLL
    for (std::size_t r = 0; r < Rows; ++r) {
        LLAMAVISION_UNROLL
        for (std::size_t v = 0; v < 2; ++v)
            sums[r][v] = add ? _mm256_castps_si256(_mm256_loadu_ps(c + r * stride + v * 8)) : _mm256_setzero_si256();
    }
    for (std::size_t s = 0; s < steps; ++s, x += height * panels::i8_step, w += panels::tile)
        for (std::size_t k = 0; k < panels::i8_step; k += 4) {
            __m256i weights[2];
            LLAMAVISION_UNROLL
            for (std::size_t v = 0; v < 2; ++v) weights[v] = lanes::pairs(w + k * 16 + v * 32);
            LLAMAVISION_UNROLL
            for (std::size_t r = 0; r < Rows; ++r) {
                std::uint32_t four;
                __builtin_memcpy(&four, x + r * panels::i8_step + k, sizeof four);
                __m256i const a = _mm256_set1_epi32(static_cast<std::int32_t>(four ^ 0x80808080u));
                LLAMAVISION_UNROLL
                for (std::size_t v = 0; v < 2; ++v) {
                    __m256i const pairs =
                        _mm256_maddubs_epi16(_mm256_abs_epi8(weights[v]), _mm256_sign_epi8(a, weights[v]));
                    sums[r][v] = _mm256_add_epi32(sums[r][v], _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
                }
            }
        }
    LLAMAVISION_UNROLL
    for (std::size_t r = 0; r < Rows; ++r) {
        LLAMAVISION_UNROLL
        for (std::size_t v = 0; v < 2; ++v) _mm256_storeu_ps(c + r * stride + v * 8, _mm256_castsi256_ps(sums[r][v]));
    }
}

LLAMAVISION_TARGET inline void multiply_i8(void const* x, std::size_t block, std::size_t height, std::size_t blocks,
                                           void const* w, std::size_t panel, std::size_t count, std::size_t steps,
                                           float* c, std::size_t stride, bool add, prefetch const&) {
    for (std::size_t p = 0; p < count; ++p)
        for (std::size_t r = 0; r < blocks * height; r += height < 4 ? 1 : 4) {
            auto const* const rows =
                static_cast<std::uint8_t const*>(x) + r / height * block + r % height * panels::i8_step;
            auto const* const from = static_cast<std::byte const*>(w) + p * panel;
            float* const to = c + r * stride + p * panels::side;
            if (height < 4)
                i8_tile<1>(rows, height, from, steps, to, stride, add);
            else
                i8_tile<4>(rows, height, from, steps, to, stride, add);
        }
}

inline constexpr panel_table panels_table = [] {
    panel_table t = wide_panels;
    t.biased = false;
    t.multiply_i8 = &multiply_i8;
    return t;
}();

} // namespace llamavision::LLAMAVISION_ARCH::avx2

#undef LLAMAVISION_TARGET
#undef LLAMAVISION_LANE
#endif
