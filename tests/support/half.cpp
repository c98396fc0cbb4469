// SPDX-License-Identifier: Apache-2.0
// All 65536 values of both 16-bit formats, and the rounding of floats to them.
#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include <llamavision/support/half.hpp>

using llamavision::bf16;
using llamavision::f16;

namespace {

/// (-1)^sign · 2^(exponent - bias) · 1.mantissa, by the definition.
double value(std::uint32_t bits, int exponent_bits, int mantissa_bits) {
    int const bias = (1 << (exponent_bits - 1)) - 1, top = (1 << exponent_bits) - 1;
    int const exponent = static_cast<int>(bits >> mantissa_bits) & top;
    double const fraction = std::ldexp(static_cast<double>(bits & ((1u << mantissa_bits) - 1)), -mantissa_bits);
    double magnitude = exponent == 0 ? std::ldexp(fraction, 1 - bias) : std::ldexp(1.0 + fraction, exponent - bias);
    if (exponent == top)
        magnitude = fraction == 0 ? std::numeric_limits<double>::infinity() : std::numeric_limits<double>::quiet_NaN();
    return bits >> (exponent_bits + mantissa_bits) ? -magnitude : magnitude;
}

template <class H>
int count_wrong(int exponent_bits, int mantissa_bits) {
    int wrong = 0;
    for (std::uint32_t bits = 0; bits < 65536; ++bits) {
        H const half{static_cast<std::uint16_t>(bits)};
        auto const wide = static_cast<float>(half);
        double const expected = value(bits, exponent_bits, mantissa_bits);
        if (std::isnan(expected))
            wrong += !std::isnan(wide) || !std::isnan(static_cast<float>(H::round(wide)));
        else
            wrong += static_cast<double>(wide) != expected || std::signbit(wide) != std::signbit(expected)
                     || H::round(wide).bits != bits;
    }
    return wrong;
}

/// Rounding, checked around every value: just below, at, and just above the middle between it and its neighbour.
template <class H>
int count_misrounded(std::uint32_t largest) {
    int wrong = 0;
    for (std::uint32_t bits = 0; bits < largest; ++bits) {
        auto const low = static_cast<double>(static_cast<float>(H{static_cast<std::uint16_t>(bits)}));
        auto const high = static_cast<double>(static_cast<float>(H{static_cast<std::uint16_t>(bits + 1)}));
        auto const middle = static_cast<float>((low + high) / 2);
        if (static_cast<double>(middle) != (low + high) / 2) continue; // below float's own smallest step
        std::uint32_t const even = bits % 2 ? bits + 1 : bits;
        wrong += H::round(middle).bits != even;
        wrong += H::round(-middle).bits != (even | 0x8000u);
        wrong += H::round(std::nextafter(middle, 0.0f)).bits != bits;
        wrong += H::round(std::nextafter(middle, std::numeric_limits<float>::infinity())).bits != bits + 1;
    }
    return wrong;
}

} // namespace

TEST_CASE("every 16-bit value widens exactly and comes back") {
    CHECK(count_wrong<f16>(5, 10) == 0);
    CHECK(count_wrong<bf16>(8, 7) == 0);
}

TEST_CASE("rounding is to nearest, ties to even") {
    CHECK(count_misrounded<f16>(0x7bffu) == 0);
    CHECK(count_misrounded<bf16>(0x7f7fu) == 0);
}

TEST_CASE("rounding at the ends of the range") {
    float const infinity = std::numeric_limits<float>::infinity();
    CHECK(f16::round(65504.0f).bits == 0x7bff);
    CHECK(f16::round(65519.996f).bits == 0x7bff);
    CHECK(f16::round(65520.0f).bits == 0x7c00);
    CHECK(f16::round(-1e30f).bits == 0xfc00);
    CHECK(f16::round(infinity).bits == 0x7c00);
    CHECK(f16::round(0x1p-25f).bits == 0);
    CHECK(f16::round(0x1.000002p-25f).bits == 1);
    CHECK(f16::round(-0.0f).bits == 0x8000);
    CHECK(bf16::round(std::numeric_limits<float>::max()).bits == 0x7f80);
    CHECK(bf16::round(-infinity).bits == 0xff80);
    CHECK(std::isnan(static_cast<float>(bf16::round(std::bit_cast<float>(0x7f800001u)))));
    CHECK(std::isnan(static_cast<float>(f16::round(std::bit_cast<float>(0xff800001u)))));
}
