// SPDX-License-Identifier: Apache-2.0
// Reads the safetensors format: the length of a header as u64, the header in JSON, and the tensors' bytes without gaps.
#pragma once

#include <llamavision/checkpoint/container/mapped_file.hpp>
#include <llamavision/checkpoint/tensor.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/json.hpp>
#include <llamavision/support/json_view.hpp>
#include <llamavision/support/misplaced_file.hpp>
#include <llamavision/support/quoted.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace llamavision::checkpoint {

/// A file's tensors and its `__metadata__`.
struct safetensors_content {
    named_tensors content;
    std::map<std::string, std::string> metadata;
};

/// The largest header that the format allows, in bytes.
inline constexpr std::uint64_t safetensors_header_limit = 100'000'000;

/// product(shape) * size_of(type); empty if std::size_t cannot hold it.
[[nodiscard]] inline std::optional<std::size_t> bytes_of(std::span<std::size_t const> shape, dtype type) {
    std::size_t bytes = size_of(type);
    if (std::find(shape.begin(), shape.end(), std::size_t{0}) != shape.end()) return 0;
    for (std::size_t const extent : shape) {
        if (bytes > std::numeric_limits<std::size_t>::max() / extent) return std::nullopt;
        bytes *= extent;
    }
    return bytes;
}

/// The type that safetensors calls `name`; empty if there is none.
[[nodiscard]] inline std::optional<dtype> dtype_of(std::string_view name) {
    for (std::size_t i = 0; i <= static_cast<std::size_t>(dtype::f8_e8m0); ++i)
        if (name_of(static_cast<dtype>(i)) == name) return static_cast<dtype>(i);
    return std::nullopt;
}

namespace detail {

/// The text of the header.
/// @throws format_error if the first bytes cannot be a safetensors file's
[[nodiscard]] inline std::string_view safetensors_header(std::span<std::byte const> bytes, std::string const& name) {
    std::string_view const text(reinterpret_cast<char const*>(bytes.data()), bytes.size());
    if (auto const what = misplaced_file(text.substr(0, 1000)); !what.empty())
        throw format_error(name + ": " + std::string(what));
    auto const fail = [&name](std::string const& what) {
        throw format_error(name + ": not a safetensors file: " + what);
    };
    if (bytes.size() < 8) fail("it ends after " + std::to_string(bytes.size()) + " bytes, within the header's length");
    std::uint64_t length = 0;
    for (std::size_t i = 0; i < 8; ++i) length |= std::uint64_t{std::to_integer<std::uint8_t>(bytes[i])} << (8 * i);
    if (length > safetensors_header_limit)
        fail("the header's length at byte 0 is " + std::to_string(length) + ", the format's limit is "
             + std::to_string(safetensors_header_limit));
    if (length > bytes.size() - 8)
        fail("the header should have " + std::to_string(length) + " bytes, but the file ends after "
             + std::to_string(bytes.size() - 8) + " of them");
    auto const header = text.substr(8, static_cast<std::size_t>(length));
    if (!header.starts_with('{')) fail("the header at byte 8 does not begin with \"{\"");
    return header;
}

struct extent {
    std::size_t begin, end;
    std::string name;
};

/// The tensor of one entry of the header. Offsets count from the beginning of `data`; `range` receives them.
[[nodiscard]] inline tensor safetensors_entry(json_view const& entry, std::span<std::byte const> data, extent& range) {
    auto const type_name = entry.at("dtype").text();
    auto const type = dtype_of(type_name);
    if (!type) entry.at("dtype").fail("a known element type");
    tensor result;
    result.type = *type;
    for (auto const& size : entry.at("shape").items()) result.shape.push_back(size.natural());

    auto const offsets = entry.at("data_offsets").items();
    if (offsets.size() != 2) entry.at("data_offsets").fail("two offsets");
    range.begin = offsets[0].natural();
    range.end = offsets[1].natural();
    auto const here = [&] {
        return entry.place() + "the bytes " + std::to_string(range.begin) + " to " + std::to_string(range.end);
    };
    if (range.begin > range.end) throw format_error(here() + " end before they begin");
    if (range.end > data.size())
        throw format_error(here() + " lie beyond the end of the file, which holds " + std::to_string(data.size())
                           + " bytes of data; is it cut off?");
    auto const expected = bytes_of(result.shape, *type);
    if (!expected || *expected != range.end - range.begin)
        throw format_error(here() + " are not as many as the shape and " + type_name
                           + " need: " + (expected ? std::to_string(*expected) : "more than can be counted"));
    result.bytes = data.subspan(range.begin, range.end - range.begin);
    return result;
}

/// Checks that the tensors cover the data without gaps and overlaps, as the format demands.
/// @throws format_error
inline void check_tiling(std::vector<extent> ranges, std::size_t size, std::string const& name) {
    std::sort(ranges.begin(), ranges.end(),
              [](extent const& a, extent const& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
    extent const* previous = nullptr;
    std::size_t covered = 0;
    for (extent const& range : ranges) {
        if (range.begin < covered)
            throw format_error(name + ": the tensors " + in_quotes(previous->name) + " and " + in_quotes(range.name)
                               + " overlap at byte " + std::to_string(range.begin) + " of the data");
        if (range.begin > covered)
            throw format_error(name + ": the bytes " + std::to_string(covered) + " to " + std::to_string(range.begin)
                               + " of the data, before the tensor " + in_quotes(range.name) + ", belong to no tensor");
        covered = range.end;
        previous = &range;
    }
    if (covered != size)
        throw format_error(name + ": the last " + std::to_string(size - covered)
                           + " bytes of the file belong to no tensor");
}

} // namespace detail

/// Reads a whole file. The tensors view `bytes`, which must outlive them. `name` is the file's name in errors.
/// @throws format_error for every deviation from the format, except that tensors may begin at any byte
[[nodiscard]] inline safetensors_content parse_safetensors(std::span<std::byte const> bytes, std::string const& name) {
    auto const header = detail::safetensors_header(bytes, name);
    auto const data = bytes.subspan(8 + header.size());
    auto const document = parse_json(header, name, {.bytes = safetensors_header_limit, .depth = 4});

    safetensors_content result;
    std::vector<detail::extent> ranges;
    for (auto const& [key, entry] : json_view(document, name).members()) {
        if (key == "__metadata__") {
            for (auto const& [word, value] : entry.members()) result.metadata.emplace(word, value.text());
            continue;
        }
        detail::extent range{0, 0, key};
        result.content.tensors.emplace(key, detail::safetensors_entry(entry, data, range));
        ranges.push_back(std::move(range));
    }
    detail::check_tiling(std::move(ranges), data.size(), name);
    return result;
}

/// Maps a file and reads its header. The tensors view the mapping, which `content.owners` keeps alive.
/// @throws file_error and format_error
[[nodiscard]] inline safetensors_content open_safetensors(std::filesystem::path const& path) {
    auto const file = mapped_file::open(path);
    auto result = parse_safetensors(file->bytes(), path.string());
    result.content.owners.push_back(file);
    return result;
}

/// The tensors of open_safetensors, without the metadata.
[[nodiscard]] inline named_tensors read_safetensors(std::filesystem::path const& path) {
    return open_safetensors(path).content;
}

} // namespace llamavision::checkpoint
