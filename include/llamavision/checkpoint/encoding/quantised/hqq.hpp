// SPDX-License-Identifier: Apache-2.0
// HQQ: integers of 1 to 8 bits in groups of a row, with scales and centres that are not integers. A word holds codes
// that are far apart: with 4 bits, those of the first half of the groups are the high nibbles.
//
// Source, by reading: hqq 0.2.8, core/bitpack.py and core/quantize.py (dequantize: w = round(code - zero) * scale, in
// the type of the scales). Files hold the settings of each module as tensors.
#pragma once

#include <llamavision/checkpoint/encoding/quantised/matrix.hpp>
#include <llamavision/checkpoint/encoding/quantised/parts.hpp>
#include <llamavision/checkpoint/encoding/quantised/settings.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace llamavision::checkpoint::detail {

/// Settings that change no value, or that other tensors tell.
inline constexpr std::string_view hqq_settings[] = {
    ".packing",      ".unpack_view_dtype",   ".view_as_float", ".compute_dtype", ".offload_meta", ".encoded_state_dict",
    ".channel_wise", ".stores_quant_config", ".optimize",      ".round_zero",    ".quant_scale",  ".quant_zero"};

/// Value `i` of a tensor of integers.
[[nodiscard]] inline std::int64_t integer_at(module_parts& parts, std::string_view ending, std::size_t i,
                                             std::size_t count) {
    tensor const& t = parts.at(ending, {dtype::i32, dtype::i64});
    if (t.bytes.size() != count * size_of(t.type)) parts.fail(ending, "must have " + std::to_string(count) + " values");
    std::int64_t wide = 0;
    std::int32_t narrow = 0;
    if (t.type == dtype::i64) return std::memcpy(&wide, t.bytes.data() + i * sizeof wide, sizeof wide), wide;
    return std::memcpy(&narrow, t.bytes.data() + i * sizeof narrow, sizeof narrow), narrow;
}

[[nodiscard]] inline quantised_matrix read_hqq(module_parts& parts, scheme_settings const& s) {
    constexpr std::string_view codes_name = ".W_q";
    quantised_matrix m{parts.name(), "HQQ"};
    check_method(parts, codes_name, s, m.format, {"hqq"});
    for (std::string_view const ending : hqq_settings) static_cast<void>(parts.find(ending));
    if (integer_at(parts, ".axis", 0, 1) != 1) parts.fail(".axis", "groups across rows (axis 0) are not read");
    auto const bits = integer_at(parts, ".nbits", 0, 1);
    if (bits != 1 && bits != 2 && bits != 3 && bits != 4 && bits != 8) parts.fail(".nbits", "must be 1, 2, 3, 4 or 8");
    std::int64_t const rows = integer_at(parts, ".shape", 0, 2), columns = integer_at(parts, ".shape", 1, 2);
    std::int64_t const group = integer_at(parts, ".group_size", 0, 1);
    if (rows <= 0 || columns <= 0 || rows > UINT32_MAX || columns > UINT32_MAX) parts.fail(".shape", "is no matrix's");
    if (group <= 0 || columns % group != 0) parts.fail(".group_size", "does not divide the rows");
    m.rows = static_cast<std::size_t>(rows);
    m.columns = static_cast<std::size_t>(columns);

    grouped_integers g;
    g.group = static_cast<std::size_t>(group);
    std::size_t const in_row = m.columns / g.group, groups = m.rows * in_row;
    // 1-bit matrices are read in the same way; words of 3-bit codes hold ten of them.
    unsigned const word = bits == 3 ? 4 : 1, width = static_cast<unsigned>(bits);
    std::size_t const per_word = word * 8 / width, lines = (groups - 1) / per_word + 1;
    tensor const& codes = parts.at(codes_name, {dtype::u8, dtype::i32, dtype::f16, dtype::bf16, dtype::f32});
    if (groups % per_word != 0 && bits != 3) parts.fail(codes_name, "its words hold no equal parts of the groups");
    if (codes.bytes.size() / word / g.group != lines || codes.bytes.size() % (word * g.group) != 0)
        parts.fail(codes_name, "has " + std::to_string(codes.bytes.size()) + " bytes, which are not those of "
                                   + std::to_string(groups) + " groups of " + std::to_string(g.group));
    g.codes = {codes.bytes, m.rows, m.columns, width, word, true, true, false, 0, 0, lines * g.group, true};
    auto const read = [&](std::string_view ending) {
        tensor const& t = parts.at(ending, {dtype::f16, dtype::bf16, dtype::f32});
        if (values_of(t) != groups) parts.fail(ending, "must have " + std::to_string(groups) + " values");
        return value_grid{t.bytes, t.type, in_row, 1};
    };
    g.scales = read(".scale");
    g.centres = read(".zero");
    m.native = g.scales.type;
    m.values = g;
    return m;
}

} // namespace llamavision::checkpoint::detail
