// SPDX-License-Identifier: Apache-2.0
// Parses JSON from files that cannot be trusted: with limits for size, depth and number of values, and without
// duplicate keys.
#pragma once

#include <cstddef>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include <llamavision/support/separate.hpp>
#include <llamavision/support/text_file.hpp>

namespace llamavision {

/// Limits of a document. A value of two bytes of text takes some tens of bytes in memory, so `bytes` alone would not
/// limit memory; `values` does.
struct json_limits {
    std::size_t bytes = std::size_t{64} << 20;
    std::size_t depth = 64;
    std::size_t values = std::size_t{1} << 22;
};

/// The document `text`, called `name` in errors.
/// @throws format_error with the byte offset of what is wrong: anything that RFC 8259 forbids, byte order marks,
/// duplicate
///         keys and documents beyond `limits`
[[nodiscard]] LLAMAVISION_INLINE nlohmann::json parse_json(std::string_view text, std::string const& name,
                                                           json_limits limits = {});

/// The document in the file `path`.
/// @throws file_error, format_error
[[nodiscard]] inline nlohmann::json read_json(std::filesystem::path const& path, json_limits limits = {}) {
    return parse_json(read_text_file(path, limits.bytes), path.string(), limits);
}

} // namespace llamavision

#if !defined(LLAMAVISION_SEPARATE)
#include <llamavision/support/json.ipp>
#endif
