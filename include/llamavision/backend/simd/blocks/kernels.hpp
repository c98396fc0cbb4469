// SPDX-License-Identifier: Apache-2.0
// The tables of kernels for products with panels of q8 and q4, one for each tier; blocks.inc has the kernels.
// Activations are rounded to 8 bits with one scale for 32 columns, so that a block of a product is a sum of small
// integers.
#pragma once

#include <cstddef>
#include <cstdint>

#include <llamavision/backend/simd/arch/arch.hpp>
#include <llamavision/backend/simd/blocks/panels.hpp>

namespace llamavision::inline LLAMAVISION_ARCH::blocks {

/// The bits of the float 3·2²² plus an integer n, |n| < 2²², are the bits of the float 3·2²² + n. So a sum of integers
/// that begins with these bits ends as a float, without a conversion.
inline constexpr float magic = 0x1.8p23f;
inline constexpr std::int32_t magic_bits = 0x4b400000;

/// How the sum n of one block of a row becomes its value: with the float f = 3·2²² + n, n·scale = f·scale + shift. The
/// scale has 22 significant bits, so that shift = -3·2²²·scale is exact.
struct term {
    std::int32_t start; ///< magic_bits - zero · (sum of the row's integers)
    float scale, shift;
};

/// Rounded activations, in groups of `height` rows, the last of which is filled up: integers (groups, blocks, height,
/// 32) and terms (groups, blocks, height). A kernel that takes a group reads both in their order.
struct activations {
    std::int8_t const* values = nullptr;
    term const* terms = nullptr;
    std::size_t height = 0;
    std::size_t blocks = 0;
    bool few = false; ///< so few rows that kernels read the panels as they lie (`streams`), and do not unpack them

    /// The group that begins with that row, from that block on. @pre `row` is a multiple of the height
    [[nodiscard]] activations from(std::size_t row, std::size_t block) const {
        std::size_t const at = (row / height * blocks + block) * height;
        return {values + at * length, terms + at, height, blocks, few};
    }
};

/// Neighbouring panels that are read side by side, a block of each in turn: a core has more loads in flight when it
/// reads in several places.
struct panel_group {
    panel first;
    std::size_t bytes; ///< from panel to panel
    std::size_t count; ///< 1 to most_side_by_side

    [[nodiscard]] panel operator[](std::size_t i) const {
        return {first.integers + i * bytes, first.scales + i * bytes / sizeof(f16)};
    }
};
inline constexpr std::size_t most_side_by_side = 4;

/// The kernels of one format. All add the blocks of a row and an output in their order, sum += (f·scale + shift) · (the
/// weight's scale), so a sum has the same bits from every kernel.
struct format_kernels {
    /// y (rows, count · 16) = x · panelsᵀ, with panels read as they lie. Each kernel is for one number of rows. x is in
    /// groups of most_streamed rows.
    using stream = void (*)(panel_group const& g, std::size_t blocks, activations const& x, float* y);
    /// Unpacks some blocks of a panel for `tile`: unsigned bytes, 8 lines for each block, and the scales as floats.
    /// Returns where the bytes are: in `integers`, or in the panel itself.
    using unpack = std::uint8_t const* (*)(panel const& p, std::size_t first, std::size_t blocks,
                                           std::uint8_t* integers, float* scales);
    /// y (rows, panels · 16) += x · (unpacked panels)ᵀ. x is in groups of the tallest tile. For each block it
    /// prefetches one line for each panel, from `next` on: all lines at once would stop the pipeline.
    using tile = void (*)(std::uint8_t const* const* integers, float const* const* scales, std::size_t blocks,
                          activations const& x, std::uint8_t const* const* next, float* y);

    static constexpr std::size_t most_streamed = 4, most_rows = 6;

    std::int32_t zero; ///< of `term::start`
    std::size_t lines; ///< of a block of a panel
    stream streams[most_streamed + 1];
    unpack prepare;
    tile tiles[most_rows + 1];
};

struct block_table {
    std::size_t rows;   ///< the tallest tile
    std::size_t panels; ///< its width in panels: one or two
    /// Rounds one row, and writes it into its place in a group of `height` rows. If a block has an infinity or a NaN,
    /// its products are NaN.
    void (*round)(float const* x, std::size_t blocks, std::int32_t zero, std::int8_t* values, term* terms,
                  std::size_t height);
    format_kernels q8, q4;
};

} // namespace llamavision::LLAMAVISION_ARCH::blocks
