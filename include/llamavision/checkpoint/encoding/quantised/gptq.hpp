// SPDX-License-Identifier: Apache-2.0
// GPTQ, AWQ and AutoRound: `qweight` in words of 32 bits, one scale and one packed zero point for each group of inputs.
// Their matrices lie transposed, [inputs, outputs].
//
//     GPTQ layout   qweight [K * bits / 32, N]: the codes of a column share words; a stream of bits
//     AWQ layout    qweight [K, N / 8]: those of a row do, in the order 0, 2, 4, 6, 1, 3, 5, 7
//
// Sources: GPTQModel 7.7.0 and AutoRound 0.16.1, and files that they wrote. w = (code - zero) * scale[group of k].
// GPTQ's first format stores zero - 1, its second one (checkpoint_format "gptq_v2") the zero itself, and no tensor
// tells which. The libraries compute in the type in which the model is loaded: F16 scales are rounded to BF16 first, if
// it is that.
#pragma once

#include <llamavision/checkpoint/encoding/quantised/inputs.hpp>
#include <llamavision/checkpoint/encoding/quantised/matrix.hpp>
#include <llamavision/checkpoint/encoding/quantised/parts.hpp>
#include <llamavision/checkpoint/encoding/quantised/scales.hpp>
#include <llamavision/checkpoint/encoding/quantised/settings.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

namespace llamavision::checkpoint::detail {

/// Whether the zero points of the GPTQ layout are stored less one.
[[nodiscard]] inline bool stores_zero_less_one(scheme_settings const& s) {
    if (s.method == "auto-round") {
        auto const packing = s.json.find("packing_format");
        return packing && packing->text().ends_with("auto_gptq");
    }
    for (char const* const key : {"checkpoint_format", "format"})
        if (auto const format = s.json.find(key)) return format->text() != "gptq_v2";
    return true;
}

/// Checks that a format that the settings name is one of those that the tensors can be. Others (marlin, gemv, ...) have
/// tensors of the same names.
inline void check_layout(module_parts const& parts, scheme_settings const& s, std::string const& is,
                         std::initializer_list<std::string_view> names) {
    for (char const* const key : {"checkpoint_format", "format", "version"}) {
        auto const format = s.json.find(key);
        if (!format || !format->json().is_string()) continue;
        std::string name = format->text();
        for (char& c : name)
            if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
        if (std::find(names.begin(), names.end(), name) == names.end())
            deny(parts, ".qweight", is, format->place() + "says " + in_quotes(format->text()));
    }
}

/// Checks bits and group_size, unless single modules have their own. AutoAWQ calls them w_bit and q_group_size.
inline void check_gptq_settings(module_parts const& parts, scheme_settings const& s, unsigned bits, std::size_t group,
                                std::size_t columns) {
    for (char const* const key : {"dynamic", "extra_config"}) // GPTQModel's and AutoRound's rules for single modules
        if (auto const own = s.json.find(key); own && !own->json().empty()) return;
    for (char const* const key : {"bits", "w_bit"})
        check_setting(parts, ".qweight", s.json, key, bits, std::to_string(bits) + " bits");
    for (char const* const key : {"group_size", "q_group_size"}) {
        auto const said = s.json.find(key);
        bool const whole = said && group == columns && said->json().is_number_integer()
                           && (said->json() == -1 || said->json() >= columns); // a row is one group
        if (!whole) check_setting(parts, ".qweight", s.json, key, group, "in groups of " + std::to_string(group));
    }
}

/// Either layout, which the shape of qweight tells.
[[nodiscard]] inline quantised_matrix read_gptq(module_parts& parts, scheme_settings const& s) {
    tensor const& codes = parts.matrix(".qweight", {dtype::i32});
    tensor const& scales = parts.matrix(".scales", {dtype::f16, dtype::bf16, dtype::f32});
    tensor const& zeros = parts.matrix(".qzeros", {dtype::i32});
    std::size_t const groups = scales.shape[0], outputs = scales.shape[1];
    std::size_t const zero_bits = zeros.shape[1] * 32;
    if (zeros.shape[0] != groups || zero_bits % outputs != 0 || zero_bits / outputs < 2 || zero_bits / outputs > 8)
        parts.fail(".qzeros", "must have one code of 2 to 8 bits for each of the scales " + shape_text(scales.shape));
    auto const bits = static_cast<unsigned>(zero_bits / outputs);

    grouped_integers g;
    bool const awq = codes.shape[1] != outputs;
    quantised_matrix m{parts.name(), s.method == "auto-round"
                                         ? (awq ? "AutoRound, AWQ layout" : "AutoRound, GPTQ layout")
                                     : awq ? "AWQ"
                                           : "GPTQ"};
    m.rows = outputs;
    if (awq) {
        if (bits != 4 || codes.shape[1] * 8 != outputs)
            parts.fail(".qweight", "must have one word for each 8 of the " + std::to_string(outputs)
                                       + " outputs, or one"
                                         " for each");
        check_method(parts, ".qweight", s, m.format, {"awq", "auto-round"});
        if (s.method == "awq") check_layout(parts, s, m.format, {"gemm"});
        m.columns = codes.shape[0];
        std::size_t const line = codes.shape[1] * 4;
        g.codes = {codes.bytes, m.rows, m.columns, 4, 4, false, true, true, 4, line};
        g.zeros = code_grid{zeros.bytes, m.rows, groups, 4, 4, false, true, true, 4, line};
    } else {
        check_method(parts, ".qweight", s, m.format, {"gptq", "auto-round"});
        if (s.method == "gptq") check_layout(parts, s, m.format, {"gptq", "gptq_v2"});
        if (codes.shape[0] * 32 % bits != 0)
            parts.fail(".qweight", "its columns are no codes of " + std::to_string(bits) + " bits");
        m.columns = codes.shape[0] * 32 / bits;
        g.codes = {codes.bytes, m.rows, m.columns, bits, 4, true, true, false, outputs * 4, 4};
        g.zeros = code_grid{zeros.bytes, m.rows, groups, bits, 4, false, true, false, 4, zeros.shape[1] * 4};
        g.zero = stores_zero_less_one(s) ? 1 : 0;
    }
    g.group = group_size(parts, ".scales", m.columns, groups);
    // Rows may be padded to whole groups; then g_idx tells how many columns count, or else the model's numbers.
    auto const is_padded_to = [&](std::size_t inputs) { return inputs < m.columns && inputs > m.columns - g.group; };
    tensor const* const index = parts.find(".g_idx");
    std::size_t const inputs = index ? values_of(*index) : s.numbers ? inputs_of(parts.name(), *s.numbers) : 0;
    if (is_padded_to(inputs)) m.columns = g.codes.columns = inputs;
    g.groups = read_group_indices(parts, ".g_idx", m.columns, g.group);
    g.scales = {scales.bytes, scales.type, 1, outputs};
    check_gptq_settings(parts, s, bits, g.group, m.columns);
    m.native = s.computed;
    m.follows_load = true;
    m.values = g;
    return m;
}

} // namespace llamavision::checkpoint::detail
