// SPDX-License-Identifier: Apache-2.0
// Weights in blocks behind the interface of a pointer to floats, so that plain loops take any format.
#pragma once

#include <cstddef>

#include <llamavision/weights/blocks.hpp>

namespace llamavision {

/// Value i of a block, divided by the block's scale.
[[nodiscard]] constexpr int integer_of(q8_0 const& block, std::size_t i) { return block.quants[i]; }
[[nodiscard]] constexpr int integer_of(q4_0 const& block, std::size_t i) { return detail::nibble(block.pairs, i) - 8; }

/// Consecutive values in blocks. A scale has 11 significant bits, an integer at most 8, so every value is exact in
/// float.
template <class Block>
struct block_values {
    Block const* blocks = nullptr;
    std::size_t first = 0; ///< index, among the values in `blocks`, of the value [0]

    [[nodiscard]] constexpr float operator[](std::size_t i) const {
        Block const& b = blocks[(first + i) / Block::values];
        return static_cast<float>(b.scale) * static_cast<float>(integer_of(b, (first + i) % Block::values));
    }
    [[nodiscard]] constexpr block_values operator+(std::size_t n) const { return {blocks, first + n}; }

    /// y (count) = the values [0] ... [count - 1]; whole blocks at a time where possible.
    void widen(std::size_t count, float* y) const {
        std::size_t i = 0;
        for (; i < count && (first + i) % Block::values != 0; ++i) y[i] = (*this)[i];
        for (; i + Block::values <= count; i += Block::values) blocks[(first + i) / Block::values].decode(y + i);
        for (; i < count; ++i) y[i] = (*this)[i];
    }
};

template <class Block>
block_values(Block const*) -> block_values<Block>;

} // namespace llamavision
