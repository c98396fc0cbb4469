// SPDX-License-Identifier: Apache-2.0
// Quotes strings, prints numbers.
#include "json_text.hpp"

#include <array>
#include <cmath>
#include <cstdio>

#include <llamavision/tokens/python_text.hpp>
#include <llamavision/tokens/unicode.hpp>

namespace program {

std::string json_string(std::string_view text) {
    namespace tokens = llamavision::tokens;
    // Some programs end a line at these characters, such as Python's splitlines.
    constexpr std::array<std::pair<std::string_view, std::string_view>, 3> line_ends{
        {{"\xC2\x85", "\\u0085"}, {"\xE2\x80\xA8", "\\u2028"}, {"\xE2\x80\xA9", "\\u2029"}}};
    std::string out = tokens::python::json_string(tokens::repaired(text));
    for (auto const& [character, escape] : line_ends)
        for (auto at = out.find(character); at != std::string::npos; at = out.find(character, at))
            out.replace(at, character.size(), escape);
    return out;
}

std::string json_number(double value) {
    if (!std::isfinite(value)) return "null";
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%.6g", value);
    return text.data();
}

std::string json_object(std::vector<std::pair<std::string_view, std::string>> const& members) {
    std::string text;
    for (auto const& [key, value] : members) text += (text.empty() ? "" : ", ") + json_string(key) + ": " + value;
    return "{" + text + "}";
}

} // namespace program
