// SPDX-License-Identifier: Apache-2.0
// JSON for other programs: each value is a text, and objects are put together from such texts.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace program {

/// A string in quotes, on one line for all programs that read lines; bytes that are no UTF-8 become U+FFFD.
[[nodiscard]] std::string json_string(std::string_view text);
[[nodiscard]] std::string json_number(double value);

/// [a, b, ...]; `write` makes the text of each element.
template <class Range, class Write>
[[nodiscard]] std::string json_list(Range const& range, Write const& write) {
    std::string text;
    for (auto const& element : range) text += (text.empty() ? "" : ", ") + write(element);
    return "[" + text + "]";
}
/// A list of integers.
template <class Range>
[[nodiscard]] std::string json_integers(Range const& range) {
    return json_list(range, [](auto n) { return std::to_string(n); });
}
/// A list of strings.
template <class Range>
[[nodiscard]] std::string json_strings(Range const& range) {
    return json_list(range, [](auto const& s) { return json_string(s); });
}

/// {"key": value, ...}; values are JSON, and keys need no escapes.
[[nodiscard]] std::string json_object(std::vector<std::pair<std::string_view, std::string>> const& members);

} // namespace program
