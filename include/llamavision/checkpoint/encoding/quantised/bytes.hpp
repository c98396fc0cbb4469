// SPDX-License-Identifier: Apache-2.0
// Weights of one byte each beside a tensor of scales: int8 and FP8 of compressed-tensors, fine-grained FP8 of
// transformers, FP8 of ModelOpt, Quark and FBGEMM, and mxfp8. They differ in the names and shapes of the scales only.
//
// Sources: compressed-tensors 0.20.1 (compressors/), what ModelOpt writes by reading, transformers 5.23.0
// (integrations/finegrained_fp8.py: the product of a block of 128 x 128 and weight_scale_inv), OCP Microscaling 1.0
// (mxfp8).
#pragma once

#include <llamavision/checkpoint/encoding/quantised/compressed_tensors.hpp>
#include <llamavision/checkpoint/encoding/quantised/matrix.hpp>
#include <llamavision/checkpoint/encoding/quantised/parts.hpp>
#include <llamavision/checkpoint/encoding/quantised/scales.hpp>
#include <llamavision/checkpoint/encoding/quantised/settings.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace llamavision::checkpoint::detail {

/// The first of the settings that names a block of rows and columns.
[[nodiscard]] inline std::optional<json_view> block_setting(scheme_settings const& s) {
    if (auto block = s.json.find("weight_block_size")) return block; // transformers
    if (s.method != "compressed-tensors") return std::nullopt;
    for (auto const& [name, scheme] : s.json.at("config_groups").members())
        if (auto const weights = scheme.find("weights"))
            if (auto block = weights->find("block_structure")) return block;
    return std::nullopt;
}

/// Rows and columns of weights that share one of `grid`'s scales.
[[nodiscard]] inline std::pair<std::size_t, std::size_t>
block_of_scales(module_parts const& parts, std::string_view ending, scale_grid const& grid, quantised_matrix const& m,
                scheme_settings const& s) {
    if (grid.rows == 1 && grid.columns == 1) return {m.rows, m.columns};
    if (grid.rows == m.rows && grid.columns == 1) return {1, m.columns};
    auto const said = block_setting(s);
    std::size_t rows = 128, columns = 128;
    if (said) {
        auto const sides = said->items();
        if (sides.size() != 2) said->fail("two numbers, rows and columns");
        rows = sides[0].positive(std::size_t{1} << 20);
        columns = sides[1].positive(std::size_t{1} << 20);
    }
    auto const fits = [](std::size_t extent, std::size_t block, std::size_t blocks) {
        return (extent - 1) / block + 1 == blocks;
    };
    if (fits(m.rows, rows, grid.rows) && fits(m.columns, columns, grid.columns)) return {rows, columns};
    if (said && grid.rows != m.rows)
        deny(parts, ending,
             "for other blocks of the " + std::to_string(m.rows) + " x " + std::to_string(m.columns) + " weights",
             said->place() + "says " + said->json().dump());
    if (grid.rows != m.rows)
        parts.fail(ending, "has no scale for each row, nor for each block of 128 x 128 of the " + std::to_string(m.rows)
                               + " x " + std::to_string(m.columns) + " weights");
    return {1, group_size(parts, ending, m.columns, grid.columns)};
}

[[nodiscard]] inline quantised_matrix read_signed_bytes(module_parts& parts, std::string_view scale,
                                                        scheme_settings const& s) {
    quantised_matrix m{parts.name(), "compressed-tensors int-quantized"};
    check_method(parts, scale, s, m.format, {"compressed-tensors", "auto-round"});
    tensor const& codes = parts.matrix(".weight", {dtype::i8});
    m.rows = codes.shape[0];
    m.columns = codes.shape[1];
    integer_rows r;
    r.codes = codes.bytes;
    r.scales = read_group_scales(parts, scale, {dtype::bf16, dtype::f16, dtype::f32}, m.rows, m.columns, r.group);
    bool const symmetric = !parts.has(".weight_zero_point");
    if (!symmetric) {
        std::size_t group = 0;
        r.zeros = read_group_scales(parts, ".weight_zero_point", {dtype::i8}, m.rows, m.columns, group);
        if (group != r.group) parts.fail(".weight_zero_point", "must have the shape of weight_scale");
    }
    check_groups(parts, scale, s, m.format, {"int-quantized", "int", 8, r.group, r.group == m.columns, symmetric});
    m.native = native_type(r.scales.type, s);
    m.values = r;
    return m;
}

