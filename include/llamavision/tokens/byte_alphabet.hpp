// SPDX-License-Identifier: Apache-2.0
// GPT-2's alphabet: the characters that stand for the bytes of tokens in tokenizer.json and GGUF.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <llamavision/support/error.hpp>
#include <llamavision/tokens/unicode.hpp>
#include <string>
#include <string_view>

namespace llamavision::tokens::detail {

// GPT-2 writes every byte as a printable character: bytes 33–126, 161–172 and 174–255 as the character of that number,
// the other 68 as U+0100 … U+0143 in increasing order. This table maps characters to bytes; −1: no byte.
inline constexpr auto bytes_of_characters = [] {
    std::array<std::int16_t, 0x144> table{};
    std::int16_t next = 0x100;
    for (auto& entry : table) entry = -1;
    for (std::int16_t byte = 0; byte < 256; ++byte) {
        bool const prints = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
        table[static_cast<std::size_t>(prints ? byte : next++)] = byte;
    }
    return table;
}();

inline std::string bytes_of_token(std::string_view text, std::string const& file) {
    std::string bytes;
    for (std::size_t at = 0; at < text.size();) {
        auto const step = next_character(text, at);
        auto const byte = step.code < bytes_of_characters.size()
                              ? bytes_of_characters[static_cast<std::size_t>(step.code)]
                              : std::int16_t{-1};
        if (byte < 0)
            throw format_error(file + ": token \"" + repaired(text) + "\" is not in the byte alphabet of GPT-2");
        bytes.push_back(static_cast<char>(static_cast<unsigned char>(byte)));
        at += step.length;
    }
    return bytes;
}

// GPT-2's alphabet, from byte to UTF-8: the inverse of bytes_of_characters.
inline std::array<std::string, 256> characters_of_bytes() {
    std::array<std::string, 256> table;
    for (std::size_t code = 0; code < bytes_of_characters.size(); ++code)
        if (auto const byte = bytes_of_characters[code]; byte >= 0)
            append_utf8(table[static_cast<std::size_t>(byte)], static_cast<char32_t>(code));
    return table;
}

} // namespace llamavision::tokens::detail
