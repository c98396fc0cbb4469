// SPDX-License-Identifier: Apache-2.0
// The tiers of AArch64. Kernels in float, rounding and epilogues are the baseline's. NEON's extensions add products of
// bytes and of bfloat16, which multiply the panels:
//
//     sdot, bfdot        four outputs × one row: a register of w as it lies, and 4 bytes of x chosen from a register
//     smmla, bfmmla      two outputs × two rows: registers with 8 bytes of each output, and 8 bytes of each row
//
// Bits of bf16: the two products of a pair are exact. Their sum is rounded to odd; then its sum with the accumulator is
// rounded to odd. Subnormal numbers count as zero (Arm ARM, BFDotAdd with FPCR.EBF = 0). bfmmla does this for one pair,
// then for the next, so a row has the same bits from both instructions.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include <llamavision/backend/simd/arch/arch.hpp>
#include <llamavision/backend/simd/tiers/baseline.hpp>

#if defined(__aarch64__)

// g++ needs the architecture before the extensions; clang 14 does not accept `arch=` in this attribute.
#if defined(__clang__)
#define LLAMAVISION_NEON_DOT __attribute__((target("dotprod")))
#define LLAMAVISION_NEON_I8MM __attribute__((target("dotprod,i8mm")))
#define LLAMAVISION_NEON_BF16 __attribute__((target("dotprod,i8mm,bf16")))
#else
#define LLAMAVISION_NEON_DOT __attribute__((target("arch=armv8.2-a+dotprod")))
#define LLAMAVISION_NEON_I8MM __attribute__((target("arch=armv8.2-a+dotprod+i8mm")))
#define LLAMAVISION_NEON_BF16 __attribute__((target("arch=armv8.2-a+dotprod+i8mm+bf16")))
#endif
#define LLAMAVISION_LANE __attribute__((always_inline)) inline

