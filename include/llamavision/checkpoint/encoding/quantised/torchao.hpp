// SPDX-License-Identifier: Apache-2.0
// torchao: int8 and FP8 with a scale for each row or group.
//
// Source: torchao 0.18.0 (quantization/quantize_/workflows: Int8Tensor, and Float8Tensor by reading), and files that it
// wrote with transformers 5.23.0, which spreads the tensors of a subclass over names with an underscore. Scales are
// F32; the product is rounded once.
#pragma once

#include <llamavision/checkpoint/encoding/quantised/matrix.hpp>
#include <llamavision/checkpoint/encoding/quantised/parts.hpp>
#include <llamavision/checkpoint/encoding/quantised/scales.hpp>
#include <llamavision/checkpoint/encoding/quantised/settings.hpp>

#include <cstddef>
#include <string_view>

namespace llamavision::checkpoint::detail {

/// Refuses a module if quant_type names one of torchao's int4 classes, for all modules or for single ones.
/// @throws mismatch_error
inline void refuse_torchao_int4(module_parts const& parts, std::string_view ending, scheme_settings const& s) {
    auto const kinds = s.json.find("quant_type");
    if (!kinds || !kinds->json().is_object()) return;
    for (auto const& [name, kind] : kinds->members()) {
        if (!kind.json().is_object()) continue;
        auto const type = kind.find("_type");
        if (type && type->text().starts_with("Int4"))
            deny(parts, ending, "not read",
                 type->place() + "says " + in_quotes(type->text()) + ", whose order of codes depends on the device");
    }
}

/// Floats of 8 bits with a scale for each row or for the tensor.
[[nodiscard]] inline quantised_matrix read_torchao_floats(module_parts& parts, tensor const& codes,
                                                          scheme_settings const& s) {
    quantised_matrix m{parts.name(), "torchao FP8"};
    m.rows = codes.shape[0];
    m.columns = codes.shape[1];
    float_blocks f;
    f.codes = codes.bytes;
    f.type = codes.type == dtype::f8_e4m3 ? small_float::e4m3 : small_float::e5m2;
    f.scales = read_group_scales(parts, "._weight_scale", {dtype::f32, dtype::bf16, dtype::f16}, m.rows, m.columns,
                                 f.column_block);
    m.native = s.computed;
    m.values = f;
    return m;
}

[[nodiscard]] inline quantised_matrix read_torchao(module_parts& parts, scheme_settings const& s) {
    constexpr std::string_view codes_name = "._weight_qdata";
    quantised_matrix m{parts.name(), "torchao int8"};
    check_method(parts, codes_name, s, m.format, {"torchao"});
    refuse_torchao_int4(parts, codes_name, s);
    tensor const& codes = parts.matrix(codes_name, {dtype::i8, dtype::f8_e4m3, dtype::f8_e5m2});
    if (codes.type != dtype::i8) return read_torchao_floats(parts, codes, s);
    m.rows = codes.shape[0];
    m.columns = codes.shape[1];
    integer_rows r;
    r.codes = codes.bytes;
    r.scales =
        read_group_scales(parts, "._weight_scale", {dtype::f32, dtype::bf16, dtype::f16}, m.rows, m.columns, r.group);
    if (parts.has("._weight_zero_point")) {
        std::size_t group = 0;
        r.zeros = read_group_scales(parts, "._weight_zero_point", {dtype::i8, dtype::f32, dtype::bf16}, m.rows,
                                    m.columns, group);
        if (group != r.group) parts.fail("._weight_zero_point", "must have the shape of _weight_scale");
    }
    m.native = s.computed;
    m.values = r;
    return m;
}

} // namespace llamavision::checkpoint::detail
