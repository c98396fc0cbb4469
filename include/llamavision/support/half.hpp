// SPDX-License-Identifier: Apache-2.0
// The two 16-bit floating point formats of checkpoints, as types for storage. float holds all their values exactly.
#pragma once

#include <bit>
#include <cstdint>

namespace llamavision {

/// bfloat16: the upper half of a float (1 sign, 8 exponent, 7 mantissa bits).
struct bf16 {
    std::uint16_t bits;

    [[nodiscard]] constexpr explicit operator float() const {
        return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
    }
    /// Rounds to nearest, ties to even; a NaN stays a NaN.
    [[nodiscard]] static constexpr bf16 round(float value) {
        auto const u = std::bit_cast<std::uint32_t>(value);
        if ((u & 0x7fffffffu) > 0x7f800000u) return {static_cast<std::uint16_t>((u >> 16) | 0x40u)};
        return {static_cast<std::uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16)};
    }
};

/// IEEE 754 binary16 (1 sign, 5 exponent, 10 mantissa bits).
struct f16 {
    std::uint16_t bits;

    [[nodiscard]] constexpr explicit operator float() const {
        std::uint32_t const sign = static_cast<std::uint32_t>(bits & 0x8000u) << 16;
        std::uint32_t const exponent = (bits >> 10) & 0x1fu;
        std::uint32_t const mantissa = bits & 0x3ffu;
        if (exponent == 0) { // zero or subnormal: mantissa * 2^-24, exact in float
            float const magnitude = static_cast<float>(mantissa) * 0x1p-24f;
            return std::bit_cast<float>(std::bit_cast<std::uint32_t>(magnitude) | sign);
        }
        if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
        return std::bit_cast<float>(sign | ((exponent + 112u) << 23) | (mantissa << 13));
    }
    /// Rounds to nearest, ties to even; overflows to infinity; a NaN stays a NaN.
    [[nodiscard]] static constexpr f16 round(float value) {
        auto const u = std::bit_cast<std::uint32_t>(value);
        auto const sign = static_cast<std::uint16_t>((u >> 16) & 0x8000u);
        std::uint32_t const magnitude = u & 0x7fffffffu;
        if (magnitude > 0x7f800000u) return {static_cast<std::uint16_t>(sign | 0x7e00u)};
        if (magnitude >= 0x477ff000u) return {static_cast<std::uint16_t>(sign | 0x7c00u)}; // >= 65520 rounds to inf
        if (magnitude
            < 0x38800000u) { // below 2^-14: after adding 0.5, the last place of the float is 2^-24, that of f16
            float const aligned = std::bit_cast<float>(magnitude) + 0.5f;
            return {static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(aligned) - 0x3f000000u))};
        }
        std::uint32_t const rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
        return {static_cast<std::uint16_t>(sign | ((rounded - 0x38000000u) >> 13))};
    }
};

} // namespace llamavision