namespace llamavision::inline LLAMAVISION_ARCH {

/// Instructions of extensions, in assembler: clang before 16 declares their intrinsics only if the whole translation
/// unit is compiled for them.
namespace neon_ops {

template <int Lane>
LLAMAVISION_LANE int32x4_t sdot(int32x4_t sum, int8x16_t w, int8x16_t x) {
    __asm__("sdot %0.4s, %1.16b, %2.4b[%c3]" : "+w"(sum) : "w"(w), "w"(x), "i"(Lane));
    return sum;
}
LLAMAVISION_LANE int32x4_t smmla(int32x4_t sum, int8x16_t x, int8x16_t w) {
    __asm__("smmla %0.4s, %1.16b, %2.16b" : "+w"(sum) : "w"(x), "w"(w));
    return sum;
}
template <int Lane>
LLAMAVISION_LANE float32x4_t bfdot(float32x4_t sum, int8x16_t w, int8x16_t x) {
    __asm__("bfdot %0.4s, %1.8h, %2.2h[%c3]" : "+w"(sum) : "w"(w), "w"(x), "i"(Lane));
    return sum;
}
LLAMAVISION_LANE float32x4_t bfmmla(float32x4_t sum, int8x16_t x, int8x16_t w) {
    __asm__("bfmmla %0.4s, %1.8h, %2.8h" : "+w"(sum) : "w"(x), "w"(w));
    return sum;
}

LLAMAVISION_LANE int8x16_t load(void const* p) { return vld1q_s8(static_cast<std::int8_t const*>(p)); }
/// The first halves of a and b, and their second halves.
LLAMAVISION_LANE int8x16_t first_halves(int8x16_t a, int8x16_t b) {
    return vreinterpretq_s8_s64(vzip1q_s64(vreinterpretq_s64_s8(a), vreinterpretq_s64_s8(b)));
}
LLAMAVISION_LANE int8x16_t last_halves(int8x16_t a, int8x16_t b) {
    return vreinterpretq_s8_s64(vzip2q_s64(vreinterpretq_s64_s8(a), vreinterpretq_s64_s8(b)));
}
/// Words of four bytes of a and b in turn: those of outputs 0 and 1, and those of outputs 2 and 3.
LLAMAVISION_LANE int8x16_t first_words(int8x16_t a, int8x16_t b) {
    return vreinterpretq_s8_s32(vzip1q_s32(vreinterpretq_s32_s8(a), vreinterpretq_s32_s8(b)));
}
LLAMAVISION_LANE int8x16_t last_words(int8x16_t a, int8x16_t b) {
    return vreinterpretq_s8_s32(vzip2q_s32(vreinterpretq_s32_s8(a), vreinterpretq_s32_s8(b)));
}

/// Integer sums of four outputs, stored in the place of floats. x is stored as q + 128, but sdot multiplies signed
/// bytes: flipping the top bit gives q.
struct integers {
    using sum = int32x4_t;
    LLAMAVISION_LANE static sum zero() { return vdupq_n_s32(0); }
    LLAMAVISION_LANE static sum load(float const* p) { return vreinterpretq_s32_f32(vld1q_f32(p)); }
    LLAMAVISION_LANE static void store(float* p, sum a) { vst1q_f32(p, vreinterpretq_f32_s32(a)); }
    LLAMAVISION_LANE static int8x16_t row(std::byte const* p) { return veorq_s8(neon_ops::load(p), vdupq_n_s8(-128)); }
    template <int Lane>
    LLAMAVISION_LANE static sum dot(sum a, int8x16_t w, int8x16_t x) {
        return sdot<Lane>(a, w, x);
    }
    LLAMAVISION_LANE static sum matrix(sum a, int8x16_t x, int8x16_t w) { return smmla(a, x, w); }
    LLAMAVISION_LANE static int8x16_t bytes(sum a) { return vreinterpretq_s8_s32(a); }
    LLAMAVISION_LANE static sum of(int8x16_t a) { return vreinterpretq_s32_s8(a); }
};

/// The same without sdot, for |x|, |w| <= 127. Each output has two sums: of columns 0, 1 and of columns 2, 3.
struct halved_integers {
    struct sum {
        int32x4_t first, last; ///< outputs 0, 1 and 2, 3
    };
    LLAMAVISION_LANE static sum zero() { return {vdupq_n_s32(0), vdupq_n_s32(0)}; }
    LLAMAVISION_LANE static sum load(float const* p) {
        int32x4_t const a = integers::load(p), none = vdupq_n_s32(0);
        return {vzip1q_s32(a, none), vzip2q_s32(a, none)};
    }
    LLAMAVISION_LANE static void store(float* p, sum const& a) { integers::store(p, vpaddq_s32(a.first, a.last)); }
    LLAMAVISION_LANE static int8x16_t row(std::byte const* p) { return integers::row(p); }
    template <int Lane>
    LLAMAVISION_LANE static sum dot(sum const& a, int8x16_t w, int8x16_t x) {
        int8x16_t const four = vreinterpretq_s8_s32(vdupq_laneq_s32(vreinterpretq_s32_s8(x), Lane));
        return {vpadalq_s16(a.first, vmull_s8(vget_low_s8(w), vget_low_s8(four))),
                vpadalq_s16(a.last, vmull_high_s8(w, four))};
    }
};

/// The same with pairs of bfloat16, summed in float.
struct pairs {
    using sum = float32x4_t;
    LLAMAVISION_LANE static sum zero() { return vdupq_n_f32(0); }
    LLAMAVISION_LANE static sum load(float const* p) { return vld1q_f32(p); }
    LLAMAVISION_LANE static void store(float* p, sum a) { vst1q_f32(p, a); }
    LLAMAVISION_LANE static int8x16_t row(std::byte const* p) { return neon_ops::load(p); }
    template <int Lane>
    LLAMAVISION_LANE static sum dot(sum a, int8x16_t w, int8x16_t x) {
        return bfdot<Lane>(a, w, x);
    }
    LLAMAVISION_LANE static sum matrix(sum a, int8x16_t x, int8x16_t w) { return bfmmla(a, x, w); }
    LLAMAVISION_LANE static int8x16_t bytes(sum a) { return vreinterpretq_s8_f32(a); }
    LLAMAVISION_LANE static sum of(int8x16_t a) { return vreinterpretq_f32_s8(a); }
};

} // namespace neon_ops

#define LLAMAVISION_TARGET
namespace neon {

struct lanes : neon_ops::halved_integers {
    static constexpr bool matrices = false;
    static constexpr std::size_t rows = 2; // 16 registers of sums
};

#include <llamavision/backend/simd/tiers/neon_panels.inc>

inline constexpr panel_table panels_table = [] {
    panel_table t = baseline::wide_panels;
    t.biased = false;
    t.multiply_i8 = &multiply<lanes>;
    return t;
}();

} // namespace neon
#undef LLAMAVISION_TARGET

#define LLAMAVISION_TARGET LLAMAVISION_NEON_DOT
namespace neon_dot {

struct lanes : neon_ops::integers {
    static constexpr bool matrices = false;
    static constexpr std::size_t rows = 4;
};

#include <llamavision/backend/simd/tiers/neon_panels.inc>

inline constexpr panel_table panels_table = [] {
    panel_table t = neon::panels_table;
    t.multiply_i8 = &multiply<lanes>;
    return t;
}();

} // namespace neon_dot
#undef LLAMAVISION_TARGET

#define LLAMAVISION_TARGET LLAMAVISION_NEON_I8MM
namespace neon_i8mm {

struct lanes : neon_ops::integers {
    static constexpr bool matrices = true;
};

#include <llamavision/backend/simd/tiers/neon_panels.inc>

inline constexpr panel_table panels_table = [] {
    panel_table t = neon::panels_table;
    t.multiply_i8 = &multiply<lanes>;
    return t;
}();

} // namespace neon_i8mm
#undef LLAMAVISION_TARGET

#define LLAMAVISION_TARGET LLAMAVISION_NEON_BF16
namespace neon_bf16 {

struct lanes : neon_ops::pairs {
    static constexpr bool matrices = true;
};

#include <llamavision/backend/simd/tiers/neon_panels.inc>

inline constexpr panel_table panels_table = [] {
    panel_table t = neon_i8mm::panels_table;
    t.wide = false;
    t.round = &baseline::round_rows<bf16>;
    t.softmax = &baseline::softmax_row<bf16>;
    t.multiply = &multiply<lanes>;
    return t;
}();

} // namespace neon_bf16
#undef LLAMAVISION_TARGET

} // namespace llamavision::LLAMAVISION_ARCH

#undef LLAMAVISION_LANE
#endif
