// SPDX-License-Identifier: Apache-2.0
// The frequencies of rotary position embedding.
#pragma once

#include <cmath>
#include <cstddef>
#include <numbers>
#include <vector>

#include <llamavision/config/numbers.hpp>

namespace llamavision::config {

/// The head_dim/2 angular frequencies f_i = theta^(-2i/head_dim), computed in Real; both references compute in float.
/// With the "llama3" scaling (Meta: apply_scaling), a frequency whose wavelength is above original_context /
/// low_freq_factor is divided by `factor`, one whose wavelength is below original_context / high_freq_factor is kept,
/// and in between the result is interpolated.
template <class Real = float>
[[nodiscard]] std::vector<Real> rope_frequencies(rope_numbers const& n, std::size_t head_dim) {
    std::vector<Real> frequencies(head_dim / 2);
    auto const context = static_cast<Real>(n.original_context);
    auto const factor = static_cast<Real>(n.factor);
    auto const low = static_cast<Real>(n.low_freq_factor), high = static_cast<Real>(n.high_freq_factor);
    for (std::size_t i = 0; i < frequencies.size(); ++i) {
        Real const exponent = static_cast<Real>(2 * i) / static_cast<Real>(head_dim);
        Real const f = Real(1) / std::pow(static_cast<Real>(n.theta), exponent);
        frequencies[i] = f;
        if (!n.scaled) continue;
        Real const wavelength = Real(2) * std::numbers::pi_v<Real> / f;
        if (wavelength < context / high) continue;
        if (wavelength > context / low)
            frequencies[i] = f / factor;
        else {
            Real const smooth = (context / wavelength - low) / (high - low);
            frequencies[i] = (Real(1) - smooth) * f / factor + smooth * f;
        }
    }
    return frequencies;
}

} // namespace llamavision::config
