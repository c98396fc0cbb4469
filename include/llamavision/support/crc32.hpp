// SPDX-License-Identifier: Apache-2.0
// CRC-32 as in zip and PNG files (polynomial 0xEDB88320, reflected), computed eight bytes at a time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace llamavision {

namespace detail {

/// tables[k][b] is the checksum state for the byte b followed by k zero bytes.
inline constexpr auto crc32_tables = [] {
    std::array<std::array<std::uint32_t, 256>, 8> tables{};
    for (std::uint32_t b = 0; b < 256; ++b) {
        std::uint32_t c = b;
        for (int bit = 0; bit < 8; ++bit) c = (c >> 1) ^ ((c & 1u) != 0 ? 0xEDB88320u : 0u);
        tables[0][b] = c;
    }
    for (std::size_t k = 1; k < 8; ++k)
        for (std::size_t b = 0; b < 256; ++b)
            tables[k][b] = (tables[k - 1][b] >> 8) ^ tables[0][tables[k - 1][b] & 0xFFu];
    return tables;
}();

} // namespace detail

/// The checksum of all bytes that were added.
class crc32 {
  public:
    void add(std::span<std::byte const> bytes) {
        auto const& t = detail::crc32_tables;
        std::uint32_t c = state_;
        auto const at = [&](std::size_t i) { return std::to_integer<std::uint32_t>(bytes[i]); };
        std::size_t i = 0;
        for (; i + 8 <= bytes.size(); i += 8) {
            std::uint32_t const low = c ^ (at(i) | at(i + 1) << 8 | at(i + 2) << 16 | at(i + 3) << 24);
            c = t[7][low & 0xFFu] ^ t[6][(low >> 8) & 0xFFu] ^ t[5][(low >> 16) & 0xFFu] ^ t[4][low >> 24]
                ^ t[3][at(i + 4)] ^ t[2][at(i + 5)] ^ t[1][at(i + 6)] ^ t[0][at(i + 7)];
        }
        for (; i < bytes.size(); ++i) c = (c >> 8) ^ t[0][(c ^ at(i)) & 0xFFu];
        state_ = c;
    }
    [[nodiscard]] std::uint32_t value() const { return ~state_; }

  private:
    std::uint32_t state_ = 0xFFFFFFFFu;
};

} // namespace llamavision
