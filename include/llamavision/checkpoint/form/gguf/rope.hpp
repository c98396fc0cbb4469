// SPDX-License-Identifier: Apache-2.0
// The scaling of rotary frequencies in GGUF. No key describes it; the tensor `rope_freqs.weight` contains its result.
#pragma once

#include <llamavision/checkpoint/tensor.hpp>
#include <llamavision/config/numbers.hpp>
#include <llamavision/config/rope.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/print_number.hpp>

#include <cmath>
#include <cstddef>
#include <cstring>
#include <numbers>
#include <span>
#include <string>
#include <vector>

namespace llamavision::checkpoint {

/// The numbers by which the head_dim / 2 frequencies are divided: the content of `rope_freqs.weight` (ollama:
/// ropeFactors; llama.cpp: convert_hf_to_gguf.py, generate_extra_tensors).
[[nodiscard]] inline std::vector<float> rope_factors(config::rope_numbers rope, std::size_t head_dim) {
    auto const scaled = config::rope_frequencies<double>(rope, head_dim);
    rope.scaled = false;
    auto const plain = config::rope_frequencies<double>(rope, head_dim);
    std::vector<float> factors;
    for (std::size_t i = 0; i < scaled.size(); ++i) factors.push_back(static_cast<float>(plain[i] / scaled[i]));
    return factors;
}

namespace detail {

/// The `factor` of the scaling that divides the lowest frequency by `d`. With s = (context / wavelength - low) / (high
/// - low), d is 1 for s >= 1, the factor for s <= 0, and 1 / ((1 - s) / factor + s) in between. If d is 1, no frequency
/// is scaled, and any factor has the same result.
[[nodiscard]] inline double shown_factor(config::rope_numbers const& rope, double d, std::size_t head_dim) {
    double const highest = static_cast<double>(head_dim - 2) / static_cast<double>(head_dim);
    double const wavelength = 2 * std::numbers::pi * std::pow(rope.theta, highest);
    double const s = (static_cast<double>(rope.original_context) / wavelength - rope.low_freq_factor)
                     / (rope.high_freq_factor - rope.low_freq_factor);
    if (s >= 1) return rope.factor;
    double const factor = s <= 0 ? d : (1 - s) / (1 / d - s);
    double const whole =
        std::round(factor); // d is a float, so the result is not exact; published factors are whole numbers
    return std::abs(factor - whole) <= 1e-3 * whole ? whole : factor;
}

[[nodiscard]] inline std::vector<float> read_rope_factors(tensor const& stored, std::size_t count,
                                                          std::string const& place) {
    if (stored.type != dtype::f32 || values_of(stored) != count)
        throw mismatch_error(place + "is not " + std::to_string(count) + " values of F32, one for each pair");
    std::vector<float> factors(count);
    std::vector<std::byte> made;
    std::memcpy(factors.data(), bytes_of(stored, made).data(), count * sizeof(float));
    return factors;
}

/// Checks that `factors` are those of `rope`, with a relative tolerance of a thousandth.
/// @throws mismatch_error
inline void check_rope_factors(config::rope_numbers const& rope, std::span<float const> factors,
                               std::string const& place) {
    auto const expected = rope_factors(rope, 2 * factors.size());
    for (std::size_t i = 0; i < factors.size(); ++i)
        if (!(std::abs(factors[i] - expected[i]) <= 1e-3f * expected[i]))
            throw mismatch_error(place + "divides frequency " + std::to_string(i) + " by " + std::to_string(factors[i])
                                 + ", but the scaling by " + print_number(rope.factor) + " (from "
                                 + print_number(rope.low_freq_factor) + " to " + print_number(rope.high_freq_factor)
                                 + ", of " + std::to_string(rope.original_context) + " positions) divides it by "
                                 + std::to_string(expected[i]));
}

} // namespace detail

/// Completes t.rope, whose theta is known, by the tensor `rope_freqs.weight`: without it frequencies are not scaled;
/// with it, `factor` is computed from it, and the scaling's other numbers are those of Llama 3. `file` is the file's
/// name in errors.
/// @throws mismatch_error if the tensor contains another scaling
inline void read_gguf_rope(config::text_numbers& t, named_tensors const& tensors, std::string const& file) {
    auto const found = tensors.tensors.find("rope_freqs.weight");
    t.rope.scaled = found != tensors.tensors.end();
    if (!t.rope.scaled) return;
    std::string const place = file + ": the tensor \"rope_freqs.weight\" ";
    auto const factors = detail::read_rope_factors(found->second, t.width / t.heads / 2, place);
    double const factor = detail::shown_factor(t.rope, static_cast<double>(factors.back()), 2 * factors.size());
    if (std::isfinite(factor) && factor > 0) t.rope.factor = factor;
    detail::check_rope_factors(t.rope, factors, place);
}

/// Compares the tensor, if there is one, with numbers that were read elsewhere.
/// @throws mismatch_error if they differ
inline void check_gguf_rope(config::text_numbers const& t, named_tensors const& tensors, std::string const& file) {
    auto const found = tensors.tensors.find("rope_freqs.weight");
    if (found == tensors.tensors.end()) return;
    std::string const place = file + ": the tensor \"rope_freqs.weight\" ";
    if (!t.rope.scaled) throw mismatch_error(place + "scales frequencies, but the configuration does not");
    detail::check_rope_factors(t.rope, detail::read_rope_factors(found->second, t.width / t.heads / 2, place), place);
}

} // namespace llamavision::checkpoint
