// SPDX-License-Identifier: Apache-2.0
// Quotes strings, prints numbers.
#include "json_text.hpp"

#include <array>
#include <cmath>
#include <cstdio>

#include <llamavision/tokens/unicode.hpp>

namespace program {

std::string json_string(std::string_view text) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string out = "\"";
    for (char const c : llamavision::tokens::repaired(text)) {
        auto const byte = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\')
            out += {'\\', c};
        else if (c == '\n')
            out += "\\n";
        else if (byte < 0x20 || byte == 0x7f)
            out += {'\\', 'u', '0', '0', digits[byte >> 4], digits[byte & 15]};
        else
            out += c;
    }
    return out + '"';
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
