// SPDX-License-Identifier: Apache-2.0
// Panels: the layout of both factors of products in bfloat16 and in 8-bit integers. It is the same for all tiers and
// all compile flags. A tile of 16 × 32 values is 1 KB in one piece: AMX loads it at once, vectors read it in order.
//
// x (rows, k): blocks of 16 rows. A block is (k/32, height, 32); its height is 16, or 1, 2, 4 or 8 if there are fewer
// rows. w (n, k): panels of 16 outputs. A panel is (k/2, 16, 2): neighbours along k are side by side, because AMX and
// AVX-512 BF16 multiply pairs and add both products. Zeros fill up k to a multiple of 32, and n to a multiple of 16.
//
// Integers lie in the same way, but in fours: x (k/64, height, 64), w (k/4, 16, 4). After w's panels there are the
// scales of all outputs as floats, then -128 Σ w of all outputs as integers. A row of x is its scale times integers q
// in
// [-127, 127], stored as u = q + 128, because the instructions multiply unsigned bytes by signed ones:
// Σ q w = Σ u w - 128 Σ w.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iterator>

#include <llamavision/backend/simd/arch/arch.hpp>
#include <llamavision/backend/simd/kernels/linear.hpp>
#include <llamavision/support/ceil_div.hpp>
#include <llamavision/support/half.hpp>
#include <llamavision/weights/blocks.hpp>

namespace llamavision::inline LLAMAVISION_ARCH::panels {

inline constexpr std::size_t side = 16;              ///< rows of a block, outputs of a panel
inline constexpr std::size_t step = 32;              ///< values of bf16 along k that are multiplied at once
inline constexpr std::size_t i8_step = 64;           ///< the same for integers
inline constexpr std::size_t tile = side * step * 2; ///< bytes of a panel's step

inline constexpr weight_layout bf16_panels{"panels of bf16"}, i8_panels{"panels of i8"};

/// An output of more bytes does not stay in a second-level cache, so it is written past the caches.
inline constexpr std::size_t large = std::size_t{1} << 21;

/// Attention takes a new shift for a row when one of the partial sums of its softmax is above this.
inline constexpr float large_sum = 0x1p40f;

constexpr std::size_t steps_of(std::size_t columns) { return ceil_div(columns, step); }

/// Bytes of w (rows, columns) as panels.
constexpr std::size_t bytes(std::size_t rows, std::size_t columns) {
    return ceil_div(rows, side) * steps_of(columns) * tile;
}

/// The byte at which the scales begin in w (rows, columns) as panels of integers; and all bytes.
constexpr std::size_t i8_scales(std::size_t rows, std::size_t columns) {
    return ceil_div(rows, side) * ceil_div(columns, i8_step) * tile;
}
constexpr std::size_t i8_bytes(std::size_t rows, std::size_t columns) {
    return i8_scales(rows, columns) + round_up(rows, side) * (sizeof(float) + sizeof(std::int32_t));
}

/// The height of the blocks that hold `rows` rows.
constexpr std::size_t height_of(std::size_t rows) { return rows >= side ? side : std::bit_ceil(rows); }

/// Calls f(k, values, count) with a row of w as floats, for columns k … k + count - 1 at a time. w is in any stored
/// format.
template <class F>
void for_values(kernel_table const& t, matrix const& w, std::size_t row, F const& f) {
    float values[512];
    for (std::size_t k = 0; k < w.columns; k += std::size(values)) {
        std::size_t const count = std::min(std::size(values), w.columns - k);
        products::widen(t, w, row * w.columns + k, count, values);
        f(k, values, count);
    }
}

/// Writes panel `index` of w.
inline void pack(kernel_table const& t, matrix const& w, std::size_t index, bf16* to) {
    std::fill_n(to, side * steps_of(w.columns) * step, bf16{0});
    for (std::size_t o = 0; o < std::min(side, w.rows - index * side); ++o)
        for_values(t, w, index * side + o, [&](std::size_t k, float const* values, std::size_t count) {
            for (std::size_t i = 0; i < count; ++i, ++k) to[(k / 2 * side + o) * 2 + k % 2] = bf16::round(values[i]);
        });
}

/// Writes panel `index` of w as integers: the largest magnitude of an output's weights becomes 127.
/// @param scale, sum (16), of the panel's outputs: the scale, and -128 Σ w
/// @throws format_error if a value is infinite or no number
inline void pack_i8(kernel_table const& t, matrix const& w, std::size_t index, std::int8_t* to, float* scale,
                    std::int32_t* sum) {
    std::fill_n(to, side * round_up(w.columns, i8_step), std::int8_t{0});
    std::fill_n(scale, side, 0.0f);
    std::fill_n(sum, side, 0);
    for (std::size_t o = 0; o < std::min(side, w.rows - index * side); ++o) {
        std::int32_t top = 0; // the bits of the largest magnitude
        for_values(t, w, index * side + o, [&](std::size_t, float const* values, std::size_t count) {
            top = std::max(top, largest_magnitude(values, count));
        });
        check_finite(top);
        float const largest = std::bit_cast<float>(top), inverse = largest > 0.0f ? 127.0f / largest : 0.0f;
        scale[o] = largest / 127.0f;
        for_values(t, w, index * side + o, [&](std::size_t k, float const* values, std::size_t count) {
            for (std::size_t i = 0; i < count; ++i, ++k) {
                auto const q = static_cast<std::int8_t>(std::lrint(values[i] * inverse));
                to[(k / 4 * side + o) * 4 + k % 4] = q;
                sum[o] -= 128 * q;
            }
        });
    }
}

} // namespace llamavision::LLAMAVISION_ARCH::panels
