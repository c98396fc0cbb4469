// SPDX-License-Identifier: Apache-2.0
// SHA-256 (FIPS 180-4).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include <llamavision/support/separate.hpp>

namespace llamavision {

/// SHA-256 of bytes that arrive in pieces: call `update` for each piece, then `hex` once.
class sha256 {
  public:
    /// Appends `bytes` to the message.
    void update(std::span<std::byte const> bytes);

    /// Ends the message and returns its digest, 64 lower-case hexadecimal digits.
    std::string hex();

  private:
    void absorb(std::byte const* block);

    std::array<std::uint32_t, 8> state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                        0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    std::array<std::byte, 64> block_{};
    std::uint64_t length_ = 0; // bytes of the message so far
};

/// SHA-256 of one piece of memory, 64 lower-case hexadecimal digits.
[[nodiscard]] LLAMAVISION_INLINE std::string sha256_hex(std::span<std::byte const> bytes);

} // namespace llamavision

#if !defined(LLAMAVISION_SEPARATE)
#include <llamavision/support/sha256.ipp>
#endif
