// SPDX-License-Identifier: Apache-2.0
// bitsandbytes: NF4 and FP4 (a codebook of 16 values and a scale for each block), and int8 (a scale for each row).
//
// Sources: bitsandbytes 0.50.2, functional.py (QuantState) and nn/modules.py (Linear4bit, Linear8bitLt), and files that
// it wrote. Two of their properties depend on what was done before saving. After a forward pass on a processor with
// AVX-512 BF16 the library saves the scales as its kernel keeps them: BF16, one column for each row of weights, and
// with quantised scales it has computed in bfloat16, which then is their nested_dtype.
#pragma once

#include <llamavision/checkpoint/encoding/quantised/matrix.hpp>
#include <llamavision/checkpoint/encoding/quantised/parts.hpp>
#include <llamavision/checkpoint/encoding/quantised/settings.hpp>
#include <llamavision/support/json.hpp>

#include <bit>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace llamavision::checkpoint::detail {

/// F32, F16 or BF16 by its name in PyTorch.
[[nodiscard]] inline std::optional<dtype> dtype_of_torch(std::string_view name) {
    if (name.starts_with("torch.")) name.remove_prefix(6);
    if (name == "bfloat16") return dtype::bf16;
    if (name == "float16") return dtype::f16;
    if (name == "float32") return dtype::f32;
    return std::nullopt;
}

/// The finite values of a table.
template <std::size_t N>
void read_table(module_parts& parts, std::string_view ending, std::array<float, N>& table) {
    tensor const& stored = parts.at(ending, {dtype::f32, dtype::bf16, dtype::f16}, {N});
    for (std::size_t i = 0; i < N; ++i) {
        table[i] = value_at({stored.bytes, stored.type, 1, 0}, i, 0);
        if (!std::isfinite(table[i])) parts.fail(ending, "value " + std::to_string(i) + " is not finite");
    }
}

/// Reads the scales of `blocks` blocks. `state` is quant_state's JSON.
inline void read_block_scales(module_parts& parts, json_view const& state, std::size_t blocks,
                              quantised_matrix const& m, codebook_blocks& c) {
    bool const nested = parts.has(".weight.nested_absmax");
    tensor const& absmax = nested ? parts.at(".weight.absmax", {dtype::u8})
                                  : parts.at(".weight.absmax", {dtype::f32, dtype::bf16, dtype::f16});
    c.scales = {absmax.bytes, absmax.type, 1, 0};
    std::size_t const in_row = m.columns % c.block == 0 ? m.columns / c.block : 0;
    if (!nested && in_row != 0 && absmax.shape == std::vector{in_row, m.rows}) {
        c.transposed = in_row;
        c.scales.row_step = m.rows;
        c.scales.column_step = 1;
    } else if (absmax.shape != std::vector{blocks} && absmax.shape != std::vector{blocks, std::size_t{1}}) {
        parts.fail(".weight.absmax", "must have one scale for each of the " + std::to_string(blocks) + " blocks");
    }
    if (!nested) return;
    c.nested_block = state.at("nested_blocksize").positive(std::size_t{1} << 16);
    c.offset = static_cast<float>(state.at("nested_offset").number());
    c.nested_in_bf16 = dtype_of_torch(state.at("nested_dtype").text()) == dtype::bf16;
    read_table(parts, ".weight.nested_quant_map", c.nested_table);
    tensor const& scales =
        parts.at(".weight.nested_absmax", {dtype::f32, dtype::bf16, dtype::f16}, {(blocks - 1) / c.nested_block + 1});
    c.nested_scales = {scales.bytes, scales.type, 1, 0};
}

inline constexpr std::string_view nf4_state = ".weight.quant_state.bitsandbytes__nf4";
inline constexpr std::string_view fp4_state = ".weight.quant_state.bitsandbytes__fp4";

