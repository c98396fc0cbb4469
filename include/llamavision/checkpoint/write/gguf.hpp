// SPDX-License-Identifier: Apache-2.0
// Writes GGUF, version 3: the header, then one tensor after the other. If writing fails, the old file stays.
#pragma once

#include <llamavision/checkpoint/container/gguf.hpp>
#include <llamavision/checkpoint/encoding/convert.hpp>
#include <llamavision/checkpoint/tensor.hpp>
#include <llamavision/support/ceil_div.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/progress.hpp>
#include <llamavision/support/quoted.hpp>
#include <llamavision/support/replacement_file.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace llamavision::checkpoint {

/// A value of a key, of one of the types that files of this model need.
using gguf_value_to_write =
    std::variant<std::uint32_t, float, bool, std::string, std::vector<std::int32_t>, std::vector<std::string>>;

/// The content of a file. Keys and tensors are written in this order.
struct gguf_to_write {
    std::vector<std::pair<std::string, gguf_value_to_write>> keys;
    std::vector<std::pair<std::string, tensor>> tensors;
};

namespace detail {

inline void put(std::string& out, std::uint64_t value, std::size_t bytes) {
    for (std::size_t i = 0; i < bytes; ++i) out += static_cast<char>(static_cast<unsigned char>(value >> 8 * i));
}
inline void put(std::string& out, gguf_type type) { put(out, static_cast<std::uint64_t>(type), 4); }
inline void put(std::string& out, std::string_view text) {
    put(out, text.size(), 8);
    out += text;
}

inline void put(std::string& out, gguf_value_to_write const& value) {
    std::visit(
        [&out]<class T>(T const& v) {
            if constexpr (std::is_same_v<T, std::uint32_t>) {
                put(out, gguf_type::u32);
                put(out, v, 4);
            } else if constexpr (std::is_same_v<T, float>) {
                put(out, gguf_type::f32);
                put(out, std::bit_cast<std::uint32_t>(v), 4);
            } else if constexpr (std::is_same_v<T, bool>) {
                put(out, gguf_type::boolean);
                put(out, v ? 1 : 0, 1);
            } else if constexpr (std::is_same_v<T, std::string>) {
                put(out, gguf_type::string);
                put(out, std::string_view(v));
            } else {
                constexpr bool numbers = std::is_same_v<T, std::vector<std::int32_t>>;
                put(out, gguf_type::array);
                put(out, numbers ? gguf_type::i32 : gguf_type::string);
                put(out, v.size(), 8);
                for (auto const& element : v)
                    if constexpr (numbers)
                        put(out, static_cast<std::uint32_t>(element), 4);
                    else
                        put(out, std::string_view(element));
            }
        },
        value);
}

[[nodiscard]] inline std::uint32_t ggml_number(dtype type, std::string const& name) {
    for (ggml_type const& t : ggml_types)
        if (t.type == type) return t.number;
    throw argument_error("the tensor " + in_quotes(name) + " is " + std::string(name_of(type))
                         + ", which GGUF has not");
}

[[nodiscard]] inline std::string gguf_header(gguf_to_write const& file) {
    std::string out = "GGUF";
    put(out, 3, 4);
    put(out, file.tensors.size(), 8);
    put(out, file.keys.size(), 8);
    std::set<std::string_view> seen;
    for (auto const& [key, value] : file.keys) {
        if (!seen.insert(key).second)
            throw argument_error("two values of the key " + in_quotes(key) + " cannot be written");
        put(out, std::string_view(key));
        put(out, value);
    }
    seen.clear();
    std::size_t offset = 0;
    for (auto const& [name, value] : file.tensors) {
        if (!seen.insert(name).second)
            throw argument_error("two tensors named " + in_quotes(name) + " cannot be written to one file");
        auto const size = checked_bytes(value);
        if (!size || value.shape.empty() || value.shape.size() > 4 || (!value.make && value.bytes.size() != *size)
            || value.shape.back() % block_of(value.type).values != 0)
            throw argument_error("the tensor " + in_quotes(name) + " has a shape that GGUF or its bytes contradict");
        put(out, std::string_view(name));
        put(out, value.shape.size(), 4);
        std::for_each(value.shape.rbegin(), value.shape.rend(), [&out](std::size_t extent) { put(out, extent, 8); });
        put(out, ggml_number(value.type, name), 4);
        put(out, offset, 8);
        offset += round_up(*size, gguf_alignment);
    }
    out.resize(round_up(out.size(), gguf_alignment));
    return out;
}

} // namespace detail

/// Writes `file` beside `path`, and renames it to `path` when it is complete. At most one tensor that has to be made is
/// in memory. `report` counts bytes of tensors.
/// @throws file_error, argument_error for what GGUF cannot hold, and what tensor::make throws
inline void write_gguf(std::filesystem::path const& path, gguf_to_write const& file, progress const& report = {}) {
    std::string const header = detail::gguf_header(file);
    std::size_t done = 0, total = 0;
    for (auto const& [name, value] : file.tensors) total += size_in_bytes(value);
    replacement_file out(path);
    out.write(header);
    for (auto const& [name, value] : file.tensors) {
        stream(value, [&](std::span<std::byte const> piece) {
            out.write(piece);
            done += piece.size();
            if (report && done < total) report(done, total);
        });
        out.write(std::string(round_up(out.size(), gguf_alignment) - out.size(),
                              '\0')); // the data begin at an aligned place, so size() tells the padding
    }
    out.commit();
    if (report) report(total, total);
}

} // namespace llamavision::checkpoint
