// SPDX-License-Identifier: Apache-2.0
// Small questions about UTF-8 text that Python's str answers by code point.
#pragma once

#include <algorithm>
#include <cstddef>
#include <llamavision/support/quoted.hpp>
#include <llamavision/tokens/unicode.hpp>
#include <string>
#include <string_view>

namespace llamavision::tokens::jinja {

inline bool is_ascii_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

/// str.isspace() of one character: \s, and U+001C to U+001F.
inline bool is_space(char32_t code) { return classify(code) == char_class::space || (code >= 0x1C && code <= 0x1F); }

/// Where the white space that begins at byte `at` ends.
inline std::size_t skip_space(std::string_view text, std::size_t at) {
    while (at < text.size()) {
        auto const step = next_character(text, at);
        if (!is_space(step.code)) break;
        at += step.length;
    }
    return at;
}

/// The byte at which the last character begins that ends before byte `at` (> 0). The text is valid UTF-8.
inline std::size_t character_before(std::string_view text, std::size_t at) {
    do --at;
    while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0u) == 0x80u);
    return at;
}

/// Where the white space at the end of `text` begins.
inline std::size_t without_space_behind(std::string_view text) {
    auto end = text.size();
    while (end > 0) {
        auto const last = character_before(text, end);
        if (!is_space(next_character(text, last).code)) break;
        end = last;
    }
    return end;
}

/// The number of code points.
inline std::size_t characters_in(std::string_view text) {
    return static_cast<std::size_t>(std::count_if(
        text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0u) != 0x80u; }));
}

/// The byte at which code point number `index` begins; text.size() if there are not so many.
inline std::size_t byte_of_character(std::string_view text, std::size_t index) {
    std::size_t at = 0;
    for (; index > 0 && at < text.size(); --index) at += next_character(text, at).length;
    return at;
}

/// str.splitlines(): the end of the line that begins at byte `at`, and the beginning of the next. Source: Python's
/// documentation of str.splitlines.
struct line_end {
    std::size_t end = 0, next = 0;
};
inline line_end end_of_line(std::string_view text, std::size_t at) {
    while (at < text.size()) {
        auto const step = next_character(text, at);
        auto const c = step.code;
        if ((c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029) {
            bool const two = c == U'\r' && at + 1 < text.size() && text[at + 1] == '\n';
            return {at, at + step.length + (two ? 1 : 0)};
        }
        at += step.length;
    }
    return {at, at};
}

/// Appends `value` in `digits` hexadecimal digits.
inline void append_hex(std::string& out, char32_t value, int digits) {
    for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4) out += "0123456789abcdef"[value >> shift & 15u];
}

} // namespace llamavision::tokens::jinja