/// The weight of a Linear4bit. Its bytes may be stored under a wider type (bnb_4bit_quant_storage), padded to whole
/// values of it.
[[nodiscard]] inline quantised_matrix read_bitsandbytes_4(module_parts& parts, scheme_settings const& s) {
    bool const nf4 = parts.has(nf4_state);
    std::string_view const ending = nf4 ? nf4_state : fp4_state;
    std::string const kind = nf4 ? "nf4" : "fp4";
    quantised_matrix m{parts.name(), nf4 ? "bitsandbytes NF4" : "bitsandbytes FP4"};
    check_method(parts, ending, s, m.format, {"bitsandbytes"});
    if (auto const four = s.json.find("load_in_4bit"); four && !four->boolean())
        deny(parts, ending, m.format, four->place() + "says false");
    if (auto const type = s.json.find("bnb_4bit_quant_type"); type && type->text() != kind)
        deny(parts, ending, m.format, type->place() + "says " + in_quotes(type->text()));

    tensor const& stored = parts.at(ending, {dtype::u8});
    auto const document =
        parse_json({reinterpret_cast<char const*>(stored.bytes.data()), stored.bytes.size()}, parts.place(ending));
    json_view const state(document, parts.place(ending));
    if (state.at("quant_type").text() != kind) state.at("quant_type").fail(in_quotes(kind));
    auto const type = dtype_of_torch(state.at("dtype").text());
    if (!type) state.at("dtype").fail("bfloat16, float16 or float32");
    auto const shape = state.at("shape").items();
    if (shape.size() != 2) state.at("shape").fail("two numbers, rows and columns");
    m.native = *type;
    m.rows = shape[0].positive(UINT32_MAX);
    m.columns = shape[1].positive(UINT32_MAX);

    codebook_blocks c;
    c.block = state.at("blocksize").positive(4096);
    if (!std::has_single_bit(c.block) || c.block < 32) state.at("blocksize").fail("a power of two from 32 to 4096");
    tensor const& codes = parts.at(".weight", {dtype::u8, dtype::bf16, dtype::f16, dtype::f32});
    std::size_t const count = m.rows * m.columns, bytes = count / 2 + count % 2, unit = size_of(codes.type);
    if (codes.bytes.size() != (bytes + unit - 1) / unit * unit)
        parts.fail(".weight", "has " + std::to_string(codes.bytes.size())
                                  + " bytes, but the shape in quant_state needs " + std::to_string(bytes));
    c.codes = codes.bytes;
    read_table(parts, ".weight.quant_map", c.table);
    read_block_scales(parts, state, (count - 1) / c.block + 1, m, c);
    if (auto const twice = s.json.find("bnb_4bit_use_double_quant"); twice && twice->boolean() != (c.nested_block != 0))
        deny(parts, ending, m.format + (c.nested_block != 0 ? " with quantised scales" : " with plain scales"),
             twice->place() + "says " + twice->json().dump());
    m.values = c;
    return m;
}

/// The weight of a Linear8bitLt: w = (code * SCB[row]) * (1 / 127), in this order, in f32.
[[nodiscard]] inline quantised_matrix read_bitsandbytes_8(module_parts& parts, scheme_settings const& s) {
    quantised_matrix m{parts.name(), "bitsandbytes int8"};
    check_method(parts, ".SCB", s, m.format, {"bitsandbytes"});
    if (auto const eight = s.json.find("load_in_8bit"); eight && !eight->boolean())
        deny(parts, ".SCB", m.format, eight->place() + "says false");
    tensor const& codes = parts.matrix(".weight", {dtype::i8});
    m.rows = codes.shape[0];
    m.columns = codes.shape[1];
    m.native = dtype::f32;
    tensor const& scales = parts.at(".SCB", {dtype::f32}, {m.rows});
    if (tensor const* const layout = parts.find(".weight_format"))
        if (layout->bytes.size() != 1 || layout->bytes[0] != std::byte{0})
            parts.fail(".weight_format", "is not 0, the layout in rows");
    m.values = integer_rows{codes.bytes, m.columns, {scales.bytes, scales.type, 1, 0}, 1.0f / 127.0f, std::nullopt};
    return m;
}

} // namespace llamavision::checkpoint::detail
