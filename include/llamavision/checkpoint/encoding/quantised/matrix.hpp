// SPDX-License-Identifier: Apache-2.0
// A matrix of weights as a quantised checkpoint stores it: one description for each family of schemes, whichever
// library wrote it. All of them view the mapped files.
#pragma once

#include <llamavision/checkpoint/encoding/quantised/grids.hpp>
#include <llamavision/checkpoint/encoding/quantised/numbers.hpp>
#include <llamavision/checkpoint/tensor.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <variant>

namespace llamavision::checkpoint {

/// A table of 16 values, and a scale for each block of values that are consecutive in the whole matrix, across the ends
/// of rows: w[i] = table[code i] * scale[i / block]. Code 2j is the high nibble of byte j, code 2j + 1 the low one.
struct codebook_blocks {
    std::span<std::byte const> codes;
    std::array<float, 16> table{};
    std::size_t block = 64;

    /// The scales, or with `nested_block` the codes of quantised scales: scale[i] = nested_table[code i]
    /// * nested_scales[i / nested_block] + offset.
    value_grid scales;
    std::size_t transposed = 0; ///< the scales lie in columns of so many rows; 0: one after the other
    std::size_t nested_block = 0;
    std::array<float, 256> nested_table{};
    value_grid nested_scales;
    float offset = 0;
    bool nested_in_bf16 = false; ///< each step of the scale's formula is rounded to bfloat16
};

/// Integers of 2 to 8 bits with a scale and a zero point for each group of columns.
struct grouped_integers {
    code_grid codes;
    std::size_t group = 0;             ///< columns of a group
    std::span<std::byte const> groups; ///< i32, the group of each column; empty: column / group
    value_grid scales;                 ///< (row, group)
    std::optional<code_grid> zeros;    ///< (row, group), packed; their value is the code plus `zero`
    std::int32_t zero = 0;             ///< without `zeros`: of all groups
    /// (row, group), in place of zero points: w = round(q * scale) + sign * offset.
    std::optional<value_grid> offsets;
    float sign = 1;
    std::optional<value_grid> centres; ///< (row, group), in place of zero points: w = round(q - centre) * scale
};

/// Signed integers of 8 bits, with a scale for each row or group of columns: w = ((q - zero) * scale) * factor.
struct integer_rows {
    std::span<std::byte const> codes;
    std::size_t group = 0; ///< columns of a group; the matrix's: one scale for each row
    value_grid scales;     ///< (row, group)
    float factor = 1;
    std::optional<value_grid> zeros; ///< (row, group)
};

/// Floats of 8 bits, with a scale for each rectangle of rows and columns: w = code * scale.
struct float_blocks {
    std::span<std::byte const> codes;
    small_float type = small_float::e4m3;
    value_grid scales; ///< (row / row_block, column / column_block)
    std::size_t row_block = 1, column_block = 1;
};

/// Floats of 4, 6 or 8 bits, with a scale for each group of columns: w = code * (scale / divisor * factor).
struct scaled_floats {
    code_grid codes;
    small_float type = small_float::e2m1;
    std::size_t group = 32;
    value_grid scales; ///< (row, group)
    float divisor = 1, factor = 1;
};

/// A matrix [rows, columns] of a module.
struct quantised_matrix {
    std::string name;   ///< of the module, for errors
    std::string format; ///< "bitsandbytes NF4"
    std::size_t rows = 0, columns = 0;
    /// The type in which the library that wrote it computes and rounds, so the type of its values.
    dtype native = dtype::bf16;
    /// Whether that library computes in the type in which the model is loaded, F16 or BF16, instead.
    bool follows_load = false;
    std::variant<codebook_blocks, grouped_integers, integer_rows, float_blocks, scaled_floats> values{};
    std::size_t stored_bytes = 0; ///< of all its stored tensors
};

/// Bits of a code.
[[nodiscard]] inline unsigned bits_of(quantised_matrix const& m) {
    if (auto const* const g = std::get_if<grouped_integers>(&m.values)) return g->codes.bits;
    if (auto const* const f = std::get_if<scaled_floats>(&m.values)) return f->codes.bits;
    return std::holds_alternative<codebook_blocks>(m.values) ? 4 : 8;
}

/// Weights that share a scale, in words: "group 128", "block 64", "row", "block 128 x 128".
[[nodiscard]] inline std::string group_text(quantised_matrix const& m) {
    if (auto const* const c = std::get_if<codebook_blocks>(&m.values))
        return "block " + std::to_string(c->block) + (c->nested_block != 0 ? ", scales quantised" : "");
    if (auto const* const g = std::get_if<grouped_integers>(&m.values))
        return (g->group >= m.columns ? std::string("row") : "group " + std::to_string(g->group))
               + (g->groups.empty() ? "" : ", columns in an order of their own");
    if (auto const* const f = std::get_if<scaled_floats>(&m.values)) return "group " + std::to_string(f->group);
    if (auto const* const f = std::get_if<float_blocks>(&m.values)) {
        if (f->row_block >= m.rows && f->column_block >= m.columns) return "tensor";
        if (f->row_block == 1 && f->column_block >= m.columns) return "row";
        return "block " + std::to_string(f->row_block) + " x " + std::to_string(f->column_block);
    }
    auto const& r = std::get<integer_rows>(m.values);
    return r.group >= m.columns ? std::string("row") : "group " + std::to_string(r.group);
}

} // namespace llamavision::checkpoint
