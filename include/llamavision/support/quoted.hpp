// SPDX-License-Identifier: Apache-2.0
// Makes text from a file fit for an error message: in quotes, short, on one line, and without control characters for a
// terminal.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace llamavision {

/// `text` in double quotes. Bytes outside of printable ASCII become \xNN, and "..." replaces everything beyond `limit`
/// bytes.
[[nodiscard]] inline std::string in_quotes(std::string_view text, std::size_t limit = 100) {
    constexpr char digits[] = "0123456789abcdef";
    std::string result = "\"";
    for (char const c : text.substr(0, limit)) {
        auto const byte = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') {
            result += {'\\', c};
        } else if (byte >= 0x20 && byte < 0x7f) {
            result += c;
        } else {
            result += {'\\', 'x', digits[byte >> 4], digits[byte & 15]};
        }
    }
    if (text.size() > limit) result += "...";
    return result + '"';
}

} // namespace llamavision
