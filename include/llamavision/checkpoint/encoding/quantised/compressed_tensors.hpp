// SPDX-License-Identifier: Apache-2.0
// compressed-tensors (llm-compressor, vLLM): integers of 2 to 8 bits in words, and floats of 4 and 6 bits in bytes.
//
// Source: compressed-tensors 0.20.1, compressors/ and quantization/, and files that it and 0.17.1 wrote. An integer q
// is stored as q + 2^(bits - 1), and so is its zero point: their difference is that of the stored codes. Up to 0.17.1 a
// word of 32 bits holds as many codes as fit whole; since 0.18.0 the codes of a row are one stream of bits. The
// format's name is the same; only the width of a row tells.
#pragma once

#include <llamavision/checkpoint/encoding/quantised/matrix.hpp>
#include <llamavision/checkpoint/encoding/quantised/parts.hpp>
#include <llamavision/checkpoint/encoding/quantised/scales.hpp>
#include <llamavision/checkpoint/encoding/quantised/settings.hpp>

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace llamavision::checkpoint::detail {

/// What the tensors of a module say, to be found among the schemes of config_groups.
struct compressed_facts {
    std::string_view format; ///< "pack-quantized"
    std::string_view type;   ///< "int" or "float"
    std::size_t bits = 0;
    std::size_t group = 0;  ///< columns of a group; 0: not compared
    bool whole_row = false; ///< a row is one group, which may be shorter than the settings say
    std::optional<bool> symmetric{};
};

/// What in one of config_groups contradicts the tensors, as "KEY says VALUE"; empty if nothing does.
[[nodiscard]] inline std::string contradiction(json_view const& scheme, json_view const& root,
                                               compressed_facts const& facts) {
    auto const weights = scheme.find("weights");
    if (!weights) return scheme.place() + "has no weights";
    auto const differs = [](std::optional<json_view> const& said, auto const& value) {
        return said && said->json() != value ? said->place() + "says " + said->json().dump() : std::string();
    };
    auto format = scheme.find("format");
    if (!format) format = root.find("format");
    // Files of several formats, and older ones, do not name the format of a single module.
    bool const told = format && format->text() != "mixed-precision" && format->text() != "naive-quantized";
    if (std::string text = told ? differs(format, facts.format) : ""; !text.empty()) return text;
    if (std::string text = differs(weights->find("num_bits"), facts.bits); !text.empty()) return text;
    if (std::string text = differs(weights->find("type"), facts.type); !text.empty()) return text;
    auto const group = weights->find("group_size");
    bool const grouped = group && group->json() != -1 && facts.group != 0;
    bool const covers = grouped && facts.whole_row && group->json().is_number() && group->json() >= facts.group;
    if (std::string text = grouped && !covers ? differs(group, facts.group) : ""; !text.empty()) return text;
    return facts.symmetric ? differs(weights->find("symmetric"), *facts.symmetric) : "";
}

/// What config_groups say against the module; empty if one of them describes it. Which one is meant for it, its
/// `targets` say in names that need not be the file's.
[[nodiscard]] inline std::string denied_by_groups(scheme_settings const& s, compressed_facts const& facts) {
    if (s.method != "compressed-tensors") return {};
    std::string denied = s.json.place() + "config_groups is empty";
    for (auto const& [name, scheme] : s.json.at("config_groups").members()) {
        denied = contradiction(scheme, s.json, facts);
        if (denied.empty()) break;
    }
    return denied;
}

/// Checks that one of config_groups describes the module.
inline void check_groups(module_parts const& parts, std::string_view ending, scheme_settings const& s,
                         std::string const& is, compressed_facts const& facts) {
    if (std::string const denied = denied_by_groups(s, facts); !denied.empty()) deny(parts, ending, is, denied);
}

/// Whether a row of `words` words is a stream of codes, or holds whole codes in each word; empty if it is neither.
[[nodiscard]] inline std::optional<bool> is_dense(std::size_t columns, unsigned bits, std::size_t words,
                                                  scheme_settings const& s) {
    bool const dense = words_of(columns, bits, 4, true) == words, whole = words_of(columns, bits, 4, false) == words;
    if (!dense && !whole) return std::nullopt;
    if (dense != whole || 32 % bits == 0) return dense;
    auto const version = s.json.find("version"); // the widths are the same, for few columns
    if (!version || !version->text().starts_with("0.")) return true;
    int minor = 0;
    std::string const& text = version->text();
    std::from_chars(text.data() + 2, text.data() + text.size(), minor);
    return minor >= 18;
}

/// weight_packed I32 [rows, words], weight_shape [2], weight_scale [rows, groups], weight_zero_point packed along rows.
[[nodiscard]] inline quantised_matrix read_pack_quantized(module_parts& parts, scheme_settings const& s) {
    constexpr std::string_view packed_name = ".weight_packed";
    quantised_matrix m{parts.name(), "compressed-tensors pack-quantized"};
    check_method(parts, packed_name, s, m.format, {"compressed-tensors", "auto-round"});
    tensor const& packed = parts.matrix(packed_name, {dtype::i32});
    tensor const& shape = parts.at(".weight_shape", {dtype::i64, dtype::i32}, {2});
    std::uint64_t extents[2] = {};
    for (std::size_t i = 0; i < 2; ++i)
        std::memcpy(&extents[i], shape.bytes.data() + i * size_of(shape.type), size_of(shape.type));
    if (extents[0] != packed.shape[0])
        parts.fail(packed_name, "weight_shape says " + std::to_string(extents[0]) + " rows");
    if (extents[1] == 0 || extents[1] > packed.shape[1] * std::uint64_t{32})
        parts.fail(packed_name, "weight_shape says " + std::to_string(extents[1]) + " columns");
    m.rows = packed.shape[0];
    m.columns = static_cast<std::size_t>(extents[1]);

    grouped_integers g;
    g.scales =
        read_group_scales(parts, ".weight_scale", {dtype::bf16, dtype::f16, dtype::f32}, m.rows, m.columns, g.group);
    std::size_t const groups = m.columns / g.group;
    bool const symmetric = !parts.has(".weight_zero_point");

    // The width of a row may fit several numbers of bits; then it is one that config_groups describe.
    compressed_facts facts{"pack-quantized", "int", 0, g.group, groups == 1, symmetric};
    std::optional<bool> dense;
    unsigned bits = 0;
    for (unsigned width = 2; width <= 8; ++width) {
        auto const fits = is_dense(m.columns, width, packed.shape[1], s);
        if (!fits) continue;
        facts.bits = width;
        bool const described = denied_by_groups(s, facts).empty();
        if (dense && !described) continue;
        dense = fits;
        bits = width;
        if (described) break;
    }
    if (!dense) parts.fail(packed_name, "its rows are no " + std::to_string(m.columns) + " codes of 2 to 8 bits");
    facts.bits = bits;
    check_groups(parts, packed_name, s,
                 std::to_string(bits) + " bits in groups of " + std::to_string(g.group)
                     + (symmetric ? "" : " with zero points"),
                 facts);

    g.codes = codes_along_rows(packed.bytes, m.rows, m.columns, bits, 4, *dense);
    g.zero = std::int32_t{1} << (bits - 1);
    if (!symmetric) {
        std::size_t const words = words_of(m.rows, bits, 4, *dense);
        tensor const& zeros = parts.at(".weight_zero_point", {dtype::i32}, {words, groups});
        g.zeros = code_grid{zeros.bytes, m.rows, groups, bits, 4, false, *dense, false, groups * 4, 4};
        g.zero = 0;
    }
    g.groups = read_group_indices(parts, ".weight_g_idx", m.columns, g.group);
    m.native = native_type(g.scales.type, s);
    m.values = g;
    return m;
}

/// Floats of 4 or 6 bits in bytes, with a scale for each group: nvfp4 (e4m3 scales and a global one), mxfp4 and mxfp6
/// (scales that are powers of two).
[[nodiscard]] inline quantised_matrix read_packed_floats(module_parts& parts, scheme_settings const& s) {
    constexpr std::string_view packed_name = ".weight_packed";
    tensor const& packed = parts.matrix(packed_name, {dtype::u8});
    tensor const& scales = parts.matrix(".weight_scale", {dtype::f8_e4m3, dtype::u8, dtype::f8_e8m0});
    bool const nv = scales.type == dtype::f8_e4m3;
    scaled_floats f;
    f.group = nv ? 16 : 32;
    quantised_matrix m{parts.name(), ""};
    m.rows = packed.shape[0];
    m.columns = scales.shape[1] * f.group;
    if (scales.shape[0] != m.rows) parts.fail(".weight_scale", "must have " + std::to_string(m.rows) + " rows");
    bool const six = !nv && packed.shape[1] == scales.shape[1] * 24;
    if (!six && packed.shape[1] != scales.shape[1] * f.group / 2)
        parts.fail(packed_name, "its rows have no code of 4 or 6 bits for each of the " + std::to_string(m.columns)
                                    + " columns that weight_scale has scales for");
    f.type = six ? small_float::e2m3 : small_float::e2m1;
    m.format = std::string("compressed-tensors ") + (nv ? "nvfp4" : six ? "mxfp6" : "mxfp4");
    check_method(parts, packed_name, s, m.format, {"compressed-tensors", "auto-round"});
    f.codes = codes_along_rows(packed.bytes, m.rows, m.columns, six ? 6 : 4, 1);
    f.scales = {scales.bytes, nv ? dtype::f8_e4m3 : dtype::f8_e8m0, scales.shape[1], 1};
    if (nv) f.divisor = read_scalar(parts, ".weight_global_scale");
    check_groups(parts, packed_name, s, m.format,
                 {nv    ? "nvfp4-pack-quantized"
                  : six ? "mxfp6-pack-quantized"
                        : "mxfp4-pack-quantized",
                  "float", six ? std::size_t{6} : 4, f.group, false, true});
    m.native = s.computed;
    m.values = f;
    return m;
}

[[nodiscard]] inline quantised_matrix read_packed(module_parts& parts, scheme_settings const& s) {
    return parts.at(".weight_packed", {dtype::i32, dtype::u8}).type == dtype::i32 ? read_pack_quantized(parts, s)
                                                                                  : read_packed_floats(parts, s);
}

} // namespace llamavision::checkpoint::detail
