// SPDX-License-Identifier: Apache-2.0
// The kernels of products with panels of blocks, as one table a tier; their text is blocks.inc. Activations are
// rounded to 8 bits with one scale for 32 columns, so that a block of a product is a sum of small integers.
#pragma once

#include <cstddef>
#include <cstdint>

#include <llamavision/backend/simd/arch/arch.hpp>
#include <llamavision/backend/simd/blocks/panels.hpp>

namespace llamavision::inline LLAMAVISION_ARCH::blocks {

/// Integers below 2²² in magnitude, added to the bits of 3·2²², are the bits of the float 3·2²² + n: a sum that starts
/// there is a float when it ends, without a conversion.
inline constexpr float magic = 0x1.8p23f;
inline constexpr std::int32_t magic_bits = 0x4b400000;

/// What turns the sum of one block of a row of activations into its value: with f = 3·2²² + n, n·scale = f·scale +
/// shift. The scale has 22 significant bits, so that shift = -3·2²²·scale is exact.
struct term {
    std::int32_t start; ///< magic_bits - zero · (sum of the row's integers)
    float scale, shift;
};

/// Activations in groups of `height` rows, the last one filled up: integers (groups, blocks, height, 32) and terms
/// (groups, blocks, height), so that a kernel that takes a group reads straight on.
struct activations {
    std::int8_t const* values = nullptr;
    term const* terms = nullptr;
    std::size_t height = 0;
    std::size_t blocks = 0;
    bool few = false; ///< of so few rows that the weights are read where they lie

    /// The group that begins with that row, from a block on. @pre `row` is a multiple of the height
    [[nodiscard]] activations from(std::size_t row, std::size_t block) const {
        std::size_t const at = (row / height * blocks + block) * height;
        return {values + at * length, terms + at, height, blocks, few};
    }
};

/// Neighbouring panels that are read side by side, block by block: a core keeps more of memory's answers in flight when
/// it reads in several places than in one.
struct panel_group {
    panel first;
    std::size_t bytes; ///< from panel to panel
    std::size_t count; ///< 1 to most_side_by_side

    [[nodiscard]] panel operator[](std::size_t i) const {
        return {first.integers + i * bytes, first.scales + i * bytes / sizeof(f16)};
    }
};
inline constexpr std::size_t most_side_by_side = 4;

/// The kernels of one format. For every row and output, blocks are added in their order: sum += (f·scale + shift) ·
/// (the weight's scale), so that a sum has the same bits from every kernel.
struct format_kernels {
    /// y (rows, count · 16) = x · panelsᵀ, the number of rows fixed by the kernel, straight from memory. x in groups of
    /// most_streamed.
    using stream = void (*)(panel_group const& g, std::size_t blocks, activations const& x, float* y);
    /// Bytes without sign, 8 lines a block, and the scales as floats: what tiles read. `integers` may be the panel's.
    using unpack = std::uint8_t const* (*)(panel const& p, std::size_t first, std::size_t blocks,
                                           std::uint8_t* integers, float* scales);
    /// y (rows, panels · 16) += x · (unpacked panels)ᵀ; x in groups of the tallest tile. On the way, fetches one line a
    /// block from where `next` points at for each panel: all at once they would stop the pipeline.
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
    /// Rounds one row, and puts it where it belongs in a group of `height`. A block with an infinity or a NaN makes all
    /// that it is multiplied with NaN.
    void (*round)(float const* x, std::size_t blocks, std::int32_t zero, std::int8_t* values, term* terms,
                  std::size_t height);
    format_kernels q8, q4;
};

} // namespace llamavision::inline LLAMAVISION_ARCH::blocks
