// SPDX-License-Identifier: Apache-2.0
// The AVX-512 tier: sixteen lanes, thirty-two registers.
#pragma once

#include <cstring>

#include <llamavision/backend/simd/arch/arch.hpp>
#include <llamavision/backend/simd/arch/compiler.hpp>
#include <llamavision/backend/simd/arch/targets.hpp>
#include <llamavision/backend/simd/panels/panels.hpp>
#include <llamavision/support/cold.hpp>

#if defined(__x86_64__)
#define LLAMAVISION_TARGET __attribute__((target("avx512f,avx512bw,avx2,fma,f16c")))
#define LLAMAVISION_LANE LLAMAVISION_TARGET __attribute__((always_inline)) inline

namespace llamavision::inline LLAMAVISION_ARCH::avx512 {

struct lanes {
    using reg = __m512;
    static constexpr tier level = tier::avx512;
    static constexpr std::size_t width = 16, rows = 6, vectors = 4, panel_rows = 8, panel_group = 3;
    // g++ 12 warns that its own intrinsics without a mask use an undefined register; a full mask costs nothing.
    static constexpr __mmask16 all = 0xffff;

    LLAMAVISION_LANE static reg set(float a) { return _mm512_set1_ps(a); }
    LLAMAVISION_LANE static reg load(float const* p) { return _mm512_loadu_ps(p); }
    LLAMAVISION_LANE static reg load(bf16 const* p) {
        __m512i const wide = _mm512_maskz_cvtepu16_epi32(all, _mm256_loadu_si256(reinterpret_cast<__m256i const*>(p)));
        return _mm512_castsi512_ps(_mm512_maskz_slli_epi32(all, wide, 16));
    }
    LLAMAVISION_LANE static reg load(f16 const* p) {
        return _mm512_maskz_cvtph_ps(all, _mm256_loadu_si256(reinterpret_cast<__m256i const*>(p)));
    }
    LLAMAVISION_LANE static void store(float* p, reg a) { _mm512_storeu_ps(p, a); }
    LLAMAVISION_LANE static bool can_stream(float* p) { return reinterpret_cast<std::uintptr_t>(p) % 64 == 0; }
    LLAMAVISION_LANE static void stream(float* p, reg a) { _mm512_stream_ps(p, a); }
    LLAMAVISION_LANE static reg fma(reg a, reg b, reg c) { return _mm512_fmadd_ps(a, b, c); }
    LLAMAVISION_LANE static reg add(reg a, reg b) { return _mm512_add_ps(a, b); }
    LLAMAVISION_LANE static reg subtract(reg a, reg b) { return _mm512_sub_ps(a, b); }
    LLAMAVISION_LANE static reg multiply(reg a, reg b) { return _mm512_mul_ps(a, b); }
    LLAMAVISION_LANE static reg max(reg a, reg b) { return _mm512_maskz_max_ps(all, a, b); }
    LLAMAVISION_LANE static bool any_above(reg a, reg limit) { return _mm512_cmp_ps_mask(a, limit, _CMP_NLE_UQ) != 0; }
    LLAMAVISION_LANE static reg nearest(reg a) { return _mm512_maskz_roundscale_ps(all, a, 0); }
    LLAMAVISION_LANE static reg times_power_of_2(reg a, reg n) { return _mm512_maskz_scalef_ps(all, a, n); }
    LLAMAVISION_LANE static reg exponent_from_low_bits(reg a) {
        return _mm512_castsi512_ps(_mm512_maskz_slli_epi32(all, _mm512_castps_si512(a), 23));
    }

