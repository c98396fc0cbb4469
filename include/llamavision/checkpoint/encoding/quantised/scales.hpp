// SPDX-License-Identifier: Apache-2.0
// Grids of scales in the shapes that libraries write them: one number, one for each row, or a matrix.
#pragma once

#include <llamavision/checkpoint/encoding/quantised/grids.hpp>
#include <llamavision/checkpoint/encoding/quantised/parts.hpp>
#include <llamavision/checkpoint/encoding/quantised/settings.hpp>
#include <llamavision/support/error.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

namespace llamavision::checkpoint::detail {

/// A grid, and how many scales it has along each axis.
struct scale_grid {
    value_grid values;
    std::size_t rows = 1, columns = 1;
};

/// The scales [] or [1] or [1, 1] of a tensor, [rows] of rows, [rows, columns].
[[nodiscard]] inline scale_grid read_scales(module_parts& parts, std::string_view ending,
                                            std::initializer_list<dtype> types) {
    tensor const& t = parts.at(ending, types);
    if (t.shape.size() > 2 || t.bytes.empty()) parts.fail(ending, "must have one scale, or one or two axes of them");
    scale_grid g{{t.bytes, t.type, 0, 0}, 1, 1};
    if (!t.shape.empty()) g.rows = t.shape[0];
    if (t.shape.size() == 2) g.columns = t.shape[1];
    if (g.rows > 1 || g.columns > 1) g.values = {t.bytes, t.type, g.columns, 1};
    return g;
}

/// The columns of a group, if a row of `columns` weights has `groups` of them.
[[nodiscard]] inline std::size_t group_size(module_parts const& parts, std::string_view ending, std::size_t columns,
                                            std::size_t groups) {
    if (groups == 0 || columns % groups != 0)
        parts.fail(ending, std::to_string(groups) + " groups do not divide the rows of " + std::to_string(columns)
                               + " weights");
    return columns / groups;
}

/// The scales of groups within rows: [rows, groups], [rows] or one for all. `group` receives the columns of a group.
[[nodiscard]] inline value_grid read_group_scales(module_parts& parts, std::string_view ending,
                                                  std::initializer_list<dtype> types, std::size_t rows,
                                                  std::size_t columns, std::size_t& group) {
    scale_grid const g = read_scales(parts, ending, types);
    if (g.rows != rows && !(g.rows == 1 && g.columns == 1))
        parts.fail(ending, "must have scales for each of the " + std::to_string(rows) + " rows");
    group = group_size(parts, ending, columns, g.columns);
    return g.values;
}

/// A single number that is finite and not zero.
[[nodiscard]] inline float read_scalar(module_parts& parts, std::string_view ending) {
    tensor const& t = parts.at(ending, {dtype::f32, dtype::bf16, dtype::f16});
    if (t.bytes.size() != size_of(t.type)) parts.fail(ending, "must be one number");
    float const value = value_at({t.bytes, t.type, 0, 0}, 0, 0);
    if (!std::isfinite(value) || value == 0) parts.fail(ending, "must be finite and not zero");
    return value;
}

/// The type in which a library computes whose scales are of `scales`: theirs, or the model's if they are F32 or codes.
[[nodiscard]] inline dtype native_type(dtype scales, scheme_settings const& s) {
    return scales == dtype::bf16 || scales == dtype::f16 ? scales : s.computed;
}

/// The group of each column, all of which exist. The view is empty if groups are neighbours, in order.
[[nodiscard]] inline std::span<std::byte const> read_group_indices(module_parts& parts, std::string_view ending,
                                                                   std::size_t columns, std::size_t group) {
    if (!parts.has(ending)) return {};
    tensor const& t = parts.at(ending, {dtype::i32}, {columns});
    std::size_t const groups = (columns - 1) / group + 1;
    bool in_order = true;
    for (std::size_t k = 0; k < columns; ++k) {
        std::int32_t index;
        std::memcpy(&index, t.bytes.data() + k * sizeof index, sizeof index);
        if (index < 0 || static_cast<std::size_t>(index) >= groups)
            parts.fail(ending, "column " + std::to_string(k) + " is in group " + std::to_string(index)
                                   + ", but there are " + std::to_string(groups));
        in_order = in_order && static_cast<std::size_t>(index) == k / group;
    }
    return in_order ? std::span<std::byte const>() : t.bytes;
}

} // namespace llamavision::checkpoint::detail
