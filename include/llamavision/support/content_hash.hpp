// SPDX-License-Identifier: Apache-2.0
// A 64-bit hash of gigabytes of content, computed at the speed of memory. It notices accidents and other versions. It
// does not protect against an attacker, who could make two contents with the same hash; sha256.hpp does.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include <llamavision/support/ceil_div.hpp>
#include <llamavision/support/splitmix64.hpp>
#include <llamavision/support/thread_pool.hpp>

namespace llamavision {

namespace detail {

inline constexpr std::size_t hashed_piece = std::size_t{1} << 20;

/// The hash of one piece. Each step is a bijection of the lane and of the word, so pieces that differ in a single word
/// have different hashes. Source: the rounds of XXH64 (Yann Collet).
inline std::uint64_t hash_piece(std::span<std::byte const> bytes) {
    std::uint64_t lanes[4] = {1, 2, 3, 4};
    auto const take = [&](std::byte const* from) {
        for (std::size_t l = 0; l < 4; ++l) {
            std::uint64_t word = 0;
            std::memcpy(&word, from + 8 * l, 8);
            lanes[l] = std::rotl(lanes[l] + word * 0xc2b2ae3d27d4eb4fu, 31) * 0x9e3779b185ebca87u;
        }
    };
    std::size_t at = 0;
    for (; at + 32 <= bytes.size(); at += 32) take(bytes.data() + at);
    if (at < bytes.size()) {
        std::byte last[32] = {};
        std::memcpy(last, bytes.data() + at, bytes.size() - at);
        take(last);
    }
    std::uint64_t sum = splitmix64(bytes.size());
    for (std::uint64_t const lane : lanes) sum = splitmix64(sum ^ lane);
    return sum;
}

} // namespace detail

/// The hash of `bytes`: that of the hashes of pieces of a megabyte, so the number of threads does not change it.
[[nodiscard]] inline std::uint64_t content_hash(std::span<std::byte const> bytes, thread_pool* pool = nullptr) {
    std::size_t const piece = detail::hashed_piece;
    std::vector<std::uint64_t> hashes(ceil_div(bytes.size(), piece));
    auto const hash = [&](std::size_t i) {
        hashes[i] = detail::hash_piece(bytes.subspan(i * piece, std::min(piece, bytes.size() - i * piece)));
    };
    if (pool)
        pool->run(hashes.size(), hash);
    else
        for (std::size_t i = 0; i < hashes.size(); ++i) hash(i);
    return detail::hash_piece(std::as_bytes(std::span(hashes)));
}

} // namespace llamavision
