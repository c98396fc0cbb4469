// SPDX-License-Identifier: Apache-2.0
// Products with blocks on any machine: SSE2's products of 16-bit pairs on x86, plain loops elsewhere.
#pragma once

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include <llamavision/backend/simd/block_kernels.hpp>
#include <llamavision/backend/simd/compiler.hpp>
#include <llamavision/backend/simd/xsimd.hpp>

#define LLAMAVISION_TARGET
#define LLAMAVISION_LANE __attribute__((always_inline)) inline

namespace llamavision::blocks {
inline namespace LLAMAVISION_ARCH {
namespace baseline {

#if defined(__x86_64__)

struct lanes {
    using ints = __m128i;
    using floats = __m128;
    static constexpr std::size_t width = 4, rows = 2, panels = 1;

    LLAMAVISION_LANE static ints load(std::uint8_t const* p) {
        return _mm_loadu_si128(reinterpret_cast<__m128i const*>(p));
    }
    LLAMAVISION_LANE static floats load(float const* p) { return _mm_loadu_ps(p); }
    LLAMAVISION_LANE static floats load(f16 const* p) {
        return _mm_setr_ps(static_cast<float>(p[0]), static_cast<float>(p[1]), static_cast<float>(p[2]),
                           static_cast<float>(p[3]));
    }
    LLAMAVISION_LANE static void store(float* p, floats a) { _mm_storeu_ps(p, a); }
    LLAMAVISION_LANE static void store(std::uint8_t* p, ints a) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), a); }
    LLAMAVISION_LANE static floats set(float a) { return _mm_set1_ps(a); }
    LLAMAVISION_LANE static floats fma(floats a, floats b, floats c) { return _mm_add_ps(_mm_mul_ps(a, b), c); }
    /// Without a fused multiply-add, n·scale + shift would lose the digits that cancel.
    LLAMAVISION_LANE static floats scaled(floats n, term const& t) {
        return _mm_mul_ps(_mm_sub_ps(n, _mm_set1_ps(magic)), _mm_set1_ps(t.scale));
    }
    LLAMAVISION_LANE static ints low(ints a) { return _mm_and_si128(a, _mm_set1_epi8(15)); }
    LLAMAVISION_LANE static ints high(ints a) { return low(_mm_srli_epi16(a, 4)); }
    LLAMAVISION_LANE static void prefetch(std::uint8_t const* p) { __builtin_prefetch(p); }
    /// Four activations in 16 bits, twice.
    LLAMAVISION_LANE static ints four(std::int8_t const* p) {
        std::int32_t word;
        std::memcpy(&word, p, 4);
        ints const bytes = _mm_cvtsi32_si128(word);
        ints const words = _mm_srai_epi16(_mm_unpacklo_epi8(bytes, bytes), 8);
        return _mm_unpacklo_epi64(words, words);
    }

    /// Sums of neighbouring pairs: columns 0, 1 and 2, 3 of one output side by side.
    template <class F>
    struct sums {
        struct weights {
            ints first, last; ///< outputs 0, 1 and 2, 3 in 16 bits
        };
        static constexpr std::int32_t zero = F::zero;
        ints first, last;

        LLAMAVISION_LANE void begin(std::int32_t) { first = last = _mm_setzero_si128(); }
        LLAMAVISION_LANE static weights prepare(ints w) {
            return {_mm_unpacklo_epi8(w, _mm_setzero_si128()), _mm_unpackhi_epi8(w, _mm_setzero_si128())};
        }
        LLAMAVISION_LANE void add(weights const& w, ints x) {
            first = _mm_add_epi32(first, _mm_madd_epi16(w.first, x));
            last = _mm_add_epi32(last, _mm_madd_epi16(w.last, x));
        }
        LLAMAVISION_LANE floats finish(std::int32_t start) const {
            floats const a = _mm_castsi128_ps(first), b = _mm_castsi128_ps(last);
            ints const even = _mm_castps_si128(_mm_shuffle_ps(a, b, _MM_SHUFFLE(2, 0, 2, 0)));
            ints const odd = _mm_castps_si128(_mm_shuffle_ps(a, b, _MM_SHUFFLE(3, 1, 3, 1)));
            return _mm_castsi128_ps(_mm_add_epi32(_mm_add_epi32(even, odd), _mm_set1_epi32(start)));
        }
    };
};

#else

/// Four outputs as arrays; compilers turn the loops into vectors.
struct lanes {
    struct ints {
        std::uint8_t bytes[16];
    };
    struct floats {
        float values[4];
    };
    static constexpr std::size_t width = 4, rows = 2, panels = 1;

    static ints load(std::uint8_t const* p) {
        ints a;
        std::memcpy(a.bytes, p, 16);
        return a;
    }
    static floats load(float const* p) { return {{p[0], p[1], p[2], p[3]}}; }
    static floats load(f16 const* p) {
        return {
            {static_cast<float>(p[0]), static_cast<float>(p[1]), static_cast<float>(p[2]), static_cast<float>(p[3])}};
    }
    static void store(float* p, floats const& a) { std::memcpy(p, a.values, 16); }
    static void store(std::uint8_t* p, ints const& a) { std::memcpy(p, a.bytes, 16); }
    static floats set(float a) { return {{a, a, a, a}}; }
    /// Fused wherever the machine can: left to itself, a compiler fuses in one kernel and not in another, and a row's
    /// bits would depend on the rows beside it.
    static floats fma(floats const& a, floats const& b, floats const& c) {
        floats y;
#if defined(__FP_FAST_FMAF)
        for (std::size_t i = 0; i < 4; ++i) y.values[i] = std::fma(a.values[i], b.values[i], c.values[i]);
#else
        for (std::size_t i = 0; i < 4; ++i) y.values[i] = a.values[i] * b.values[i] + c.values[i];
#endif
        return y;
    }
    static ints low(ints a) {
        for (std::uint8_t& b : a.bytes) b = static_cast<std::uint8_t>(b & 15);
        return a;
    }
    static ints high(ints a) {
        for (std::uint8_t& b : a.bytes) b = static_cast<std::uint8_t>(b >> 4);
        return a;
    }
    static floats scaled(floats n, term const& t) {
        for (float& v : n.values) v = (v - magic) * t.scale;
        return n;
    }
    static void prefetch(std::uint8_t const* p) { __builtin_prefetch(p); }
    static std::int8_t const* four(std::int8_t const* p) { return p; }

    template <class F>
    struct sums {
        using weights = ints;
        static constexpr std::int32_t zero = F::zero;
        std::int32_t sum[4];

        void begin(std::int32_t start) { std::fill_n(sum, 4, start); }
        static weights prepare(ints const& w) { return w; }
        void add(weights const& w, std::int8_t const* x) {
            for (std::size_t i = 0; i < 16; ++i) sum[i / 4] += w.bytes[i] * x[i % 4];
        }
        floats finish(std::int32_t) const {
            floats y;
            std::memcpy(y.values, sum, 16);
            return y;
        }
    };
};

#endif

#include <llamavision/backend/simd/blocks.ipp>

} // namespace baseline
} // namespace LLAMAVISION_ARCH
} // namespace llamavision::blocks

#undef LLAMAVISION_TARGET
#undef LLAMAVISION_LANE
