// SPDX-License-Identifier: Apache-2.0
// Products with q8 and q4 on any machine: SSE2's products of 16-bit pairs on x86-64, NEON's of bytes on AArch64.
#pragma once

#include <bit>
#include <cstring>
#include <limits>

#include <llamavision/backend/simd/arch/arch.hpp>
#include <llamavision/backend/simd/arch/compiler.hpp>
#include <llamavision/backend/simd/arch/xsimd.hpp>
#include <llamavision/backend/simd/blocks/kernels.hpp>

#define LLAMAVISION_TARGET
#define LLAMAVISION_LANE __attribute__((always_inline)) inline

namespace llamavision::inline LLAMAVISION_ARCH::blocks {
namespace baseline {

#if defined(__x86_64__)

struct lanes {
    using ints = __m128i;
    using floats = __m128;
    static constexpr std::size_t width = 4, rows = 2, panels = 1, rows_side_by_side = 0;
    static constexpr std::size_t parts_at_once = 1;
    static constexpr bool keeps_words = true;

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
    /// SSE2 has no fused multiply-add: f·scale would be rounded, and its last digits lost when shift is added.
    LLAMAVISION_LANE static floats scaled(floats n, term const& t) {
        return _mm_mul_ps(_mm_sub_ps(n, _mm_set1_ps(magic)), _mm_set1_ps(t.scale));
    }
    LLAMAVISION_LANE static ints low(ints a) { return _mm_and_si128(a, _mm_set1_epi8(15)); }
    LLAMAVISION_LANE static ints high(ints a) { return low(_mm_srli_epi16(a, 4)); }
    /// Four activations in 16 bits, twice.
    LLAMAVISION_LANE static ints four(std::int8_t const* p) {
        std::int32_t word;
        std::memcpy(&word, p, 4);
        ints const bytes = _mm_cvtsi32_si128(word);
        ints const words = _mm_srai_epi16(_mm_unpacklo_epi8(bytes, bytes), 8);
        return _mm_unpacklo_epi64(words, words);
    }

    template <class F>
    static constexpr std::int32_t zero = F::zero;
    /// The instruction adds neighbouring pairs of products, so that each output has two sums side by side: of columns
    /// 0, 1 and of columns 2, 3.
    struct pair_sums {
        struct weights {
            ints first, last; ///< outputs 0, 1 and 2, 3 in 16 bits
        };
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
    template <class F>
    using sums = pair_sums;
};

#else // NEON

struct lanes {
    using ints = int8x16_t;
    using floats = float32x4_t;
    static constexpr std::size_t width = 4, rows = 2, panels = 1, rows_side_by_side = 0;
    static constexpr std::size_t parts_at_once = 1;
    static constexpr bool keeps_words = true;

    LLAMAVISION_LANE static ints load(std::uint8_t const* p) { return vreinterpretq_s8_u8(vld1q_u8(p)); }
    LLAMAVISION_LANE static floats load(float const* p) { return vld1q_f32(p); }
    LLAMAVISION_LANE static floats load(f16 const* p) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(&p->bits))); }
    LLAMAVISION_LANE static void store(float* p, floats a) { vst1q_f32(p, a); }
    LLAMAVISION_LANE static void store(std::uint8_t* p, ints a) { vst1q_u8(p, vreinterpretq_u8_s8(a)); }
    LLAMAVISION_LANE static floats set(float a) { return vdupq_n_f32(a); }
    LLAMAVISION_LANE static floats fma(floats a, floats b, floats c) { return vfmaq_f32(c, a, b); }
    LLAMAVISION_LANE static floats scaled(floats n, term const& t) { return fma(n, set(t.scale), set(t.shift)); }
    LLAMAVISION_LANE static ints low(ints a) { return vandq_s8(a, vdupq_n_s8(15)); }
    LLAMAVISION_LANE static ints high(ints a) { return vreinterpretq_s8_u8(vshrq_n_u8(vreinterpretq_u8_s8(a), 4)); }
    /// Four activations, four times.
    LLAMAVISION_LANE static ints four(std::int8_t const* p) {
        std::int32_t word;
        std::memcpy(&word, p, 4);
        return vreinterpretq_s8_s32(vdupq_n_s32(word));
    }

    template <class F>
    struct sums;
    template <class F>
    static constexpr std::int32_t zero = F::lines == 8 ? 0 : F::zero;
};

/// Products in 16 bits are added in pairs, so that each output has two sums side by side: of columns 0, 1 and of
/// columns 2, 3.
template <>
struct lanes::sums<q8> {
    using weights = ints;
    int32x4_t first, last; ///< outputs 0, 1 and 2, 3

    LLAMAVISION_LANE void begin(std::int32_t) { first = last = vdupq_n_s32(0); }
    LLAMAVISION_LANE static weights prepare(ints w) { return veorq_s8(w, vdupq_n_s8(-128)); }
    LLAMAVISION_LANE void add(weights w, ints x) {
        first = vpadalq_s16(first, vmull_s8(vget_low_s8(w), vget_low_s8(x)));
        last = vpadalq_s16(last, vmull_high_s8(w, x));
    }
    LLAMAVISION_LANE floats finish(std::int32_t start) const {
        return vreinterpretq_f32_s32(vaddq_s32(vpaddq_s32(first, last), vdupq_n_s32(start)));
    }
};

/// 8 · 15 · 127 fits into 16 bits, so a whole block is summed there.
template <>
struct lanes::sums<q4> {
    using weights = ints;
    int16x8_t first, last;

    LLAMAVISION_LANE void begin(std::int32_t) { first = last = vdupq_n_s16(0); }
    LLAMAVISION_LANE static weights prepare(ints w) { return w; }
    LLAMAVISION_LANE void add(weights w, ints x) {
        first = vmlal_s8(first, vget_low_s8(w), vget_low_s8(x));
        last = vmlal_high_s8(last, w, x);
    }
    LLAMAVISION_LANE floats finish(std::int32_t start) const {
        int32x4_t const sum = vpaddq_s32(vpaddlq_s16(first), vpaddlq_s16(last));
        return vreinterpretq_f32_s32(vaddq_s32(sum, vdupq_n_s32(start)));
    }
};

#endif

#define LLAMAVISION_UNROLL_PARTS
#include <llamavision/backend/simd/blocks/blocks.inc>
#undef LLAMAVISION_UNROLL_PARTS

} // namespace baseline
} // namespace llamavision::LLAMAVISION_ARCH::blocks

#undef LLAMAVISION_TARGET
#undef LLAMAVISION_LANE
