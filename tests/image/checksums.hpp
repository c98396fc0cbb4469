// SPDX-License-Identifier: Apache-2.0
// Corrects the checksums of a PNG, so that the content of a damaged or fuzzed file reaches the decoder.
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

/// Sets the checksum of every complete chunk of a PNG to that of its content.
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
