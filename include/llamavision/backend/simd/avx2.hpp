// SPDX-License-Identifier: Apache-2.0
// The AVX2 tier: eight lanes, sixteen registers, fused multiply-add and the conversion of binary16.
#pragma once

#include <llamavision/backend/simd/compiler.hpp>
#include <llamavision/backend/simd/targets.hpp>

#if defined(__x86_64__)
#define LLAMAVISION_TARGET __attribute__((target("avx2,fma,f16c")))
#define LLAMAVISION_LANE LLAMAVISION_TARGET __attribute__((always_inline)) inline

namespace llamavision::avx2 {

struct lanes {
    using reg = __m256;
    static constexpr tier level = tier::avx2;
    static constexpr std::size_t width = 8, rows = 3, vectors = 2;

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
    LLAMAVISION_LANE static reg fma(reg a, reg b, reg c) { return _mm256_fmadd_ps(a, b, c); }
    LLAMAVISION_LANE static reg add(reg a, reg b) { return _mm256_add_ps(a, b); }
    LLAMAVISION_LANE static reg subtract(reg a, reg b) { return _mm256_sub_ps(a, b); }
    LLAMAVISION_LANE static reg multiply(reg a, reg b) { return _mm256_mul_ps(a, b); }
    LLAMAVISION_LANE static reg max(reg a, reg b) { return _mm256_max_ps(a, b); }
    LLAMAVISION_LANE static reg exponent_from_low_bits(reg a) {
        return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(a), 23));
    }
    /// y[0…3] += the sums over the lanes of four registers.
    LLAMAVISION_LANE static void add_sums(reg const (&a)[4], float* y) {
        __m256 const pairs = _mm256_hadd_ps(_mm256_hadd_ps(a[0], a[1]), _mm256_hadd_ps(a[2], a[3]));
        __m128 const sums = _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps(pairs, 1));
        _mm_storeu_ps(y, _mm_add_ps(_mm_loadu_ps(y), sums));
    }
};

#include <llamavision/backend/simd/kernels.ipp>

} // namespace llamavision::avx2

#undef LLAMAVISION_TARGET
#undef LLAMAVISION_LANE
#endif