    LLAMAVISION_LANE static reg divide(reg a, reg b) { return _mm512_div_ps(a, b); }
    /// Pairs of bf16 values, the even ones in the low halves.
    LLAMAVISION_LANE static reg even_of_pairs(std::byte const* p) {
        return _mm512_castsi512_ps(_mm512_maskz_slli_epi32(all, _mm512_loadu_si512(p), 16));
    }
    LLAMAVISION_LANE static reg odd_of_pairs(std::byte const* p) {
        return _mm512_castsi512_ps(_mm512_and_si512(_mm512_loadu_si512(p), _mm512_set1_epi32(-0x10000)));
    }
    /// Rounded to bf16, to nearest even, in the upper halves; NaNs stay NaNs.
    LLAMAVISION_LANE static __m512i rounded(reg a) {
        __m512i const u = _mm512_castps_si512(a);
        __m512i const odd = _mm512_and_si512(_mm512_maskz_srli_epi32(all, u, 16), _mm512_set1_epi32(1));
        __m512i const up = _mm512_add_epi32(_mm512_add_epi32(u, _mm512_set1_epi32(0x7fff)), odd);
        __mmask16 const nan = _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q);
        return _mm512_mask_or_epi32(up, nan, u, _mm512_set1_epi32(0x400000));
    }
    LLAMAVISION_LANE static void store_rounded(float* p, reg a) {
        _mm512_storeu_ps(p, _mm512_castsi512_ps(_mm512_and_si512(rounded(a), _mm512_set1_epi32(-0x10000))));
    }
    LLAMAVISION_LANE static void store_rounded(bf16* p, reg a) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                            _mm512_maskz_cvtepi32_epi16(all, _mm512_maskz_srli_epi32(all, rounded(a), 16)));
    }

    /// A finite value >= 0, rounded to nearest bf16, halves up; in the upper halves.
    LLAMAVISION_LANE static __m512i rounded_up(reg a) {
        return _mm512_add_epi32(_mm512_castps_si512(a), _mm512_set1_epi32(0x8000));
    }
    LLAMAVISION_LANE static void store_weight(float* p, reg a) {
        _mm512_storeu_ps(p, _mm512_castsi512_ps(_mm512_and_si512(rounded_up(a), _mm512_set1_epi32(-0x10000))));
    }
    LLAMAVISION_LANE static void store_weight(bf16* p, reg a) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                            _mm512_maskz_cvtepi32_epi16(all, _mm512_maskz_srli_epi32(all, rounded_up(a), 16)));
    }
    /// Stores both, rounded up as above, one after the other.
    LLAMAVISION_LANE static void store_weights(bf16* p, reg a, reg b) {
        __m512i const halves = _mm512_set_epi16(63, 61, 59, 57, 55, 53, 51, 49, 47, 45, 43, 41, 39, 37, 35, 33, 31, 29,
                                                27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
        _mm512_storeu_si512(p, _mm512_permutex2var_epi16(rounded_up(a), halves, rounded_up(b)));
    }
    LLAMAVISION_LANE static void store_low_bytes(std::uint8_t* p, reg a) {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_maskz_cvtepi32_epi8(all, _mm512_castps_si512(a)));
    }

    LLAMAVISION_LANE static __m256 halves(reg a) {
        __m256d const low = _mm512_maskz_extractf64x4_pd(0xff, _mm512_castps_pd(a), 0);
        __m256d const high = _mm512_maskz_extractf64x4_pd(0xff, _mm512_castps_pd(a), 1);
        return _mm256_add_ps(_mm256_castpd_ps(low), _mm256_castpd_ps(high));
    }
    /// y[0…3] += the sums over the lanes of four registers.
    LLAMAVISION_LANE static void add_sums(reg const (&a)[4], float* y) {
        __m256 const pairs =
            _mm256_hadd_ps(_mm256_hadd_ps(halves(a[0]), halves(a[1])), _mm256_hadd_ps(halves(a[2]), halves(a[3])));
        __m128 const sums = _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps(pairs, 1));
        _mm_storeu_ps(y, _mm_add_ps(_mm_loadu_ps(y), sums));
    }
};

#include <llamavision/backend/simd/kernels/kernels.inc>
#include <llamavision/backend/simd/panels/panels.inc>

} // namespace llamavision::LLAMAVISION_ARCH::avx512

#undef LLAMAVISION_TARGET
#undef LLAMAVISION_LANE
#endif
