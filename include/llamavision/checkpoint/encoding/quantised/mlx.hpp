// SPDX-License-Identifier: Apache-2.0
// MLX: `weight` U32, a stream of codes in each row, low bits first, beside `scales` of groups.
//
// Source: mlx 0.32.4 (mlx/ops: quantize) with mlx-vlm 0.7.10, and files that they wrote. "affine" has a scale and an
// offset
// (`biases`) for each group, and computes w = bf16(bf16(code * scale) + offset); many scales are negative. The other
// modes hold floats: mxfp4 and mxfp8 with scales that are powers of two, one for each 32 columns, and nvfp4 with e4m3
// scales, one for each 16, and without a global scale.
#pragma once

#include <llamavision/checkpoint/encoding/quantised/matrix.hpp>
#include <llamavision/checkpoint/encoding/quantised/parts.hpp>
#include <llamavision/checkpoint/encoding/quantised/scales.hpp>
#include <llamavision/checkpoint/encoding/quantised/settings.hpp>

#include <cstddef>
#include <string>
#include <string_view>

namespace llamavision::checkpoint::detail {

/// The settings of one module, which are beside the general ones under its name in MLX; else the general ones.
[[nodiscard]] inline json_view settings_of_module(module_parts const& parts, scheme_settings const& s) {
    constexpr std::string_view tower = "vision_tower.", text = "language_model.";
    for (auto const& [name, value] : s.json.members()) {
        bool const meant = name == parts.name() || std::string(text) + name == parts.name()
                           || (name.starts_with(tower) && "vision_model." + name.substr(tower.size()) == parts.name());
        if (!meant) continue;
        if (value.json() == false) deny(parts, ".weight", "quantised", value.place() + "says false");
        if (value.json().is_object()) return value;
    }
    return s.json;
}

[[nodiscard]] inline quantised_matrix read_mlx(module_parts& parts, scheme_settings const& s) {
    tensor const& codes = parts.matrix(".weight", {dtype::u32});
    tensor const& scales = parts.matrix(".scales", {dtype::bf16, dtype::f16, dtype::f32, dtype::u8});
    bool const affine = parts.has(".biases"), packed_scales = scales.type == dtype::u8;
    quantised_matrix m{parts.name(), "MLX"};
    check_method(parts, ".weight", s, m.format, {"mlx"});
    json_view const own = settings_of_module(parts, s);
    auto const bits_said = own.find("bits") ? own.at("bits") : s.json.at("bits");
    auto const group_said = own.find("group_size") ? own.at("group_size") : s.json.at("group_size");
    auto const mode_said = own.find("mode") ? own.find("mode") : s.json.find("mode");
    std::string const mode = mode_said ? mode_said->text() : "affine";
    std::size_t const bits = bits_said.positive(8), group = group_said.positive(std::size_t{1} << 20);
    if (bits < 2 || bits == 7) bits_said.fail("2, 3, 4, 5, 6 or 8");
    m.format = "MLX " + mode;

    m.rows = codes.shape[0];
    std::size_t const words = codes.shape[1];
    if (words * 32 % bits != 0 || words * 32 / bits != scales.shape[1] * group)
        deny(parts, ".weight", "for " + std::to_string(scales.shape[1]) + " groups in a row",
             bits_said.place() + "says " + std::to_string(bits) + " and group_size " + std::to_string(group));
    if (scales.shape[0] != m.rows) parts.fail(".scales", "must have " + std::to_string(m.rows) + " rows");
    m.columns = scales.shape[1] * group;
    auto const grid = codes_along_rows(codes.bytes, m.rows, m.columns, static_cast<unsigned>(bits), 4);

    bool const nv = mode == "nvfp4", mx4 = mode == "mxfp4", mx8 = mode == "mxfp8";
    if (!nv && !mx4 && !mx8 && mode != "affine") mode_said->fail("affine, mxfp4, mxfp8 or nvfp4");
    if (affine != (mode == "affine") || affine == packed_scales)
        deny(parts, ".scales", affine ? "beside biases" : "without biases",
             mode_said ? mode_said->place() + "says " + in_quotes(mode) : s.json.place() + "no mode is named");
    if (affine) {
        tensor const& offsets = parts.at(".biases", {scales.type}, scales.shape);
        grouped_integers g;
        g.codes = grid;
        g.group = group;
        g.scales = {scales.bytes, scales.type, scales.shape[1], 1};
        g.offsets = value_grid{offsets.bytes, offsets.type, scales.shape[1], 1};
        m.native = scales.type;
        m.values = g;
        return m;
    }
    if (bits != (mx8 ? 8u : 4u) || group != (nv ? 16u : 32u))
        bits_said.fail(mx8 ? "8 with groups of 32" : nv ? "4 with groups of 16" : "4 with groups of 32");
    scaled_floats f;
    f.codes = grid;
    f.type = mx8 ? small_float::e4m3 : small_float::e2m1;
    f.group = group;
    f.scales = {scales.bytes, nv ? dtype::f8_e4m3 : dtype::f8_e8m0, scales.shape[1], 1};
    m.native = s.computed;
    m.values = f;
    return m;
}

} // namespace llamavision::checkpoint::detail
