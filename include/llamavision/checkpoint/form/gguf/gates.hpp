// SPDX-License-Identifier: Apache-2.0
// Gates that GGUF files hold after tanh, back to what Hugging Face stores, and the other way.
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

/// The number g of which `opened` is tanh(g) in float, if `rest` is 1 - tanh(g): near ±1, that is what is exact. The
/// models are published in bfloat16, so a bfloat16 whose tanh is `opened`, but for four units in the last place (float
/// routines are not exact), is taken to be g itself. A gate that is wide open has lost g; then it is ±10, whose tanh
/// is ±1 in float.
[[nodiscard]] inline float raw_gate(float opened, double rest) {
    double const t = static_cast<double>(opened);
    double g = std::abs(t) < 0.5 || rest <= 0 || rest >= 2 ? std::atanh(t) : 0.5 * std::log((2 - rest) / rest);
    if (!(std::abs(g) < 10)) g = std::copysign(10.0, t);
    auto const near = static_cast<float>(bf16::round(static_cast<float>(g)));
    auto const miss = std::abs(std::tanh(static_cast<double>(near)) - t);
    return miss <= std::abs(t) * 0x1p-22 ? near : static_cast<float>(g);
}

/// The one value of a gate. Throws mismatch_error, naming `place`, if it is not one real number.
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

/// A gate as a tensor of its own.
[[nodiscard]] inline tensor gate_tensor(float value) {
    return {dtype::f32, {1}, {}, [value](std::span<std::byte> to) { std::memcpy(to.data(), &value, sizeof value); }};
}

/// `opened` = tanh(g) back to g. Throws mismatch_error if no gate opens so far.
[[nodiscard]] inline tensor closed_gate(tensor const& opened, std::string const& place) {
    float const t = gate_value(opened, place);
    if (std::abs(t) > 1)
        throw mismatch_error(place + "is " + std::to_string(t)
                             + ", but tanh lies between -1 and 1: the file has the gates before tanh, as ollama 0.7.0 "
                               "wrote them; read it in the dialect ollama-0.7.0");
    return gate_tensor(raw_gate(t, 1 - static_cast<double>(t)));
}

/// The gate of the positions, stored twice: 1 - tanh(g) for the patches, tanh(g) for the tiles. Throws mismatch_error
/// if the two contradict each other.
[[nodiscard]] inline tensor closed_gate(tensor const& patches, tensor const& tiles, std::string const& place) {
    float const rest = gate_value(patches, place), t = gate_value(tiles, place);
    if (std::abs(t) > 1 || std::abs(rest + t - 1) > 1e-2f)
        throw mismatch_error(place + "is " + std::to_string(rest) + ", which is not 1 less the tiles' gate, "
                             + std::to_string(t));
    return gate_tensor(raw_gate(t, static_cast<double>(rest)));
}

/// tanh of a gate, and 1 less that, in float as ollama computes them.
[[nodiscard]] inline float opened_gate(tensor const& raw, std::string const& place) {
    return static_cast<float>(std::tanh(static_cast<double>(gate_value(raw, place))));
}

} // namespace llamavision::checkpoint::detail
