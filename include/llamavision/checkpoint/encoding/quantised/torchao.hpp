// SPDX-License-Identifier: Apache-2.0
// torchao: int8 with a scale for each row or group.
//
// Source: torchao 0.18.0 (quantization/quantize_/workflows/int8: Int8Tensor), and files that it wrote with transformers
// 5.23.0, which spreads the tensors of a subclass over names with an underscore. Scales are F32; the product is rounded
// once.
#pragma once

#include <llamavision/checkpoint/encoding/quantised/matrix.hpp>
#include <llamavision/checkpoint/encoding/quantised/parts.hpp>
#include <llamavision/checkpoint/encoding/quantised/scales.hpp>
#include <llamavision/checkpoint/encoding/quantised/settings.hpp>

#include <cstddef>
#include <string_view>

namespace llamavision::checkpoint::detail {

[[nodiscard]] inline quantised_matrix read_torchao(module_parts& parts, scheme_settings const& s) {
    constexpr std::string_view codes_name = "._weight_qdata";
    quantised_matrix m{parts.name(), "torchao int8"};
    check_method(parts, codes_name, s, m.format, {"torchao"});
    tensor const& codes = parts.matrix(codes_name, {dtype::i8});
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
