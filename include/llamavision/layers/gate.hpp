// SPDX-License-Identifier: Apache-2.0
// tanh_gate: one learned number that scales a residual; checkpoints store it before the tanh.
#pragma once

#include <cmath>

#include <llamavision/expression/run.hpp>

namespace llamavision {

namespace layer {

template <name Name>
struct tanh_gate : expression_base {
    static constexpr std::string_view label = Name.view();
    static constexpr std::array parameters{parameter{"", weight_role::gate, {1}}};

    [[nodiscard]] static float value(weights<tanh_gate> const& w) { return std::tanh(*w.own[0].floats()); }
};

} // namespace layer

template <name Name>
inline constexpr layer::tanh_gate<Name> tanh_gate{};

} // namespace llamavision