[[nodiscard]] inline quantised_matrix read_mxfp8(module_parts& parts, scheme_settings const& s) {
    quantised_matrix m{parts.name(), "compressed-tensors mxfp8"};
    check_method(parts, ".weight_scale", s, m.format, {"compressed-tensors", "auto-round"});
    tensor const& codes = parts.matrix(".weight", {dtype::f8_e4m3, dtype::f8_e5m2});
    m.rows = codes.shape[0];
    m.columns = codes.shape[1];
    if (m.columns % 32 != 0) parts.fail(".weight", "groups of 32 do not divide its rows");
    tensor const& scales = parts.at(".weight_scale", {dtype::u8, dtype::f8_e8m0}, {m.rows, m.columns / 32});
    check_groups(parts, ".weight_scale", s, m.format, {"mxfp8-quantized", "float", 8, 32, false, true});
    m.native = s.computed;
    m.values = scaled_floats{codes_along_rows(codes.bytes, m.rows, m.columns, 8, 1),
                             codes.type == dtype::f8_e4m3 ? small_float::e4m3 : small_float::e5m2,
                             32,
                             {scales.bytes, dtype::f8_e8m0, m.columns / 32, 1},
                             1,
                             1};
    return m;
}

[[nodiscard]] inline quantised_matrix read_float_bytes(module_parts& parts, std::string_view scale,
                                                       scheme_settings const& s) {
    bool const inverse = scale == ".weight_scale_inv"; // by its name; the product is the same
    tensor const& codes = parts.matrix(".weight", {dtype::f8_e4m3, dtype::f8_e5m2});
    float_blocks f;
    f.codes = codes.bytes;
    f.type = codes.type == dtype::f8_e4m3 ? small_float::e4m3 : small_float::e5m2;
    quantised_matrix m{parts.name(), ""};
    m.format = (inverse                            ? "fine-grained FP8 "
                : s.method == "compressed-tensors" ? "compressed-tensors float-quantized "
                                                   : s.method + " FP8 ")
               + std::string(name_of(f.type));
    if (inverse)
        check_method(parts, scale, s, m.format, {"fp8"});
    else
        check_method(parts, scale, s, "FP8 " + std::string(name_of(f.type)),
                     {"compressed-tensors", "auto-round", "fbgemm_fp8", "fp8", "modelopt", "quark"});
    m.rows = codes.shape[0];
    m.columns = codes.shape[1];
    scale_grid const grid = read_scales(parts, scale, {dtype::bf16, dtype::f16, dtype::f32});
    auto const [rows, columns] = block_of_scales(parts, scale, grid, m, s);
    f.scales = grid.values;
    f.row_block = rows;
    f.column_block = columns;
    check_groups(parts, scale, s, m.format, {"float-quantized", "float", 8, 0, false, std::nullopt});
    m.native = native_type(grid.values.type, s);
    m.values = f;
    return m;
}

/// NVFP4 of ModelOpt: two codes in a byte, and a second scale, of the tensor, that multiplies those of groups.
[[nodiscard]] inline quantised_matrix read_modelopt_nvfp4(module_parts& parts, scheme_settings const& s) {
    quantised_matrix m{parts.name(), "ModelOpt nvfp4"};
    check_method(parts, ".weight_scale", s, m.format, {"modelopt"});
    tensor const& codes = parts.matrix(".weight", {dtype::u8});
    m.rows = codes.shape[0];
    m.columns = codes.shape[1] * 2;
    if (m.columns % 16 != 0) parts.fail(".weight", "groups of 16 do not divide its rows");
    tensor const& scales = parts.at(".weight_scale", {dtype::f8_e4m3}, {m.rows, m.columns / 16});
    scaled_floats f;
    f.codes = codes_along_rows(codes.bytes, m.rows, m.columns, 4, 1);
    f.group = 16;
    f.scales = {scales.bytes, scales.type, m.columns / 16, 1};
    f.factor = read_scalar(parts, ".weight_scale_2");
    m.native = s.computed;
    m.values = f;
    return m;
}

/// A module with `.weight` of one byte a value, and `.weight_scale`.
[[nodiscard]] inline quantised_matrix read_bytes(module_parts& parts, scheme_settings const& s) {
    std::string_view const scale = parts.has(".weight_scale_inv") ? ".weight_scale_inv" : ".weight_scale";
    if (parts.has(".weight_scale_2")) return read_modelopt_nvfp4(parts, s);
    tensor const& codes = parts.at(".weight", {dtype::i8, dtype::f8_e4m3, dtype::f8_e5m2});
    if (codes.type == dtype::i8) return read_signed_bytes(parts, scale, s);
    auto const type = parts.at(scale, {dtype::u8, dtype::f8_e8m0, dtype::bf16, dtype::f16, dtype::f32}).type;
    if (type == dtype::u8 || type == dtype::f8_e8m0) return read_mxfp8(parts, s);
    return read_float_bytes(parts, scale, s);
}

} // namespace llamavision::checkpoint::detail
