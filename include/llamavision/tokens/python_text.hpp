// SPDX-License-Identifier: Apache-2.0
// Strings and lists as Python prints them: chat templates run in Python, so models were trained on such texts.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <llamavision/tokens/message.hpp>
#include <llamavision/tokens/unicode.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace llamavision::tokens::python {

namespace detail {

inline void append_hex(std::string& out, char32_t value, int digits) {
    for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4) out += "0123456789abcdef"[value >> shift & 15u];
}

// str.isprintable(), but for unassigned code points, whose list grows with every version of Python.
inline bool is_printable(char32_t code) {
    constexpr std::array<std::pair<char32_t, char32_t>, 24> hidden{{
        {0x0, 0x1F},        {0x7F, 0x9F},       {0xAD, 0xAD},        {0x600, 0x605},     {0x61C, 0x61C},
        {0x6DD, 0x6DD},     {0x70F, 0x70F},     {0x890, 0x891},      {0x8E2, 0x8E2},     {0x180E, 0x180E},
        {0x200B, 0x200F},   {0x202A, 0x202E},   {0x2060, 0x206F},    {0xD800, 0xF8FF},   {0xFEFF, 0xFEFF},
        {0xFFF9, 0xFFFB},   {0x110BD, 0x110BD}, {0x110CD, 0x110CD},  {0x13430, 0x1343F}, {0x1BCA0, 0x1BCA3},
        {0x1D173, 0x1D17A}, {0xE0001, 0xE007F}, {0xF0000, 0x10FFFF}, {0xFFFE, 0xFFFF},
    }}; // control, format, surrogate and private-use characters
    if (classify(code) == char_class::space) return code == U' ';
    return std::none_of(hidden.begin(), hidden.end(), [&](auto r) { return code >= r.first && code <= r.second; });
}

} // namespace detail

/// json.dumps(text, ensure_ascii=False).
inline std::string json_string(std::string_view text) {
    std::string out = "\"";
    for (char const c : text) {
        switch (c) {
        case '"': out += "\\\""; break;
        case '\\': out += "\\\\"; break;
        case '\n': out += "\\n"; break;
        case '\r': out += "\\r"; break;
        case '\t': out += "\\t"; break;
        case '\b': out += "\\b"; break;
        case '\f': out += "\\f"; break;
        default:
            if (static_cast<unsigned char>(c) < 0x20) {
                out += "\\u";
                detail::append_hex(out, static_cast<unsigned char>(c), 4);
            } else {
                out += c;
            }
        }
    }
    return out += '"';
}

/// JSON text as json.dumps writes it with ensure_ascii=True, its default: a character that is not ASCII, which can
/// occur only inside strings, becomes \uhhhh, or two of them (a surrogate pair).
inline std::string ascii_json(std::string_view json) {
    std::string out;
    auto const escape = [&](char32_t unit) {
        out += "\\u";
        detail::append_hex(out, unit, 4);
    };
    for (std::size_t at = 0; at < json.size();) {
        auto const step = next_character(json, at);
        at += step.length;
        if (step.code < 0x7F) {
            out += static_cast<char>(step.code);
        } else if (step.code < 0x10000) {
            escape(step.code);
        } else {
            escape(0xD800 + ((step.code - 0x10000) >> 10));
            escape(0xDC00 + (step.code & 0x3FF));
        }
    }
    return out;
}

/// repr(text) of a str.
inline std::string repr(std::string_view text) {
    bool const single = text.find('\'') == std::string_view::npos || text.find('"') != std::string_view::npos;
    char const quote = single ? '\'' : '"';
    std::string out(1, quote);
    for (std::size_t at = 0; at < text.size();) {
        auto const step = next_character(text, at);
        auto const code = step.code;
        if (code == static_cast<unsigned char>(quote) || code == U'\\') {
            out += '\\';
            out += static_cast<char>(code);
        } else if (code == U'\n') {
            out += "\\n";
        } else if (code == U'\r') {
            out += "\\r";
        } else if (code == U'\t') {
            out += "\\t";
        } else if (detail::is_printable(code)) {
            append_utf8(out, code);
        } else {
            out += code < 0x100 ? "\\x" : code < 0x10000 ? "\\u" : "\\U";
            detail::append_hex(out, code, code < 0x100 ? 2 : code < 0x10000 ? 4 : 8);
        }
        at += step.length;
    }
    return out += quote;
}

/// str(content) of a content list: `[{'type': 'image'}, {'type': 'text', 'text': 'Hi'}]`.
inline std::string str(std::vector<part> const& content) {
    std::string out = "[";
    for (auto const& p : content) {
        if (out.size() > 1) out += ", ";
        auto const* const text = std::get_if<std::string>(&p);
        out += text ? "{'type': 'text', 'text': " + repr(*text) + "}" : "{'type': 'image'}";
    }
    return out + "]";
}

/// json.dumps(content, ensure_ascii=False) of a content list.
inline std::string json_list(std::vector<part> const& content) {
    std::string out = "[";
    for (auto const& p : content) {
        if (out.size() > 1) out += ", ";
        auto const* const text = std::get_if<std::string>(&p);
        out += text ? R"({"type": "text", "text": )" + json_string(*text) + "}" : R"({"type": "image"})";
    }
    return out + "]";
}

/// str.isspace() of a character: \s and U+001C … U+001F.
inline bool is_space(char32_t code) { return classify(code) == char_class::space || (code >= 0x1C && code <= 0x1F); }

/// text.strip()
inline std::string_view strip(std::string_view text) {
    while (!text.empty()) {
        auto const step = next_character(text, 0);
        if (!is_space(step.code)) break;
        text.remove_prefix(step.length);
    }
    std::size_t end = 0; // after the last character that stays
    for (std::size_t at = 0; at < text.size();) {
        auto const step = next_character(text, at);
        at += step.length;
        if (!is_space(step.code)) end = at;
    }
    return text.substr(0, end);
}

} // namespace llamavision::tokens::python
