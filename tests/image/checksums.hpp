// SPDX-License-Identifier: Apache-2.0
// PNG checksums put right, so that what a damaged or fuzzed file holds reaches the decoder all the same.
#pragma once

#include <llamavision/support/crc32.hpp>

#include <cstddef>
#include <cstdint>
#include <span>

namespace files {

inline std::uint32_t checksum_of(std::span<std::byte const> bytes) {
    llamavision::crc32 sum;
    sum.add(bytes);
    return sum.value();
}

/// Gives every chunk of a PNG, as far as there are whole ones, the checksum of what it now holds.
inline void repair_checksums(std::span<std::byte> png) {
    auto const be32 = [&](std::size_t at) {
        std::size_t value = 0;
        for (std::size_t i = 0; i < 4; ++i) value = value << 8 | std::to_integer<std::size_t>(png[at + i]);
        return value;
    };
    for (std::size_t at = 8; at + 12 <= png.size() && be32(at) <= png.size() - at - 12;) {
        std::size_t const end = at + 8 + be32(at);
        std::uint32_t const sum = checksum_of(png.subspan(at + 4, end - at - 4));
        for (std::size_t i = 0; i < 4; ++i) png[end + i] = static_cast<std::byte>(sum >> (24 - 8 * i));
        at = end + 4;
    }
}

} // namespace files
