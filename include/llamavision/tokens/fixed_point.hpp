// SPDX-License-Identifier: Apache-2.0
// The mathematics of sampling, in integers: weights 2^(−t) and random numbers that are the same bits on every machine
// and with every compiler. No library's exp and no std::uniform_real_distribution promises that.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include <llamavision/support/splitmix64.hpp>

namespace llamavision {

/// Weights are fractions with this many bits, so that 2^20 of them can be added in 64 bits.
inline constexpr unsigned fraction_bits = 43;
inline constexpr std::uint64_t full_weight = std::uint64_t{1} << fraction_bits;

/// 2^(−t/2^32) as a fraction of `full_weight`, to 29 bits; 0 from t = 43·2^32 on.
///
/// With t = k + f, 2^(−f) = Σ (−f ln 2)^i / i! for f in [0, 1). By Horner's rule, every step in 32 bits after the
/// point; the terms alternate and fall, so no step becomes negative, and the terms that are left out are below 2^(−35).
constexpr std::uint64_t power_of_half(std::uint64_t t) {
    constexpr std::array<std::uint64_t, 12> coefficients{
        // (ln 2)^i / i! · 2^32
        4294967296, 2977044472, 1031764991, 238388332, 41309550, 5726720, 661577, 65510, 5676, 437, 30, 2};
    auto const whole = t >> 32, fraction = t & 0xFFFFFFFFu;
    if (whole >= fraction_bits) return 0;
    std::uint64_t sum = coefficients.back();
    for (std::size_t i = coefficients.size() - 1; i-- > 0;) sum = coefficients[i] - (fraction * sum >> 32);
    return sum << (fraction_bits - 32) >> whole;
}

/// exp((score − top) / temperature) as a fraction of `full_weight`, to 29 bits; 0 where it is less than 1 /
/// `full_weight`. The same bits wherever doubles are IEEE 754's: one subtraction, one division and two products.
constexpr std::uint64_t softmax_weight(float score, float top, double temperature) {
    constexpr double log2_e = 1.4426950408889634, units = 4294967296.0;
    double const down = (static_cast<double>(top) - static_cast<double>(score)) / temperature * log2_e;
    return down < fraction_bits ? power_of_half(static_cast<std::uint64_t>(down * units)) : 0;
}

/// A generator with 64 bits of state (SplitMix64, Steele, Lea and Flood 2014): a counter and a mixing function.
class random_bits {
  public:
    explicit constexpr random_bits(std::uint64_t seed) : state_(splitmix64(seed)) {}

    /// Where it stands, and one that goes on from there.
    [[nodiscard]] constexpr std::uint64_t state() const { return state_; }
    [[nodiscard]] static constexpr random_bits at(std::uint64_t state) {
        random_bits bits(0);
        bits.state_ = state;
        return bits;
    }

    constexpr std::uint64_t next() { return splitmix64(state_ += 0x9E3779B97F4A7C15u); }

    /// Uniform in 0 … bound − 1, bound > 0: as many bits as the bound has, drawn again until they are below it.
    constexpr std::uint64_t below(std::uint64_t bound) {
        auto const shift = std::countl_zero(bound);
        for (;;)
            if (auto const value = next() >> shift; value < bound) return value;
    }

  private:
    std::uint64_t state_;
};

} // namespace llamavision
