// SPDX-License-Identifier: Apache-2.0
// One function for each family of schemes, which computes a row in floats. Intermediate results are rounded where the
// library that wrote the file rounds them, so that the values are the same to the bit.
#pragma once

#include <llamavision/checkpoint/encoding/quantised/dequantise.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/quoted.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace llamavision::checkpoint {

namespace detail {

/// `value` rounded to nearest, ties to even, as a value of `type`.
[[nodiscard]] inline float rounded_to(dtype type, float value) {
    if (type == dtype::bf16) return static_cast<float>(bf16::round(value));
    if (type == dtype::f16) return static_cast<float>(f16::round(value));
    return value;
}

[[nodiscard]] inline float finite_scale(float scale, quantised_matrix const& m, std::size_t row) {
    if (!std::isfinite(scale))
        throw format_error("the tensor " + in_quotes(m.name + ".weight") + " (" + m.format + "): a scale of row "
                           + std::to_string(row) + " is infinite or not a number");
    return scale;
}

/// Room for the codes of a row.
using row_codes = std::span<std::uint8_t>;

/// a * b, rounded to a float. It is exact as a double, so that no compiler fuses it with a sum that follows.
[[nodiscard]] inline float product(float a, float b) {
    return static_cast<float>(static_cast<double>(a) * static_cast<double>(b));
}

/// Scale `i` of the blocks.
[[nodiscard]] inline float block_scale(codebook_blocks const& c, std::size_t i) {
    if (c.nested_block == 0)
        return c.transposed == 0 ? value_at(c.scales, i, 0) : value_at(c.scales, i % c.transposed, i / c.transposed);
    auto const code = static_cast<std::uint8_t>(value_at(c.scales, i, 0));
    float const scale = product(c.nested_table[code], value_at(c.nested_scales, i / c.nested_block, 0));
    if (!c.nested_in_bf16) return scale + c.offset;
    return rounded_to(dtype::bf16, rounded_to(dtype::bf16, scale) + rounded_to(dtype::bf16, c.offset));
}

inline void row_of(codebook_blocks const& c, quantised_matrix const& m, std::size_t row, dtype, row_codes, float* to) {
    std::size_t const begin = row * m.columns, end = begin + m.columns;
    for (std::size_t i = begin; i < end;) {
        float const scale = finite_scale(block_scale(c, i / c.block), m, row);
        for (std::size_t const stop = std::min(end, (i / c.block + 1) * c.block); i < stop; ++i) {
            auto const pair = std::to_integer<unsigned>(c.codes[i / 2]);
            to[i - begin] = c.table[i % 2 == 0 ? pair >> 4 : pair & 15u] * scale;
        }
    }
}

[[nodiscard]] inline std::size_t group_of(grouped_integers const& g, std::size_t column) {
    if (g.groups.empty()) return column / g.group;
    std::int32_t index;
    std::memcpy(&index, g.groups.data() + column * sizeof index, sizeof index);
    return static_cast<std::size_t>(index);
}

inline void row_of(grouped_integers const& g, quantised_matrix const& m, std::size_t row, dtype type, row_codes codes,
                   float* to) {
    codes_of_row(g.codes, row, codes);
    for (std::size_t k = 0; k < m.columns;) {
        std::size_t const group = group_of(g, k), stop = g.groups.empty() ? std::min(m.columns, k + g.group) : k + 1;
        float const scale = rounded_to(type, finite_scale(value_at(g.scales, row, group), m, row));
        if (g.offsets) {
            float const offset = g.sign * finite_scale(value_at(*g.offsets, row, group), m, row);
            for (; k < stop; ++k) to[k] = rounded_to(type, product(static_cast<float>(codes[k]), scale)) + offset;
            continue;
        }
        if (g.centres) {
            float const centre = finite_scale(value_at(*g.centres, row, group), m, row);
            for (; k < stop; ++k) to[k] = rounded_to(type, static_cast<float>(codes[k]) - centre) * scale;
            continue;
        }
        std::int32_t const zero =
            g.zero + (g.zeros ? static_cast<std::int32_t>(code_at(*g.zeros, row, group)) : std::int32_t{0});
        for (; k < stop; ++k) to[k] = static_cast<float>(static_cast<std::int32_t>(codes[k]) - zero) * scale;
    }
}

inline void row_of(integer_rows const& r, quantised_matrix const& m, std::size_t row, dtype, row_codes, float* to) {
    for (std::size_t k = 0; k < m.columns;) {
        std::size_t const group = k / r.group;
        float const scale = finite_scale(value_at(r.scales, row, group), m, row);
        float const zero = r.zeros ? finite_scale(value_at(*r.zeros, row, group), m, row) : 0.0f;
        for (std::size_t const stop = std::min(m.columns, k + r.group); k < stop; ++k) {
            auto const code = static_cast<std::int8_t>(std::to_integer<std::uint8_t>(r.codes[row * m.columns + k]));
            to[k] = (static_cast<float>(code) - zero) * scale * r.factor;
        }
    }
}

inline void row_of(float_blocks const& f, quantised_matrix const& m, std::size_t row, dtype, row_codes, float* to) {
    auto const& values = values_of(f.type);
    for (std::size_t k = 0; k < m.columns;) {
        float const scale = finite_scale(value_at(f.scales, row / f.row_block, k / f.column_block), m, row);
        for (std::size_t const stop = std::min(m.columns, (k / f.column_block + 1) * f.column_block); k < stop; ++k)
            to[k] = values[std::to_integer<std::uint8_t>(f.codes[row * m.columns + k])] * scale;
    }
}

inline void row_of(scaled_floats const& f, quantised_matrix const& m, std::size_t row, dtype, row_codes codes,
                   float* to) {
    codes_of_row(f.codes, row, codes);
    auto const& values = values_of(f.type);
    for (std::size_t k = 0; k < m.columns;) {
        float const scale = finite_scale(value_at(f.scales, row, k / f.group) / f.divisor * f.factor, m, row);
        for (std::size_t const stop = std::min(m.columns, k + f.group); k < stop; ++k) to[k] = values[codes[k]] * scale;
    }
}

/// Rounds `count` floats to `type`, and writes them.
inline void store_as(dtype type, float const* from, std::size_t count, std::byte* to) {
    if (type == dtype::f32) return static_cast<void>(std::memcpy(to, from, count * sizeof(float)));
    for (std::size_t i = 0; i < count; ++i) {
        std::uint16_t const bits = type == dtype::bf16 ? bf16::round(from[i]).bits : f16::round(from[i]).bits;
        std::memcpy(to + i * sizeof bits, &bits, sizeof bits);
    }
}

} // namespace detail

LLAMAVISION_INLINE void dequantise(quantised_matrix const& m, std::size_t first, std::size_t count, dtype type,
                                   std::span<std::byte> to) {
    std::vector<float> row(m.columns);
    std::vector<std::uint8_t> codes(m.columns);
    std::size_t const size = m.columns * size_of(type);
    for (std::size_t i = 0; i < count; ++i) {
        std::visit([&](auto const& family) { detail::row_of(family, m, first + i, type, codes, row.data()); },
                   m.values);
        detail::store_as(type, row.data(), m.columns, to.data() + i * size);
    }
}

LLAMAVISION_INLINE tensor tensor_of(std::shared_ptr<quantised_matrix const> m) {
    tensor result{m->native, {m->rows, m->columns}, {}, {}};
    result.make = [m](std::span<std::byte> to) { dequantise(*m, 0, m->rows, m->native, to); };
    result.stored = std::move(m);
    return result;
}

} // namespace llamavision::checkpoint
