// SPDX-License-Identifier: Apache-2.0
// The parts of Unicode that a byte-level tokenizer needs: one step of UTF-8 decoding, the repair of invalid bytes, and
// the three character classes that the pre-tokeniser's regular expression names.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <llamavision/tokens/unicode_tables.hpp>
#include <string>
#include <string_view>

namespace llamavision::tokens {

/// The result of one step of UTF-8 decoding.
enum class utf8_state : std::uint8_t {
    valid,     ///< a character
    invalid,   ///< bytes that no continuation can make a character
    incomplete ///< the text ends inside what may become a character
};

/// `length` bytes were read, at least 1: a character, the maximal invalid prefix of one, or the rest of the text.
struct utf8_step {
    utf8_state state;
    std::uint8_t length;
    char32_t code; ///< U+FFFD unless the state is valid
};

inline constexpr std::string_view replacement_character = "\xEF\xBF\xBD"; // U+FFFD

/// Decodes the character that begins at byte `at` (< text.size()). Overlong forms, surrogates and values above U+10FFFF
/// are invalid. Source: Unicode 16.0, table 3-7 (well-formed byte sequences) and "maximal subparts" in section 3.9.
constexpr utf8_step next_character(std::string_view text, std::size_t at) {
    auto const byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    auto const lead = byte(at);
    if (lead < 0x80) return {utf8_state::valid, 1, lead};
    if (lead < 0xC2 || lead > 0xF4) return {utf8_state::invalid, 1, 0xFFFD};
    std::uint8_t const size = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    // Only the second byte has a narrower range, after four of the lead bytes.
    unsigned low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    unsigned high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    char32_t code = lead & (0x7Fu >> size);
    for (std::uint8_t i = 1; i < size; ++i, low = 0x80, high = 0xBF) {
        if (at + i == text.size()) return {utf8_state::incomplete, i, 0xFFFD};
        auto const next = byte(at + i);
        if (next < low || next > high) return {utf8_state::invalid, i, 0xFFFD};
        code = code << 6 | (next & 0x3Fu);
    }
    return {utf8_state::valid, size, code};
}

/// Appends `code` (a scalar value) to `out` in UTF-8.
inline void append_utf8(std::string& out, char32_t code) {
    auto const put = [&](char32_t byte) { out.push_back(static_cast<char>(static_cast<unsigned char>(byte))); };
    if (code < 0x80) return put(code);
    if (code < 0x800) {
        put(0xC0 | code >> 6);
    } else {
        if (code < 0x10000) {
            put(0xE0 | code >> 12);
        } else {
            put(0xF0 | code >> 18);
            put(0x80 | (code >> 12 & 0x3F));
        }
        put(0x80 | (code >> 6 & 0x3F));
    }
    put(0x80 | (code & 0x3F));
}

/// Bytes of `text` before the first one that is not part of a valid character; text.size() if all are.
constexpr std::size_t valid_prefix(std::string_view text) {
    std::size_t at = 0;
    while (at < text.size()) {
        auto const step = next_character(text, at);
        if (step.state != utf8_state::valid) break;
        at += step.length;
    }
    return at;
}

/// `text` with each maximal invalid prefix replaced by one U+FFFD, as Python's `errors="replace"` does.
inline std::string repaired(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    for (std::size_t at = 0; at < text.size();) {
        auto const step = next_character(text, at);
        out += step.state == utf8_state::valid ? text.substr(at, step.length) : replacement_character;
        at += step.length;
    }
    return out;
}

/// The classes of the pre-tokeniser: \p{L}, \p{N} (Nd, Nl, No), \s (White_Space), and the rest.
enum class char_class : std::uint8_t { other, letter, number, space };

/// The class by binary search, for any code point.
constexpr char_class search_class(char32_t code) {
    auto const key = static_cast<std::uint32_t>(code) << 2 | 3u;
    auto const* const after = std::upper_bound(class_changes.data(), class_changes.data() + class_changes.size(), key);
    return static_cast<char_class>(after[-1] & 3u); // the table begins at U+0000, so there is one before
}

inline constexpr auto latin_classes = [] {
    std::array<char_class, 256> classes{};
    for (std::size_t code = 0; code < classes.size(); ++code) classes[code] = search_class(static_cast<char32_t>(code));
    return classes;
}();

/// The class of a code point.
constexpr char_class classify(char32_t code) {
    return code < latin_classes.size() ? latin_classes[static_cast<std::size_t>(code)] : search_class(code);
}

} // namespace llamavision::tokens
