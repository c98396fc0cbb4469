// SPDX-License-Identifier: Apache-2.0
// Amounts of memory in messages.
#pragma once

#include <cstddef>
#include <string>

namespace llamavision {

/// "21.3 GB", "4.2 MB" or "512 bytes": powers of 1000, rounded to a tenth.
[[nodiscard]] inline std::string size_text(std::size_t bytes) {
    auto const in = [&](std::size_t unit, char const* name) {
        std::size_t const tenths = bytes / (unit / 10) + (bytes % (unit / 10) >= unit / 20 ? 1 : 0);
        return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " " + name;
    };
    if (bytes >= 100'000'000) return in(1'000'000'000, "GB");
    if (bytes >= 100'000) return in(1'000'000, "MB");
    return std::to_string(bytes) + (bytes == 1 ? " byte" : " bytes");
}

} // namespace llamavision
