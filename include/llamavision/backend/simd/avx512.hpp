// SPDX-License-Identifier: Apache-2.0
// The AVX-512 tier: sixteen lanes, thirty-two registers.
#pragma once

#include <llamavision/backend/simd/compiler.hpp>
#include <llamavision/backend/simd/targets.hpp>

#if defined(__x86_64__)
#define LLAMAVISION_TARGET __attribute__((target("avx512f,avx2,fma,f16c")))
#define LLAMAVISION_LANE LLAMAVISION_TARGET __attribute__((always_inline)) inline

namespace llamavision::avx512 {

struct lanes {
    using reg = __m512;
    static constexpr tier level = tier::avx512;
    static constexpr std::size_t width = 16, rows = 6, vectors = 4;
    // g++ 12 warns of its own unmasked intrinsics that they use an undefined register; a full mask costs nothing.
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
    LLAMAVISION_LANE static reg fma(reg a, reg b, reg c) { return _mm512_fmadd_ps(a, b, c); }
    LLAMAVISION_LANE static reg add(reg a, reg b) { return _mm512_add_ps(a, b); }
    LLAMAVISION_LANE static reg subtract(reg a, reg b) { return _mm512_sub_ps(a, b); }
    LLAMAVISION_LANE static reg multiply(reg a, reg b) { return _mm512_mul_ps(a, b); }
    LLAMAVISION_LANE static reg max(reg a, reg b) { return _mm512_maskz_max_ps(all, a, b); }
    LLAMAVISION_LANE static reg exponent_from_low_bits(reg a) {
        return _mm512_castsi512_ps(_mm512_maskz_slli_epi32(all, _mm512_castps_si512(a), 23));
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

#include <llamavision/backend/simd/kernels.ipp>

} // namespace llamavision::avx512

#undef LLAMAVISION_TARGET
#undef LLAMAVISION_LANE
#endif
