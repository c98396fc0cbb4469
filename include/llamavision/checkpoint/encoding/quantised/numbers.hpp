// SPDX-License-Identifier: Apache-2.0
// The small floating point formats of quantised weights and of their scales, as floats. All values are exact.
//
// Source: OCP Microscaling Formats (MX) specification 1.0, section 5: a code is sign, exponent e, mantissa m. With a
// bias of 2^(exponent bits - 1) - 1 its value is (1 + m / 2^mantissa bits) * 2^(e - bias), or m / 2^mantissa bits *
// 2^(1 - bias) if e is 0. e2m1, e2m3 and e3m2 have neither infinities nor NaN; e4m3 (e4m3fn in PyTorch) has the NaN
// 0x7f and 0xff alone; e5m2 is the upper byte of an IEEE binary16.
#pragma once

#include <llamavision/support/half.hpp>

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>

namespace llamavision::checkpoint {

/// Formats of single values.
enum class small_float : std::uint8_t { e2m1, e2m3, e3m2, e4m3, e5m2 };

[[nodiscard]] constexpr std::string_view name_of(small_float type) {
    constexpr std::string_view names[] = {"e2m1", "e2m3", "e3m2", "e4m3", "e5m2"};
    return names[static_cast<std::size_t>(type)];
}

[[nodiscard]] constexpr unsigned bits_of(small_float type) {
    constexpr unsigned bits[] = {4, 6, 6, 8, 8};
    return bits[static_cast<std::size_t>(type)];
}

namespace detail {

/// 2^exponent, for exponents of normal floats.
[[nodiscard]] constexpr float power_of_two(int exponent) {
    return std::bit_cast<float>(static_cast<std::uint32_t>(exponent + 127) << 23);
}

[[nodiscard]] constexpr float decode_small_float(unsigned code, unsigned exponent_bits, unsigned mantissa_bits) {
    unsigned const mantissa = code & ((1u << mantissa_bits) - 1);
    unsigned const exponent = (code >> mantissa_bits) & ((1u << exponent_bits) - 1);
    int const bias = (1 << (exponent_bits - 1)) - 1;
    float const fraction = static_cast<float>(mantissa) / static_cast<float>(1u << mantissa_bits);
    float const magnitude = exponent == 0 ? fraction * power_of_two(1 - bias)
                                          : (1.0f + fraction) * power_of_two(static_cast<int>(exponent) - bias);
    return (code >> (exponent_bits + mantissa_bits) & 1u) != 0 ? -magnitude : magnitude;
}

[[nodiscard]] constexpr std::array<float, 256> decode_all(small_float type) {
    std::array<float, 256> values{};
    for (unsigned code = 0; code < values.size(); ++code) switch (type) {
        case small_float::e2m1: values[code] = decode_small_float(code & 15u, 2, 1); break;
        case small_float::e2m3: values[code] = decode_small_float(code & 63u, 2, 3); break;
        case small_float::e3m2: values[code] = decode_small_float(code & 63u, 3, 2); break;
        case small_float::e5m2: values[code] = static_cast<float>(f16{static_cast<std::uint16_t>(code << 8)}); break;
        case small_float::e4m3:
            values[code] =
                (code & 0x7fu) == 0x7fu ? std::numeric_limits<float>::quiet_NaN() : decode_small_float(code, 4, 3);
            break;
        }
    return values;
}

inline constexpr std::array small_float_values{decode_all(small_float::e2m1), decode_all(small_float::e2m3),
                                               decode_all(small_float::e3m2), decode_all(small_float::e4m3),
                                               decode_all(small_float::e5m2)};

} // namespace detail

/// The values of all codes; of a format of fewer than 8 bits, the higher bits of a code do not count.
[[nodiscard]] constexpr std::array<float, 256> const& values_of(small_float type) {
    return detail::small_float_values[static_cast<std::size_t>(type)];
}

/// The scale 2^(code - 127); 255 is NaN.
[[nodiscard]] constexpr float decode_e8m0(std::uint8_t code) {
    if (code == 255) return std::numeric_limits<float>::quiet_NaN();
    return std::bit_cast<float>(code == 0 ? 0x00400000u : static_cast<std::uint32_t>(code) << 23);
}

} // namespace llamavision::checkpoint
