// SPDX-License-Identifier: Apache-2.0
// Reads the GGUF format (versions 2 and 3): key-values, a table of tensors, and their bytes at aligned offsets.
#pragma once

#include <llamavision/checkpoint/container/gguf_values.hpp>
#include <llamavision/checkpoint/container/mapped_file.hpp>
#include <llamavision/checkpoint/tensor.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/misplaced_file.hpp>
#include <llamavision/support/quoted.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace llamavision::checkpoint {

using gguf_keys = std::map<std::string, gguf_value, std::less<>>;

/// The content of a file. Shapes have the slowest dimension first; in the file it is last.
struct gguf_content {
    std::uint32_t version = 3;
    gguf_keys keys;
    named_tensors content;

    /// The value of `key`, or null.
    [[nodiscard]] gguf_value const* find(std::string_view key) const {
        auto const at = keys.find(key);
        return at == keys.end() ? nullptr : &at->second;
    }
};

/// The alignment of tensors in a file without the key general.alignment.
inline constexpr std::size_t gguf_alignment = 32;

namespace detail {

struct ggml_type {
    std::uint32_t number;
    std::string_view name;
    std::optional<dtype> type; ///< empty for types that are not supported
};

/// Types of tensors: numbers and names from ggml.h.
inline constexpr ggml_type ggml_types[] = {
    {0, "F32", dtype::f32},    {1, "F16", dtype::f16},   {2, "Q4_0", dtype::q4_0},  {3, "Q4_1", dtype::q4_1},
    {6, "Q5_0", dtype::q5_0},  {7, "Q5_1", dtype::q5_1}, {8, "Q8_0", dtype::q8_0},  {9, "Q8_1", {}},
    {10, "Q2_K", {}},          {11, "Q3_K", {}},         {12, "Q4_K", dtype::q4_k}, {13, "Q5_K", dtype::q5_k},
    {14, "Q6_K", dtype::q6_k}, {15, "Q8_K", {}},         {16, "IQ2_XXS", {}},       {17, "IQ2_XS", {}},
    {18, "IQ3_XXS", {}},       {19, "IQ1_S", {}},        {20, "IQ4_NL", {}},        {21, "IQ3_S", {}},
    {22, "IQ2_S", {}},         {23, "IQ4_XS", {}},       {24, "I8", dtype::i8},     {25, "I16", dtype::i16},
    {26, "I32", dtype::i32},   {27, "I64", dtype::i64},  {28, "F64", dtype::f64},   {29, "IQ1_M", {}},
    {30, "BF16", dtype::bf16}, {34, "TQ1_0", {}},        {35, "TQ2_0", {}},         {39, "MXFP4", {}},
};

[[nodiscard]] inline dtype dtype_of_ggml(std::uint32_t number, std::string const& place) {
    auto const known = std::find_if(std::begin(ggml_types), std::end(ggml_types),
                                    [&](ggml_type const& t) { return t.number == number; });
    if (known == std::end(ggml_types))
        throw format_error(place + "has the type " + std::to_string(number) + ", which this library does not know");
    if (!known->type)
        throw mismatch_error(place + "has the type " + std::string(known->name)
                             + ", which is not supported; F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K and "
                               "Q6_K are");
    return *known->type;
}

/// Reads the magic and the version.
/// @throws format_error unless this is a little-endian file of version 2 or 3
[[nodiscard]] inline std::uint32_t gguf_version(gguf_cursor& cursor, std::string_view text, std::string const& name) {
    if (auto const what = misplaced_file(text.substr(0, 1000)); !what.empty())
        throw format_error(name + ": " + std::string(what));
    if (!text.starts_with("GGUF")) {
        for (std::string_view const old : {"lmgg", "fmgg", "tjgg", "algg"}) // GGML, GGMF, GGJT, GGLA
            if (text.starts_with(old))
                throw format_error(name + ": is a GGML file from before GGUF, which is not supported");
        throw format_error(name + ": not a GGUF file: it does not begin with \"GGUF\"");
    }
    static_cast<void>(cursor.take(4, "the magic"));
    auto const version = cursor.u32("the version");
    if (version != 0 && (version & 0xffffu) == 0)
        throw format_error(name + ": is a big-endian GGUF file; only little-endian ones are supported");
    if (version == 1)
        throw format_error(name + ": is of GGUF's version 1, whose files are no longer in use; 2 and 3 are supported");
    if (version != 2 && version != 3)
        throw format_error(name + ": is of GGUF's version " + std::to_string(version) + "; 2 and 3 are supported");
    return version;
}

struct gguf_entry {
    std::string name;
    tensor value;
    std::uint64_t offset; ///< from the beginning of the data
};

[[nodiscard]] inline gguf_entry read_gguf_entry(gguf_cursor& cursor, std::string const& file) {
    gguf_entry entry{std::string(cursor.text("the name of a tensor")), {}, 0};
    std::string const place = file + ": the tensor " + in_quotes(entry.name) + " ";
    auto const dimensions = cursor.u32("the number of dimensions");
    if (dimensions > 4)
        throw format_error(place + "has " + std::to_string(dimensions) + " dimensions; GGUF has up to 4");
    for (std::uint32_t i = 0; i < dimensions; ++i) {
        auto const extent = cursor.u64("an extent");
        if (extent > SIZE_MAX) throw format_error(place + "is larger than this machine's addresses");
        entry.value.shape.insert(entry.value.shape.begin(),
                                 static_cast<std::size_t>(extent)); // the file has the fastest first
    }
    entry.value.type = dtype_of_ggml(cursor.u32("the type of a tensor"), place);
    entry.offset = cursor.u64("the offset of a tensor");
    std::size_t const values = block_of(entry.value.type).values;
    std::size_t const row = entry.value.shape.empty() ? 1 : entry.value.shape.back();
    if (row % values != 0)
        throw format_error(place + "has rows of " + std::to_string(row) + " values, which are no whole blocks of "
                           + std::to_string(values) + " (" + std::string(name_of(entry.value.type)) + ")");
    return entry;
}

/// Bytes of the tensor; empty if std::size_t cannot hold the number.
[[nodiscard]] inline std::optional<std::size_t> checked_bytes(tensor const& t) {
    std::size_t values = 1;
    if (std::find(t.shape.begin(), t.shape.end(), std::size_t{0}) != t.shape.end()) return 0;
    for (std::size_t const extent : t.shape) {
        if (values > SIZE_MAX / 8 / extent) return std::nullopt; // no value takes more than 8 bytes
        values *= extent;
    }
    return bytes_of(t.type, values);
}

/// Sets the tensors' bytes to their places in `data`.
/// @throws format_error unless they are aligned, inside of `data`, and do not overlap
inline void place_gguf_tensors(std::vector<gguf_entry>& entries, std::span<std::byte const> data, std::size_t alignment,
                               std::string const& file) {
    for (gguf_entry& e : entries) {
        std::string const place = file + ": the tensor " + in_quotes(e.name) + " ";
        auto const size = checked_bytes(e.value);
        if (!size) throw format_error(place + "has a shape with more values than can be counted");
        if (e.offset % alignment != 0)
            throw format_error(place + "begins at byte " + std::to_string(e.offset)
                               + " of the data, which is not a multiple of the alignment, "
                               + std::to_string(alignment));
        if (e.offset > data.size() || *size > data.size() - e.offset)
            throw format_error(place + "takes " + std::to_string(*size) + " bytes from byte " + std::to_string(e.offset)
                               + " of the data on, but the file holds only " + std::to_string(data.size())
                               + "; is it cut off?");
        e.value.bytes = data.subspan(static_cast<std::size_t>(e.offset), *size);
    }
    std::sort(entries.begin(), entries.end(), [](gguf_entry const& a, gguf_entry const& b) {
        return std::pair(a.offset, a.value.bytes.size()) < std::pair(b.offset, b.value.bytes.size());
    });
    for (std::size_t i = 1; i < entries.size(); ++i)
        if (entries[i].offset < entries[i - 1].offset + entries[i - 1].value.bytes.size())
            throw format_error(file + ": the tensors " + in_quotes(entries[i - 1].name) + " and "
                               + in_quotes(entries[i].name) + " overlap at byte " + std::to_string(entries[i].offset)
                               + " of the data");
}

} // namespace detail

