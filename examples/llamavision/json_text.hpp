// SPDX-License-Identifier: Apache-2.0
// JSON for other programs to read: every value is written as its text, and an object is made of such texts.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace program {

/// A string in quotes, on one line for every reader of lines; bytes that are no UTF-8 become U+FFFD.
[[nodiscard]] std::string json_string(std::string_view text);
[[nodiscard]] std::string json_number(double value);

/// [a, b, ...] of what `write` makes of the elements.
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

/// {"key": value, ...}; the values are JSON already, the keys plain words.
[[nodiscard]] std::string json_object(std::vector<std::pair<std::string_view, std::string>> const& members);

} // namespace program
