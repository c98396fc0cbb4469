// SPDX-License-Identifier: Apache-2.0
// The layout of weights in q8 and q4: panels of sixteen outputs. Four neighbouring columns of all sixteen outputs are
// 64 consecutive bytes, a register of the widest instruction set. The layout is the same for all tiers.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <llamavision/backend/simd/arch/arch.hpp>
#include <llamavision/backend/simd/kernels/linear.hpp>
#include <llamavision/support/ceil_div.hpp>
#include <llamavision/weights/blocks.hpp>
#include <llamavision/weights/matrix.hpp>

namespace llamavision::inline LLAMAVISION_ARCH::blocks {

inline constexpr std::size_t outputs = 16; ///< of a panel
inline constexpr std::size_t length = 32;  ///< columns of a block
inline constexpr std::size_t line = 64;    ///< bytes: four columns of all outputs

/// Of matrices of q8 and q4.
inline constexpr weight_layout block_panels{"panels of blocks"};

/// One block of a panel: `lines` lines of unsigned integers, which are the weight's integers plus `zero`.
///
///     q8   line i          columns 4i … 4i + 3
///     q4   line i          columns 4i … 4i + 3 in the low nibbles, 4i + 16 … 4i + 19 in the high ones
///
/// A stored block of a row has its integers in the same order, so repacking moves words of four bytes.
struct q8 {
    using block = q8_0;
    static constexpr format stored = format::q8;
    static constexpr std::size_t lines = 8;
    static constexpr int zero = 128;
};
struct q4 {
    using block = q4_0;
    static constexpr format stored = format::q4;
    static constexpr std::size_t lines = 4;
    static constexpr int zero = 8;
};

/// A panel: the integers of all its blocks, then the scales (blocks, outputs). It begins on a cache line.
struct panel {
    std::uint8_t const* integers;
    f16 const* scales;
};

constexpr std::size_t integers_per_block(format type) { return (type == format::q8 ? q8::lines : q4::lines) * line; }

/// Bytes of a panel of a matrix with so many columns.
constexpr std::size_t panel_bytes(format type, std::size_t columns) {
    return round_up(columns / length * (integers_per_block(type) + outputs * sizeof(f16)), line);
}

/// Bytes of the whole matrix. The last panel is filled up with outputs that are zero.
constexpr std::size_t matrix_bytes(format type, std::size_t rows, std::size_t columns) {
    return ceil_div(rows, outputs) * panel_bytes(type, columns);
}

/// Panel i of a repacked matrix.
[[nodiscard]] inline panel panel_of(matrix const& w, std::size_t i) {
    auto const* const at = static_cast<std::uint8_t const*>(w.data) + i * panel_bytes(w.type, w.columns);
    return {at, reinterpret_cast<f16 const*>(at + w.columns / length * integers_per_block(w.type))};
}

namespace detail {

/// Block b of a stored row; converted, if the row is stored in another format.
template <class F>
typename F::block block_at(kernel_table const& t, matrix const& stored, std::size_t row, std::size_t b) {
    using block = typename F::block;
    if (stored.type == F::stored) return static_cast<block const*>(stored.data)[row * (stored.columns / length) + b];
    float wide[length];
    products::widen(t, stored, row * stored.columns + b * length, length, wide);
    return block::encode(wide);
}

/// The block's integers plus `zero`, as words of four columns.
inline void words_of(q8_0 const& block, std::uint8_t (&bytes)[32]) {
    for (std::size_t i = 0; i < 32; ++i) bytes[i] = static_cast<std::uint8_t>(block.quants[i] + q8::zero);
}
inline void words_of(q4_0 const& block, std::uint8_t (&bytes)[16]) { std::copy_n(block.pairs.data(), 16, bytes); }

} // namespace detail

/// Writes panel i of a matrix in any stored format.
template <class F>
void repack(kernel_table const& t, matrix const& stored, std::size_t i, std::byte* to) {
    std::size_t const blocks = stored.columns / length, first = i * outputs;
    std::size_t const block_bytes = F::lines * line;
    std::byte* const scales = to + blocks * block_bytes;
    for (std::size_t o = 0; o < outputs; ++o)
        for (std::size_t b = 0; b < blocks; ++b) {
            using block = typename F::block;
            block const from = first + o < stored.rows ? detail::block_at<F>(t, stored, first + o, b) : block{};
            std::uint8_t words[F::lines * 4];
            detail::words_of(from, words);
            for (std::size_t l = 0; l < F::lines; ++l)
                std::memcpy(to + b * block_bytes + l * line + o * 4, words + l * 4, 4);
            std::memcpy(scales + (b * outputs + o) * sizeof(f16), &from.scale, sizeof(f16));
        }
}

} // namespace llamavision::LLAMAVISION_ARCH::blocks
