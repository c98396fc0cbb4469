// SPDX-License-Identifier: Apache-2.0
// GGUF's block types: 32 or 256 neighbouring values of a row with common scales, as types for storage. The layouts are
// those of ggml-common.h; results have the same bits as those of gguf-py (gguf/quants.py).
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include <llamavision/support/cold.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/half.hpp>

namespace llamavision {

// A decoded value is rounded at most once. Scales have 11 significant bits, group scales 6 to 8, and the integers up to
// 8, so their products are exact in float; so it does not matter whether a compiler fuses a multiplication and an
// addition.

namespace detail {

/// Value i of 32 in 16 bytes: the low nibbles are values 0 ... 15, the high nibbles are values 16 ... 31.
[[nodiscard]] constexpr int nibble(std::array<std::uint8_t, 16> const& pairs, std::size_t i) {
    return i < 16 ? pairs[i] & 15 : pairs[i - 16] >> 4;
}

/// Bit i of four little-endian bytes, moved to the place of a fifth bit.
[[nodiscard]] constexpr int fifth_bit(std::array<std::uint8_t, 4> const& bits, std::size_t i) {
    return (bits[i / 8] >> (i % 8) & 1) << 4;
}

/// x * y, rounded to float. By way of double, so that compilers do not fuse it with an addition that follows.
[[nodiscard]] inline float product(float x, float y) {
    return static_cast<float>(static_cast<double>(x) * static_cast<double>(y));
}

[[noreturn]] LLAMAVISION_COLD inline void refuse_infinite() {
    throw format_error("a weight is infinite or no number, and no integer stands for that");
}

/// 1 / x, and 0 where that is infinite.
[[nodiscard]] inline float reciprocal(float x) {
    float const inverse = 1.0f / x;
    return std::isfinite(inverse) ? inverse : 0.0f;
}

} // namespace detail

/// The largest magnitude of some values, as the bits of a float: magnitudes have the order of their bits, and infinity
/// and NaNs are above all others. Compilers can vectorise this loop.
[[nodiscard]] inline std::int32_t largest_magnitude(float const* from, std::size_t count) {
    std::int32_t largest = 0;
    for (std::size_t i = 0; i < count; ++i)
        largest = std::max(largest, std::bit_cast<std::int32_t>(from[i]) & 0x7fffffff);
    return largest;
}

/// Refuses what rounding to integers would turn into an ordinary number.
/// @param magnitude the largest one of the values, as its bits
/// @throws format_error if it is infinite or no number
inline void check_finite(std::int32_t magnitude) {
    constexpr std::int32_t infinity = 0x7f800000;
    if (magnitude >= infinity) detail::refuse_infinite();
}

/// 32 values of 8 bits: scale * q.
struct q8_0 {
    static constexpr std::size_t values = 32;
    f16 scale;
    std::array<std::int8_t, 32> quants;

    void decode(float* to) const {
        float const d = static_cast<float>(scale);
        for (std::size_t i = 0; i < values; ++i) to[i] = d * static_cast<float>(quants[i]);
    }
    /// The largest magnitude of the 32 values becomes 127; halves are rounded away from zero.
    /// @throws format_error if one of them is infinite or no number
    [[nodiscard]] static q8_0 encode(float const* from) {
        std::int32_t const top = largest_magnitude(from, values);
        check_finite(top);
        float const d = std::bit_cast<float>(top) / 127, inverse = detail::reciprocal(d);
        q8_0 block{f16::round(d), {}};
        for (std::size_t i = 0; i < values; ++i) {
            float const q = detail::product(from[i], inverse);
            auto const whole = static_cast<std::int32_t>(q);
            float const rest = q - static_cast<float>(whole);
            block.quants[i] = static_cast<std::int8_t>(whole + (rest >= 0.5f ? 1 : 0) - (rest <= -0.5f ? 1 : 0));
        }
        return block;
    }
};

/// 32 values of 4 bits: scale * (q - 8).
struct q4_0 {
    static constexpr std::size_t values = 32;
    f16 scale;
    std::array<std::uint8_t, 16> pairs;

