// SPDX-License-Identifier: Apache-2.0
// quanto: int8 and FP8 with a scale for each row, and integers of 2 and 4 bits in groups of a row. A byte holds codes
// that are far apart: with 4 bits, those of the first half of the groups are the low nibbles.
//
// Source, by reading: optimum-quanto 0.2.7, tensor/packed.py, qbits.py and qbytes.py. With a shift that is not an
// integer w = round(scale * code) - shift, else w = scale * (code - shift), in the type of the scales.
#pragma once

#include <llamavision/checkpoint/encoding/quantised/matrix.hpp>
#include <llamavision/checkpoint/encoding/quantised/parts.hpp>
#include <llamavision/checkpoint/encoding/quantised/scales.hpp>
#include <llamavision/checkpoint/encoding/quantised/settings.hpp>

#include <cstddef>
#include <string>
#include <string_view>

namespace llamavision::checkpoint::detail {

[[nodiscard]] inline quantised_matrix read_quanto_bits(module_parts& parts, scheme_settings const& s) {
    constexpr std::string_view codes_name = ".weight._data._data";
    quantised_matrix m{parts.name(), "quanto"};
    check_method(parts, codes_name, s, m.format, {"quanto"});
    tensor const& codes = parts.matrix(codes_name, {dtype::u8});
    tensor const& scales = parts.matrix(".weight._scale", {dtype::f16, dtype::bf16, dtype::f32});
    tensor const& shifts = parts.at(".weight._shift", {scales.type, dtype::i8}, scales.shape);
    if (scales.shape[1] != 1) parts.fail(".weight._scale", "must have one scale for each group of a row");

    std::size_t const groups = scales.shape[0], lines = codes.shape[0];
    unsigned bits = 0;
    for (unsigned const width : {4u, 2u})
        if ((groups - 1) / (8 / width) + 1 == lines) bits = width;
    if (bits == 0)
        parts.fail(codes_name, "has no codes of 2 or 4 bits for each of the " + std::to_string(groups) + " scales");
    grouped_integers g;
    g.group = codes.shape[1];
    m.columns = known_inputs(parts, codes_name, s);
    if (m.columns % g.group != 0 || groups % (m.columns / g.group) != 0)
        parts.fail(codes_name, "groups of " + std::to_string(g.group) + " do not make rows of "
                                   + std::to_string(m.columns) + " weights");
    std::size_t const in_row = m.columns / g.group;
    m.rows = groups / in_row;
    g.codes = {codes.bytes, m.rows, m.columns, bits, 1, true, true, false, 0, 0, lines * g.group, false};
    g.scales = {scales.bytes, scales.type, in_row, 1};
    value_grid const shift{shifts.bytes, shifts.type, in_row, 1};
    if (shifts.type == dtype::i8) {
        g.centres = shift;
    } else {
        g.offsets = shift;
        g.sign = -1;
    }
    m.native = scales.type;
    m.values = g;
    return m;
}

[[nodiscard]] inline quantised_matrix read_quanto_bytes(module_parts& parts, scheme_settings const& s) {
    constexpr std::string_view codes_name = ".weight._data", scales_name = ".weight._scale";
    quantised_matrix m{parts.name(), "quanto"};
    check_method(parts, codes_name, s, m.format, {"quanto"});
    tensor const& codes = parts.matrix(codes_name, {dtype::i8, dtype::f8_e4m3, dtype::f8_e5m2});
    m.rows = codes.shape[0];
    m.columns = codes.shape[1];
    std::size_t group = 0;
    auto const scales =
        read_group_scales(parts, scales_name, {dtype::f16, dtype::bf16, dtype::f32}, m.rows, m.columns, group);
    m.native = scales.type;
    if (codes.type == dtype::i8)
        m.values = integer_rows{codes.bytes, group, scales, 1, std::nullopt};
    else
        m.values = float_blocks{codes.bytes, codes.type == dtype::f8_e4m3 ? small_float::e4m3 : small_float::e5m2,
                                scales, 1, group};
    return m;
}

} // namespace llamavision::checkpoint::detail
