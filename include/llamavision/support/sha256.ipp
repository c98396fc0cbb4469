// SPDX-License-Identifier: Apache-2.0
// SHA-256: the message's blocks, its padding, and the rounds.
#pragma once

#include <bit>
#include <cstring>

#include <llamavision/support/sha256.hpp>

namespace llamavision {

namespace detail {

inline constexpr std::array<std::uint32_t, 64> sha256_constants{
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

} // namespace detail

LLAMAVISION_INLINE void sha256::update(std::span<std::byte const> bytes) {
    if (bytes.empty()) return;
    std::size_t const waiting = static_cast<std::size_t>(length_ % 64);
    length_ += bytes.size();
    std::byte const* next = bytes.data();
    std::size_t left = bytes.size();
    if (waiting != 0) {
        std::size_t const taken = left < 64 - waiting ? left : 64 - waiting;
        std::memcpy(block_.data() + waiting, next, taken);
        if (waiting + taken < 64) return;
        absorb(block_.data());
        next += taken;
        left -= taken;
    }
    for (; left >= 64; next += 64, left -= 64) absorb(next);
    if (left != 0) std::memcpy(block_.data(), next, left);
}

LLAMAVISION_INLINE std::string sha256::hex() {
    std::uint64_t const bits = length_ * 8;
    std::array<std::byte, 72> padding{std::byte{0x80}};
    // The padding: one bit 1, zeros up to 56 bytes modulo 64, and the message's length in bits, big-endian.
    std::size_t const zeros_end = static_cast<std::size_t>((119 - length_ % 64) % 64 + 1);
    for (std::size_t i = 0; i < 8; ++i)
        padding[zeros_end + i] = static_cast<std::byte>(static_cast<std::uint8_t>(bits >> (56 - 8 * i)));
    update(std::span<std::byte const>(padding.data(), zeros_end + 8));
    std::string text;
    for (std::uint32_t const word : state_)
        for (int shift = 28; shift >= 0; shift -= 4) text.push_back("0123456789abcdef"[(word >> shift) & 15]);
    return text;
}

LLAMAVISION_INLINE void sha256::absorb(std::byte const* block) {
    std::array<std::uint32_t, 64> w;
    for (std::size_t i = 0; i < 16; ++i)
        w[i] =
            std::to_integer<std::uint32_t>(block[4 * i]) << 24 | std::to_integer<std::uint32_t>(block[4 * i + 1]) << 16
            | std::to_integer<std::uint32_t>(block[4 * i + 2]) << 8 | std::to_integer<std::uint32_t>(block[4 * i + 3]);
    for (std::size_t i = 16; i < 64; ++i) {
        std::uint32_t const s0 = std::rotr(w[i - 15], 7) ^ std::rotr(w[i - 15], 18) ^ (w[i - 15] >> 3);
        std::uint32_t const s1 = std::rotr(w[i - 2], 17) ^ std::rotr(w[i - 2], 19) ^ (w[i - 2] >> 10);
        w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    auto [a, b, c, d, e, f, g, h] = state_;
    for (std::size_t i = 0; i < 64; ++i) {
        std::uint32_t const s1 = std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25);
        std::uint32_t const t1 = h + s1 + ((e & f) ^ (~e & g)) + detail::sha256_constants[i] + w[i];
        std::uint32_t const s0 = std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22);
        std::uint32_t const t2 = s0 + ((a & b) ^ (a & c) ^ (b & c));
        h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
    }
    std::array<std::uint32_t, 8> const mixed{a, b, c, d, e, f, g, h};
    for (std::size_t i = 0; i < 8; ++i) state_[i] += mixed[i];
}

LLAMAVISION_INLINE std::string sha256_hex(std::span<std::byte const> bytes) {
    sha256 digest;
    digest.update(bytes);
    return digest.hex();
}

} // namespace llamavision