    void decode(float* to) const {
        float const d = static_cast<float>(scale);
        for (std::size_t i = 0; i < values; ++i) to[i] = d * static_cast<float>(detail::nibble(pairs, i) - 8);
    }
    /// The value of largest magnitude (the first of equals) becomes q = 0. Its opposite would be q = 16, and is cut
    /// to 15.
    /// @throws format_error if one of them is infinite or no number
    [[nodiscard]] static q4_0 encode(float const* from) {
        std::int32_t const top = largest_magnitude(from, values);
        check_finite(top);
        float extreme = from[0];
        for (std::size_t i = values; i-- > 0;)
            extreme = (std::bit_cast<std::int32_t>(from[i]) & 0x7fffffff) == top ? from[i] : extreme;
        float const d = extreme / -8, inverse = detail::reciprocal(d);
        std::int32_t quants[values];
        for (std::size_t i = 0; i < values; ++i)
            quants[i] = std::min(static_cast<std::int32_t>(detail::product(from[i], inverse) + 8.5f), 15);
        q4_0 block{f16::round(d), {}};
        for (std::size_t i = 0; i < 16; ++i)
            block.pairs[i] = static_cast<std::uint8_t>(quants[i] | quants[i + 16] << 4);
        return block;
    }
};

/// 32 values of 4 bits: scale * q + minimum.
struct q4_1 {
    static constexpr std::size_t values = 32;
    f16 scale, minimum;
    std::array<std::uint8_t, 16> pairs;

    void decode(float* to) const {
        float const d = static_cast<float>(scale), m = static_cast<float>(minimum);
        for (std::size_t i = 0; i < values; ++i) to[i] = d * static_cast<float>(detail::nibble(pairs, i)) + m;
    }
};

/// 32 values of 5 bits: scale * (q - 16).
struct q5_0 {
    static constexpr std::size_t values = 32;
    f16 scale;
    std::array<std::uint8_t, 4> high;
    std::array<std::uint8_t, 16> pairs;

    void decode(float* to) const {
        float const d = static_cast<float>(scale);
        for (std::size_t i = 0; i < values; ++i)
            to[i] = d * static_cast<float>((detail::nibble(pairs, i) | detail::fifth_bit(high, i)) - 16);
    }
};

/// 32 values of 5 bits: scale * q + minimum.
struct q5_1 {
    static constexpr std::size_t values = 32;
    f16 scale, minimum;
    std::array<std::uint8_t, 4> high;
    std::array<std::uint8_t, 16> pairs;

    void decode(float* to) const {
        float const d = static_cast<float>(scale), m = static_cast<float>(minimum);
        for (std::size_t i = 0; i < values; ++i)
            to[i] = d * static_cast<float>(detail::nibble(pairs, i) | detail::fifth_bit(high, i)) + m;
    }
};

namespace detail {

/// The scales and minima of eight groups, 6 bits each, in 12 bytes. Bytes 0 ... 3 and 4 ... 7 are the scales and the
/// minima of the first four groups. Bytes 8 ... 11 are the lower nibbles of those of the other four groups; their upper
/// two bits are the upper two bits of the first eight bytes.
struct group_scales {
    std::array<std::uint8_t, 12> bytes;

    [[nodiscard]] constexpr int scale(std::size_t g) const {
        return g < 4 ? bytes[g] & 63 : (bytes[g + 4] & 15) | (bytes[g - 4] >> 6) << 4;
    }
    [[nodiscard]] constexpr int minimum(std::size_t g) const {
        return g < 4 ? bytes[g + 4] & 63 : bytes[g + 4] >> 4 | (bytes[g] >> 6) << 4;
    }
};

/// 256 values in four runs of 32 bytes: the low nibbles of a run are one group of 32 values, the high nibbles the next.
[[nodiscard]] constexpr int group_nibble(std::array<std::uint8_t, 128> const& pairs, std::size_t g, std::size_t i) {
    int const byte = pairs[g / 2 * 32 + i];
    return g % 2 == 0 ? byte & 15 : byte >> 4;
}

} // namespace detail

/// 256 values of 4 bits in 8 groups: (scale * s_g) * q - minimum * m_g.
struct q4_k {
    static constexpr std::size_t values = 256;
    f16 scale, minimum;
    detail::group_scales groups;
    std::array<std::uint8_t, 128> pairs;

