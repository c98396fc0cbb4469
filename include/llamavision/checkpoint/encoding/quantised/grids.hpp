// SPDX-License-Identifier: Apache-2.0
// Two views that all schemes share: integers of a few bits that are packed along one axis of a matrix, and a grid of
// scales.
#pragma once

#include <llamavision/checkpoint/encoding/quantised/numbers.hpp>
#include <llamavision/checkpoint/tensor.hpp>
#include <llamavision/support/half.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace llamavision::checkpoint {

/// Unsigned integers of 1 to 8 bits, one for each (row, column). Those that are neighbours along one axis share words
/// of `word` bytes, low bits first; a word and the next one lie `word_step` bytes apart, and two neighbours along the
/// other axis `line_step` bytes.
struct code_grid {
    std::span<std::byte const> bytes;
    std::size_t rows = 0, columns = 0;
    unsigned bits = 4;
    unsigned word = 4;        ///< 1 or 4 bytes
    bool along_rows = true;   ///< the codes of a row share words; false: those of a column
    bool dense = true;        ///< a stream of bits, whose codes may cross into the next word; false: none does
    bool interleaved = false; ///< AWQ: nibble i of a word is code {0, 2, 4, 6, 1, 3, 5, 7}[i] of its eight
    std::size_t word_step = 4, line_step = 0;
    /// HQQ, quanto: not 0 if a word's codes are that many places of the matrix apart, counted over rows: place i is in
    /// word i % distance.
    std::size_t distance = 0;
    bool high_first = false; ///< then: the first of a word's codes has the highest bits
};

/// Words that `count` neighbouring codes take.
[[nodiscard]] constexpr std::size_t words_of(std::size_t count, unsigned bits, unsigned word, bool dense) {
    std::size_t const width = std::size_t{word} * 8;
    std::size_t const per_word = width / bits;
    return dense ? count / width * bits + (count % width * bits + width - 1) / width
                 : count / per_word + (count % per_word != 0 ? 1 : 0);
}

/// A grid whose codes are packed along its rows, each of whole words.
[[nodiscard]] constexpr code_grid codes_along_rows(std::span<std::byte const> bytes, std::size_t rows,
                                                   std::size_t columns, unsigned bits, unsigned word,
                                                   bool dense = true) {
    return {bytes, rows, columns, bits, word, true, dense, false, word, words_of(columns, bits, word, dense) * word};
}

namespace detail {

/// The first bit of code `i` of a line.
[[nodiscard]] constexpr std::size_t first_bit(code_grid const& g, std::size_t i) {
    constexpr std::array<std::size_t, 8> place{0, 4, 1, 5, 2, 6, 3, 7}; // the inverse of {0, 2, 4, 6, 1, 3, 5, 7}
    if (g.interleaved) return (i / 8 * 8 + place[i % 8]) * 4;
    if (g.dense) return i * g.bits;
    std::size_t const width = std::size_t{g.word} * 8, per_word = width / g.bits;
    return i / per_word * width + i % per_word * g.bits;
}

[[nodiscard]] inline std::uint64_t word_at(code_grid const& g, std::size_t at) {
    if (g.word == 1) return std::to_integer<std::uint8_t>(g.bytes[at]);
    std::uint32_t word;
    std::memcpy(&word, g.bytes.data() + at, sizeof word);
    return word;
}

/// Code `i` of a matrix whose words hold distant codes.
[[nodiscard]] inline std::uint32_t distant_code(code_grid const& g, std::size_t i) {
    std::size_t const in_word = i / g.distance, last = g.word * 8 / g.bits - 1;
    std::size_t const shift = g.bits * (g.high_first ? last - in_word : in_word);
    return static_cast<std::uint32_t>(word_at(g, i % g.distance * g.word) >> shift) & ((1u << g.bits) - 1u);
}

} // namespace detail

/// The code of one place.
/// @pre the place exists, and its words lie inside of `bytes`, which readers check
[[nodiscard]] inline std::uint32_t code_at(code_grid const& g, std::size_t row, std::size_t column) {
    if (g.distance != 0) return detail::distant_code(g, row * g.columns + column);
    unsigned const width_bits = g.word == 1 ? 3 : 5, width = 1u << width_bits;
    std::size_t const bit = detail::first_bit(g, g.along_rows ? column : row), within = bit & (width - 1);
    std::size_t const at = (g.along_rows ? row : column) * g.line_step + (bit >> width_bits) * g.word_step;
    std::uint64_t word = detail::word_at(g, at);
    if (within + g.bits > width) word |= detail::word_at(g, at + g.word_step) << width;
    return static_cast<std::uint32_t>(word >> within) & ((1u << g.bits) - 1u);
}

/// Writes the codes of a whole row.
/// @pre to.size() is at most g.columns
inline void codes_of_row(code_grid const& g, std::size_t row, std::span<std::uint8_t> to) {
    if (g.distance != 0 || (g.along_rows && g.interleaved)) {
        for (std::size_t k = 0; k < to.size(); ++k) to[k] = static_cast<std::uint8_t>(code_at(g, row, k));
        return;
    }
    unsigned const width = g.word * 8;
    std::uint64_t const mask = (std::uint64_t{1} << g.bits) - 1;
    if (!g.along_rows) { // all at the same bit of their words
        std::size_t const bit = detail::first_bit(g, row), within = bit % width, word = bit / width * g.word_step;
        bool const crosses = within + g.bits > width;
        for (std::size_t k = 0; k < to.size(); ++k) {
            std::uint64_t bits = detail::word_at(g, k * g.line_step + word);
            if (crosses) bits |= detail::word_at(g, k * g.line_step + word + g.word_step) << width;
            to[k] = static_cast<std::uint8_t>(bits >> within & mask);
        }
        return;
    }
    std::uint64_t bits = 0; // of the words that were read, those that are not yet used
    unsigned left = 0;
    std::size_t at = row * g.line_step;
    for (std::uint8_t& code : to) {
        if (left < g.bits) {
            if (!g.dense) bits = left = 0;
            bits |= detail::word_at(g, at) << left;
            left += width;
            at += g.word_step;
        }
        code = static_cast<std::uint8_t>(bits & mask);
        bits >>= g.bits;
        left -= g.bits;
    }
}

/// Single values in a grid, of which each may stand for a rectangle of weights: scales and zero points.
struct value_grid {
    std::span<std::byte const> bytes;
    dtype type = dtype::f32;                   ///< f32, f16, bf16, i8, u8, f8_e4m3 or f8_e8m0
    std::size_t row_step = 0, column_step = 0; ///< in values
};

/// The value of one place. Floats hold all values of all the types exactly.
/// @pre it lies inside of `bytes`, which readers check
[[nodiscard]] inline float value_at(value_grid const& g, std::size_t row, std::size_t column) {
    std::byte const* const at = g.bytes.data() + (row * g.row_step + column * g.column_step) * size_of(g.type);
    auto const load = [at]<class T>(T value) {
        std::memcpy(&value, at, sizeof value);
        return static_cast<float>(value);
    };
    auto const code = std::to_integer<std::uint8_t>(*at);
    switch (g.type) {
    case dtype::f16: return load(f16{});
    case dtype::bf16: return load(bf16{});
    case dtype::i8: return static_cast<float>(static_cast<std::int8_t>(code));
    case dtype::u8: return static_cast<float>(code);
    case dtype::f8_e4m3: return values_of(small_float::e4m3)[code];
    case dtype::f8_e8m0: return decode_e8m0(code);
    default: return load(0.0f);
    }
}

} // namespace llamavision::checkpoint
