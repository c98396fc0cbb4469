// SPDX-License-Identifier: Apache-2.0
// Converts gates that GGUF files store after tanh to those of Hugging Face's form, and back.
#pragma once

#include <llamavision/checkpoint/tensor.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/half.hpp>

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace llamavision::checkpoint::detail {

/// The gate g for which `opened` = tanh(g) in float and `rest` = 1 - tanh(g), which is more exact near ±1. The models
/// are published in bfloat16; so if tanh of the nearest bfloat16 is `opened` within four units in the last place (tanh
/// in float is not exact), that number is g. If tanh(g) is ±1 in float, g cannot be computed; the result is then ±10,
/// whose tanh is ±1 as well.
[[nodiscard]] inline float raw_gate(float opened, double rest) {
    double const t = static_cast<double>(opened);
    double g = std::abs(t) < 0.5 || rest <= 0 || rest >= 2 ? std::atanh(t) : 0.5 * std::log((2 - rest) / rest);
    if (!(std::abs(g) < 10)) g = std::copysign(10.0, t);
    auto const near = static_cast<float>(bf16::round(static_cast<float>(g)));
    auto const miss = std::abs(std::tanh(static_cast<double>(near)) - t);
    return miss <= std::abs(t) * 0x1p-22 ? near : static_cast<float>(g);
}

/// The single value of a gate.
/// @throws mismatch_error, naming `place`, unless the tensor is one finite number of F32, F16 or BF16
[[nodiscard]] inline float gate_value(tensor const& t, std::string const& place) {
    if (!is_plain_weight(t.type) || values_of(t) != 1)
        throw mismatch_error(place + "is a gate, but not one number of F32, F16 or BF16");
    std::vector<std::byte> buffer;
    auto const bytes = bytes_of(t, buffer);
    std::uint32_t bits = 0;
    std::memcpy(&bits, bytes.data(), bytes.size());
    auto const half = static_cast<std::uint16_t>(bits);
    float const value = t.type == dtype::f32   ? std::bit_cast<float>(bits)
                        : t.type == dtype::f16 ? static_cast<float>(f16{half})
                                               : static_cast<float>(bf16{half});
    if (!std::isfinite(value)) throw mismatch_error(place + "is not finite");
    return value;
}

/// The tensor of a gate.
[[nodiscard]] inline tensor gate_tensor(float value) {
    return {dtype::f32, {1}, {}, [value](std::span<std::byte> to) { std::memcpy(to.data(), &value, sizeof value); }};
}

/// The gate g of `opened` = tanh(g).
/// @throws mismatch_error if `opened` is above 1 or below -1
[[nodiscard]] inline tensor closed_gate(tensor const& opened, std::string const& place) {
    float const t = gate_value(opened, place);
    if (std::abs(t) > 1)
        throw mismatch_error(place + "is " + std::to_string(t)
                             + ", but tanh lies between -1 and 1: the file has the gates before tanh, as ollama 0.7.0 "
                               "wrote them; read it in the dialect ollama-0.7.0");
    return gate_tensor(raw_gate(t, 1 - static_cast<double>(t)));
}

/// The gate g of the positions, which files store twice: 1 - tanh(g) for the patches, tanh(g) for the tiles.
/// @throws mismatch_error if the two contradict each other
[[nodiscard]] inline tensor closed_gate(tensor const& patches, tensor const& tiles, std::string const& place) {
    float const rest = gate_value(patches, place), t = gate_value(tiles, place);
    if (std::abs(t) > 1 || std::abs(rest + t - 1) > 1e-2f)
        throw mismatch_error(place + "is " + std::to_string(rest) + ", which is not 1 less the tiles' gate, "
                             + std::to_string(t));
    return gate_tensor(raw_gate(t, static_cast<double>(rest)));
}

/// tanh of a gate in float, as ollama computes it.
[[nodiscard]] inline float opened_gate(tensor const& raw, std::string const& place) {
    return static_cast<float>(std::tanh(static_cast<double>(gate_value(raw, place))));
}

} // namespace llamavision::checkpoint::detail