/// Reads a whole file. The result views `bytes`, which must outlive it. `name` is the file's name in errors.
/// @throws format_error for every deviation from the format, mismatch_error for tensors of a type that is not supported
[[nodiscard]] inline gguf_content parse_gguf(std::span<std::byte const> bytes, std::string const& name) {
    detail::gguf_cursor cursor(bytes, name);
    gguf_content result;
    result.version = detail::gguf_version(cursor, {reinterpret_cast<char const*>(bytes.data()), bytes.size()}, name);
    auto const tensors = cursor.u64("the number of tensors");
    auto const keys = cursor.count(13, "the key-values,"); // a key's length, a type, a byte
    for (std::uint64_t i = 0; i < keys; ++i) {
        std::string key(cursor.text("a key"));
        auto const type = cursor.type();
        std::size_t const begin = cursor.at();
        cursor.pass(type);
        gguf_value value(name + ": the key " + in_quotes(key), type, bytes.subspan(begin, cursor.at() - begin));
        if (!result.keys.emplace(key, std::move(value)).second)
            throw format_error(name + ": the key " + in_quotes(key) + " occurs twice");
    }
    std::size_t alignment = gguf_alignment;
    if (auto const* const value = result.find("general.alignment")) {
        alignment = static_cast<std::size_t>(value->natural(std::uint64_t{1} << 30));
        if (!std::has_single_bit(alignment) || alignment % 8 != 0) value->fail("a power of two, 8 or more");
    }
    if (tensors > cursor.rest() / 24) // a name's length, the number of dimensions, a type, an offset
        cursor.fail("the tensors, " + std::to_string(tensors) + " are more than the file has room for");
    std::vector<detail::gguf_entry> entries;
    for (std::uint64_t i = 0; i < tensors; ++i) entries.push_back(detail::read_gguf_entry(cursor, name));
    std::size_t const padding = (alignment - cursor.at() % alignment) % alignment;
    detail::place_gguf_tensors(entries, bytes.subspan(cursor.at() + std::min(padding, cursor.rest())), alignment, name);
    for (auto& entry : entries)
        if (!result.content.tensors.emplace(entry.name, std::move(entry.value)).second)
            throw format_error(name + ": the tensor " + in_quotes(entry.name) + " occurs twice");
    return result;
}

/// Maps a file and reads it. Values and tensors view the mapping, which `content.owners` keeps alive.
/// @throws file_error, and what parse_gguf throws
[[nodiscard]] inline gguf_content open_gguf(std::filesystem::path const& path) {
    auto const file = mapped_file::open(path);
    auto result = parse_gguf(file->bytes(), path.string());
    result.content.owners.push_back(file);
    return result;
}

} // namespace llamavision::checkpoint
