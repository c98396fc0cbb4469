// SPDX-License-Identifier: Apache-2.0
// Products with q8 and q4 on NEON's extensions. Activations are rounded by the baseline. For a few rows, sdot takes the
// words of x from registers. For many rows, smmla multiplies two rows with two outputs at a time; unpacking puts the
// bytes of the two outputs side by side.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include <llamavision/backend/simd/arch/arch.hpp>
#include <llamavision/backend/simd/blocks/kernels.hpp>
#include <llamavision/backend/simd/tiers/blocks_baseline.hpp>
#include <llamavision/backend/simd/tiers/neon.hpp>

#if defined(__aarch64__)
#define LLAMAVISION_LANE __attribute__((always_inline)) inline

namespace llamavision::inline LLAMAVISION_ARCH::blocks {

/// Weights as signed bytes: those of q8 themselves, those of q4 as 0 … 15; q4's `zero` is part of `term::start`.
namespace neon_ops {

using llamavision::neon_ops::first_halves, llamavision::neon_ops::last_halves;
using llamavision::neon_ops::first_words, llamavision::neon_ops::last_words;
using llamavision::neon_ops::load, llamavision::neon_ops::sdot, llamavision::neon_ops::smmla;

template <class F>
inline constexpr std::int32_t zero = F::lines == 8 ? 0 : F::zero;

/// Bytes 16i … 16i + 15 of line l of a block, as signed bytes. A stored line of q4 holds two lines.
template <class F>
LLAMAVISION_LANE int8x16_t line_of(std::uint8_t const* block, std::size_t l, std::size_t i) {
    int8x16_t const bytes = load(block + l % F::lines * line + i * 16);
    if constexpr (F::lines == 8)
        return veorq_s8(bytes, vdupq_n_s8(-128));
    else
        return l < F::lines ? baseline::lanes::low(bytes) : baseline::lanes::high(bytes);
}

/// total + (f · scale + shift) · weight_scale
LLAMAVISION_LANE float32x4_t add_block(float32x4_t total, int32x4_t sum, float32x4_t scale, float32x4_t shift,
                                       float32x4_t weight_scale) {
    return vfmaq_f32(total, vfmaq_f32(shift, vreinterpretq_f32_s32(sum), scale), weight_scale);
}

LLAMAVISION_LANE void widen_scales(panel const& p, std::size_t first, std::size_t blocks, float* scales) {
    for (std::size_t i = 0; i < blocks * outputs; i += 4)
        vst1q_f32(scales + i, baseline::lanes::load(p.scales + first * outputs + i));
}

} // namespace neon_ops

#define LLAMAVISION_TARGET LLAMAVISION_NEON_DOT
namespace neon_dot {

using namespace neon_ops;

inline constexpr std::size_t tile_rows = 4;

/// Adds lines Word and Word + 4, with those words of x, which are in two registers.
template <class F, int Word, std::size_t Rows>
LLAMAVISION_LANE void add_lines(int32x4_t (&sums)[Rows], std::uint8_t const* block, std::size_t v,
                                int8x16_t const (&words)[Rows][2]) {
    int8x16_t const early = line_of<F>(block, Word, v), late = line_of<F>(block, Word + 4, v);
    LLAMAVISION_UNROLL
    for (std::size_t r = 0; r < Rows; ++r)
        sums[r] = sdot<Word>(sdot<Word>(sums[r], early, words[r][0]), late, words[r][1]);
}

template <class F, std::size_t Rows>
LLAMAVISION_TARGET inline void stream_panel(panel const& p, std::size_t blocks, activations const& x, std::size_t width,
                                            float* y) {
    constexpr std::size_t height = format_kernels::most_streamed;
    float32x4_t totals[4][Rows];
    LLAMAVISION_UNROLL
    for (std::size_t v = 0; v < 4; ++v) {
        LLAMAVISION_UNROLL
        for (std::size_t r = 0; r < Rows; ++r) totals[v][r] = vdupq_n_f32(0);
    }
    for (std::size_t b = 0; b < blocks; ++b) {
        std::uint8_t const* const w = p.integers + b * F::lines * line;
        LLAMAVISION_UNROLL
        for (std::size_t l = 0; l < F::lines; ++l) __builtin_prefetch(w + baseline::ahead + l * line);
        term const* const terms = x.terms + b * height;
        int8x16_t words[Rows][2];
        LLAMAVISION_UNROLL
        for (std::size_t r = 0; r < Rows; ++r) {
            std::int8_t const* const row = x.values + (b * height + r) * length;
            words[r][0] = load(row);
            words[r][1] = load(row + 16);
        }
        LLAMAVISION_UNROLL
        for (std::size_t v = 0; v < 4; ++v) {
            int32x4_t sums[Rows];
            LLAMAVISION_UNROLL
            for (std::size_t r = 0; r < Rows; ++r) sums[r] = vdupq_n_s32(terms[r].start);
            add_lines<F, 0>(sums, w, v, words);
            add_lines<F, 1>(sums, w, v, words);
            add_lines<F, 2>(sums, w, v, words);
            add_lines<F, 3>(sums, w, v, words);
            float32x4_t const scale = baseline::lanes::load(p.scales + b * outputs + v * 4);
            LLAMAVISION_UNROLL
            for (std::size_t r = 0; r < Rows; ++r)
                totals[v][r] =
                    add_block(totals[v][r], sums[r], vdupq_n_f32(terms[r].scale), vdupq_n_f32(terms[r].shift), scale);
        }
    }
    LLAMAVISION_UNROLL
    for (std::size_t r = 0; r < Rows; ++r) {
        LLAMAVISION_UNROLL
        for (std::size_t v = 0; v < 4; ++v) vst1q_f32(y + r * width + v * 4, totals[v][r]);
    }
}

/// One panel after the other, so that 16 totals stay in registers.
template <class F, std::size_t Rows>
LLAMAVISION_TARGET inline void stream(panel_group const& g, std::size_t blocks, activations const& x, float* y) {
    for (std::size_t i = 0; i < g.count; ++i)
        stream_panel<F, Rows>(g[i], blocks, x, g.count * outputs, y + i * outputs);
}

/// Eight lines for each block.
template <class F>
LLAMAVISION_TARGET inline std::uint8_t const* unpack(panel const& p, std::size_t first, std::size_t blocks,
                                                     std::uint8_t* integers, float* scales) {
    widen_scales(p, first, blocks, scales);
    for (std::size_t b = 0; b < blocks; ++b)
        for (std::size_t l = 0; l < 8; ++l)
            for (std::size_t i = 0; i < 4; ++i)
                vst1q_u8(integers + (b * 8 + l) * line + i * 16,
                         vreinterpretq_u8_s8(line_of<F>(p.integers + (first + b) * F::lines * line, l, i)));
    return integers;
}

/// Adds the products of one line and a word of each row.
template <int Word, std::size_t Rows>
LLAMAVISION_LANE void add_line(int32x4_t (&sums)[2][Rows], std::uint8_t const* w, int8x16_t const (&words)[Rows]) {
    LLAMAVISION_UNROLL
    for (std::size_t v = 0; v < 2; ++v) {
        int8x16_t const bytes = load(w + v * 16);
        LLAMAVISION_UNROLL
        for (std::size_t r = 0; r < Rows; ++r) sums[v][r] = sdot<Word>(sums[v][r], bytes, words[r]);
    }
}

/// Half a panel at a time, so that 8 sums and 8 totals stay in registers.
template <std::size_t Rows>
LLAMAVISION_TARGET inline void tile(std::uint8_t const* const* integers, float const* const* scales, std::size_t blocks,
                                    activations const& x, std::uint8_t const* const* next, float* y) {
    for (std::size_t half = 0; half < 2; ++half, y += 8) {
        float32x4_t totals[2][Rows];
        LLAMAVISION_UNROLL
        for (std::size_t v = 0; v < 2; ++v) {
            LLAMAVISION_UNROLL
            for (std::size_t r = 0; r < Rows; ++r) totals[v][r] = vld1q_f32(y + r * outputs + v * 4);
        }
        for (std::size_t b = 0; b < blocks; ++b) {
            if (half == 0) __builtin_prefetch(next[0] + b * line, 0, 2);
            std::uint8_t const* const w = integers[0] + b * 8 * line + half * 32;
            term const* const terms = x.terms + b * tile_rows;
            int32x4_t sums[2][Rows];
            LLAMAVISION_UNROLL
            for (std::size_t v = 0; v < 2; ++v) {
                LLAMAVISION_UNROLL
                for (std::size_t r = 0; r < Rows; ++r) sums[v][r] = vdupq_n_s32(terms[r].start);
            }
            LLAMAVISION_UNROLL
            for (std::size_t l = 0; l < 8; l += 4) {
                int8x16_t words[Rows];
                LLAMAVISION_UNROLL
                for (std::size_t r = 0; r < Rows; ++r) words[r] = load(x.values + (b * tile_rows + r) * length + l * 4);
                add_line<0>(sums, w + l * line, words);
                add_line<1>(sums, w + (l + 1) * line, words);
                add_line<2>(sums, w + (l + 2) * line, words);
                add_line<3>(sums, w + (l + 3) * line, words);
            }
            LLAMAVISION_UNROLL
            for (std::size_t v = 0; v < 2; ++v) {
                float32x4_t const scale = vld1q_f32(scales[0] + b * outputs + half * 8 + v * 4);
                LLAMAVISION_UNROLL
                for (std::size_t r = 0; r < Rows; ++r)
                    totals[v][r] = add_block(totals[v][r], sums[v][r], vdupq_n_f32(terms[r].scale),
                                             vdupq_n_f32(terms[r].shift), scale);
            }
        }
        LLAMAVISION_UNROLL
        for (std::size_t v = 0; v < 2; ++v) {
            LLAMAVISION_UNROLL
            for (std::size_t r = 0; r < Rows; ++r) vst1q_f32(y + r * outputs + v * 4, totals[v][r]);
        }
    }
}

template <class F>
constexpr format_kernels kernels_of() {
    return {zero<F>,
            F::lines,
            {nullptr, &stream<F, 1>, &stream<F, 2>, &stream<F, 3>, &stream<F, 4>},
            &unpack<F>,
            {nullptr, &tile<1>, &tile<2>, &tile<3>, &tile<4>}};
}

inline constexpr block_table table = {tile_rows, 1, &baseline::round, kernels_of<q8>(), kernels_of<q4>()};

} // namespace neon_dot
#undef LLAMAVISION_TARGET

#define LLAMAVISION_TARGET LLAMAVISION_NEON_I8MM
namespace neon_i8mm {

using namespace neon_ops;

inline constexpr std::size_t tile_rows = 6;

/// Writes a block (512 bytes) as four segments of 8 columns, each (16 outputs, 8).
template <class F>
LLAMAVISION_TARGET inline std::uint8_t const* unpack(panel const& p, std::size_t first, std::size_t blocks,
                                                     std::uint8_t* integers, float* scales) {
    widen_scales(p, first, blocks, scales);
    std::uint8_t* to = integers;
    for (std::size_t b = first; b < first + blocks; ++b)
        for (std::size_t l = 0; l < 8; l += 2)
            for (std::size_t i = 0; i < 4; ++i, to += 32) {
                std::uint8_t const* const block = p.integers + b * F::lines * line;
                int8x16_t const even = line_of<F>(block, l, i), odd = line_of<F>(block, l + 1, i);
                vst1q_u8(to, vreinterpretq_u8_s8(first_words(even, odd)));
                vst1q_u8(to + 16, vreinterpretq_u8_s8(last_words(even, odd)));
            }
    return integers;
}

/// One value for two outputs of a row, another for two outputs of the next row.
LLAMAVISION_LANE float32x4_t both(float a, float b) { return vcombine_f32(vdup_n_f32(a), vdup_n_f32(b)); }

/// Half a panel at a time, in squares of two rows and two outputs, so that 12 sums and 12 totals stay in registers. If
/// the number of rows is odd, the last square has the last row twice.
template <std::size_t Rows>
LLAMAVISION_TARGET inline void tile(std::uint8_t const* const* integers, float const* const* scales, std::size_t blocks,
                                    activations const& x, std::uint8_t const* const* next, float* y) {
    constexpr std::size_t pairs = (Rows + 1) / 2;
    auto const second = [](std::size_t pair) { return std::min(2 * pair + 1, Rows - 1); };
    for (std::size_t half = 0; half < 2; ++half, y += 8) {
        float32x4_t totals[pairs][4];
        LLAMAVISION_UNROLL
        for (std::size_t p = 0; p < pairs; ++p) {
            LLAMAVISION_UNROLL
            for (std::size_t v = 0; v < 2; ++v) {
                float32x4_t const a = vld1q_f32(y + 2 * p * outputs + v * 4);
                float32x4_t const b = vld1q_f32(y + second(p) * outputs + v * 4);
                totals[p][2 * v] = vcombine_f32(vget_low_f32(a), vget_low_f32(b));
                totals[p][2 * v + 1] = vcombine_f32(vget_high_f32(a), vget_high_f32(b));
            }
        }
        for (std::size_t b = 0; b < blocks; ++b) {
            if (half == 0) __builtin_prefetch(next[0] + b * line, 0, 2);
            std::uint8_t const* const w = integers[0] + b * 8 * line + half * 64;
            std::int8_t const* const values = x.values + b * tile_rows * length;
            term const* const terms = x.terms + b * tile_rows;
            int32x4_t sums[pairs][4];
            LLAMAVISION_UNROLL
            for (std::size_t p = 0; p < pairs; ++p) {
                LLAMAVISION_UNROLL
                for (std::size_t v = 0; v < 4; ++v)
                    sums[p][v] = vcombine_s32(vdup_n_s32(terms[2 * p].start), vdup_n_s32(terms[second(p)].start));
            }
            LLAMAVISION_UNROLL
            for (std::size_t s = 0; s < 4; ++s) {
                int8x16_t rows[pairs];
                LLAMAVISION_UNROLL
                for (std::size_t p = 0; p < pairs; ++p)
                    rows[p] = vcombine_s8(vld1_s8(values + 2 * p * length + s * 8),
                                          vld1_s8(values + second(p) * length + s * 8));
                LLAMAVISION_UNROLL
                for (std::size_t v = 0; v < 4; ++v) {
                    int8x16_t const bytes = load(w + s * 128 + v * 16);
                    LLAMAVISION_UNROLL
                    for (std::size_t p = 0; p < pairs; ++p) sums[p][v] = smmla(sums[p][v], rows[p], bytes);
                }
            }
            LLAMAVISION_UNROLL
            for (std::size_t v = 0; v < 4; ++v) {
                float32x2_t const two = vld1_f32(scales[0] + b * outputs + half * 8 + v * 2);
                LLAMAVISION_UNROLL
                for (std::size_t p = 0; p < pairs; ++p) {
                    term const &a = terms[2 * p], &c = terms[second(p)];
                    totals[p][v] = add_block(totals[p][v], sums[p][v], both(a.scale, c.scale), both(a.shift, c.shift),
                                             vcombine_f32(two, two));
                }
            }
        }
        LLAMAVISION_UNROLL
        for (std::size_t p = 0; p < pairs; ++p) {
            LLAMAVISION_UNROLL
            for (std::size_t v = 0; v < 2; ++v) {
                float32x4_t const a = totals[p][2 * v], b = totals[p][2 * v + 1];
                vst1q_f32(y + 2 * p * outputs + v * 4, vcombine_f32(vget_low_f32(a), vget_low_f32(b)));
                vst1q_f32(y + second(p) * outputs + v * 4, vcombine_f32(vget_high_f32(a), vget_high_f32(b)));
            }
        }
    }
}

template <class F>
constexpr format_kernels kernels_of(format_kernels k) {
    k.prepare = &unpack<F>;
    format_kernels::tile const tiles[] = {nullptr, &tile<1>, &tile<2>, &tile<3>, &tile<4>, &tile<5>, &tile<6>};
    std::copy(std::begin(tiles), std::end(tiles), k.tiles);
    return k;
}

inline constexpr block_table table = {tile_rows, 1, &baseline::round, kernels_of<q8>(neon_dot::table.q8),
                                      kernels_of<q4>(neon_dot::table.q4)};

} // namespace neon_i8mm
#undef LLAMAVISION_TARGET

} // namespace llamavision::LLAMAVISION_ARCH::blocks

#undef LLAMAVISION_LANE
#endif
