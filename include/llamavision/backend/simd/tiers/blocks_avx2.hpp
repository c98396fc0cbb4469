// SPDX-License-Identifier: Apache-2.0
// Products with q8 and q4 on AVX2, with and without the dot products of AVX-VNNI.
#pragma once

#include <bit>
#include <cstring>
#include <limits>

#include <llamavision/backend/simd/arch/arch.hpp>
#include <llamavision/backend/simd/arch/compiler.hpp>
#include <llamavision/backend/simd/blocks/kernels.hpp>

#if defined(__x86_64__)
#define LLAMAVISION_TARGET __attribute__((target("avx2,fma,f16c")))
#define LLAMAVISION_LANE LLAMAVISION_TARGET __attribute__((always_inline)) inline

namespace llamavision::inline LLAMAVISION_ARCH::blocks {

/// What the kernels with and without VNNI have in common.
struct avx2_lanes {
    using ints = __m256i;
    using floats = __m256;
    static constexpr std::size_t width = 8, rows = 4, panels = 1, rows_side_by_side = 2;
    static constexpr std::size_t parts_at_once = 2;
    static constexpr bool keeps_words = false;

    LLAMAVISION_LANE static ints load(std::uint8_t const* p) {
        return _mm256_loadu_si256(reinterpret_cast<__m256i const*>(p));
    }
    LLAMAVISION_LANE static floats load(float const* p) { return _mm256_loadu_ps(p); }
    LLAMAVISION_LANE static floats load(f16 const* p) {
        return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<__m128i const*>(p)));
    }
    LLAMAVISION_LANE static void store(float* p, floats a) { _mm256_storeu_ps(p, a); }
    LLAMAVISION_LANE static void store(std::uint8_t* p, ints a) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a);
    }
    LLAMAVISION_LANE static floats set(float a) { return _mm256_set1_ps(a); }
    LLAMAVISION_LANE static floats fma(floats a, floats b, floats c) { return _mm256_fmadd_ps(a, b, c); }
    LLAMAVISION_LANE static floats scaled(floats n, term const& t) { return fma(n, set(t.scale), set(t.shift)); }
    LLAMAVISION_LANE static ints low(ints a) { return _mm256_and_si256(a, _mm256_set1_epi8(15)); }
    LLAMAVISION_LANE static ints high(ints a) { return low(_mm256_srli_epi16(a, 4)); }
    LLAMAVISION_LANE static ints four(std::int8_t const* p) {
        std::int32_t word;
        std::memcpy(&word, p, 4);
        return _mm256_set1_epi32(word);
    }
};

namespace avx2 {

struct lanes : avx2_lanes {
    template <class F>
    struct sums;
    template <class F>
    static constexpr std::int32_t zero = F::lines == 8 ? 0 : F::zero;
};

/// The instruction multiplies unsigned bytes with signed ones, and adds pairs in 16 bits. 2 · 128 · 127 fits: |w| times
/// (x with the sign of w).
template <>
struct lanes::sums<q8> {
    struct weights {
        ints magnitude, value;
    };
    ints sum;

    LLAMAVISION_LANE void begin(std::int32_t start) { sum = _mm256_set1_epi32(start); }
    LLAMAVISION_LANE static weights prepare(ints w) {
        ints const value = _mm256_xor_si256(w, _mm256_set1_epi8(-128));
        return {_mm256_abs_epi8(value), value};
    }
    LLAMAVISION_LANE void add(weights const& w, ints x) {
        ints const pairs = _mm256_maddubs_epi16(w.magnitude, _mm256_sign_epi8(x, w.value));
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    }
    LLAMAVISION_LANE floats finish(std::int32_t) const { return _mm256_castsi256_ps(sum); }
};

/// 16 · 15 · 127 fits into 16 bits, so a whole block is summed there.
template <>
struct lanes::sums<q4> {
    using weights = ints;
    ints sum;

    LLAMAVISION_LANE void begin(std::int32_t) { sum = _mm256_setzero_si256(); }
    LLAMAVISION_LANE static weights prepare(ints w) { return w; }
    LLAMAVISION_LANE void add(weights w, ints x) { sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(w, x)); }
    LLAMAVISION_LANE floats finish(std::int32_t start) const {
        ints const words = _mm256_madd_epi16(sum, _mm256_set1_epi16(1));
        return _mm256_castsi256_ps(_mm256_add_epi32(words, _mm256_set1_epi32(start)));
    }
};

#define LLAMAVISION_UNROLL_PARTS LLAMAVISION_UNROLL
#include <llamavision/backend/simd/blocks/blocks.inc>
#undef LLAMAVISION_UNROLL_PARTS

} // namespace avx2
} // namespace llamavision::LLAMAVISION_ARCH::blocks

#undef LLAMAVISION_TARGET
#define LLAMAVISION_TARGET __attribute__((target("avxvnni,avx2,fma,f16c")))

namespace llamavision::inline LLAMAVISION_ARCH::blocks::avx2_vnni {

struct lanes : avx2_lanes {
    template <class F>
    static constexpr std::int32_t zero = F::zero;
    struct dot_products {
        using weights = ints;
        ints sum;

        LLAMAVISION_LANE void begin(std::int32_t start) { sum = _mm256_set1_epi32(start); }
        LLAMAVISION_LANE static weights prepare(ints w) { return w; }
        LLAMAVISION_LANE void add(weights w, ints x) { sum = _mm256_dpbusd_avx_epi32(sum, w, x); }
        LLAMAVISION_LANE floats finish(std::int32_t) const { return _mm256_castsi256_ps(sum); }
    };
    template <class F>
    using sums = dot_products;
};

#define LLAMAVISION_UNROLL_PARTS LLAMAVISION_UNROLL
#include <llamavision/backend/simd/blocks/blocks.inc>
#undef LLAMAVISION_UNROLL_PARTS

} // namespace llamavision::LLAMAVISION_ARCH::blocks::avx2_vnni

#undef LLAMAVISION_TARGET
#undef LLAMAVISION_LANE
#endif