    void decode(float* to) const {
        for (std::size_t g = 0; g < 8; ++g) {
            float const d = static_cast<float>(scale) * static_cast<float>(groups.scale(g));
            float const m = static_cast<float>(minimum) * static_cast<float>(groups.minimum(g));
            for (std::size_t i = 0; i < 32; ++i)
                to[32 * g + i] = d * static_cast<float>(detail::group_nibble(pairs, g, i)) - m;
        }
    }
};

/// 256 values of 5 bits in 8 groups, as q4_k; bit g of high[i] is the fifth of value i of group g.
struct q5_k {
    static constexpr std::size_t values = 256;
    f16 scale, minimum;
    detail::group_scales groups;
    std::array<std::uint8_t, 32> high;
    std::array<std::uint8_t, 128> pairs;

    void decode(float* to) const {
        for (std::size_t g = 0; g < 8; ++g) {
            float const d = static_cast<float>(scale) * static_cast<float>(groups.scale(g));
            float const m = static_cast<float>(minimum) * static_cast<float>(groups.minimum(g));
            for (std::size_t i = 0; i < 32; ++i) {
                int const q = detail::group_nibble(pairs, g, i) | (high[i] >> g & 1) << 4;
                to[32 * g + i] = d * static_cast<float>(q) - m;
            }
        }
    }
};

/// 256 values of 6 bits in 16 groups: (scale * s_g) * (q - 32). Two halves of 128: the lower four bits of quarter k are
/// nibbles of two runs of 32 bytes, the upper two are bits 2k and 2k + 1 of a third run.
struct q6_k {
    static constexpr std::size_t values = 256;
    std::array<std::uint8_t, 128> low;
    std::array<std::uint8_t, 64> high;
    std::array<std::int8_t, 16> groups;
    f16 scale;

    void decode(float* to) const {
        for (std::size_t i = 0; i < values; ++i) {
            std::size_t const half = i / 128, quarter = i % 128 / 32, l = i % 32;
            int const byte = low[64 * half + 32 * (quarter % 2) + l];
            int const q = (quarter < 2 ? byte & 15 : byte >> 4) | (high[32 * half + l] >> (2 * quarter) & 3) << 4;
            float const d = static_cast<float>(scale) * static_cast<float>(groups[i / 16]);
            to[i] = d * static_cast<float>(q - 32);
        }
    }
};

static_assert(sizeof(q4_0) == 18 && sizeof(q4_1) == 20 && sizeof(q5_0) == 22 && sizeof(q5_1) == 24 && sizeof(q8_0) == 34
              && sizeof(q4_k) == 144 && sizeof(q5_k) == 176 && sizeof(q6_k) == 210);

/// Decodes whole blocks, at any address. @pre `to` has room for Block::values floats for each block
template <class Block>
void decode_blocks(std::span<std::byte const> bytes, float* to) {
    for (; bytes.size() >= sizeof(Block); bytes = bytes.subspan(sizeof(Block)), to += Block::values) {
        Block block;
        std::memcpy(&block, bytes.data(), sizeof(Block));
        block.decode(to);
    }
}

/// Encodes `count` values, a multiple of Block::values, as whole blocks, at any address. @throws as `Block::encode`
template <class Block>
void encode_blocks(float const* from, std::size_t count, std::byte* to) {
    for (std::size_t i = 0; i < count; i += Block::values, to += sizeof(Block)) {
        Block const block = Block::encode(from + i);
        std::memcpy(to, &block, sizeof(Block));
    }
}

} // namespace llamavision
