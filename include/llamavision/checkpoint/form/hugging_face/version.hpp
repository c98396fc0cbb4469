// SPDX-License-Identifier: Apache-2.0
// Release numbers of transformers as files contain them: "4.45.0.dev0", "5.23.0".
#pragma once

#include <charconv>
#include <compare>
#include <cstdint>
#include <optional>
#include <string_view>
#include <system_error>

namespace llamavision::checkpoint {

/// The first two numbers of a release. Older releases compare less.
struct version {
    std::uint32_t major_number = 0, minor_number = 0;

    auto operator<=>(version const&) const = default;
};

/// The first two numbers in `text`, whatever follows them. Empty if it does not begin with a number.
[[nodiscard]] inline std::optional<version> parse_version(std::string_view text) {
    if (text.starts_with('v')) text.remove_prefix(1);
    version result;
    char const* const end = text.data() + text.size();
    auto const major_part = std::from_chars(text.data(), end, result.major_number);
    if (major_part.ec != std::errc{}) return std::nullopt;
    if (major_part.ptr == end || *major_part.ptr != '.') return result;
    if (std::from_chars(major_part.ptr + 1, end, result.minor_number).ec != std::errc{}) result.minor_number = 0;
    return result;
}

} // namespace llamavision::checkpoint
