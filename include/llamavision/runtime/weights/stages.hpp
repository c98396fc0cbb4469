// SPDX-License-Identifier: Apache-2.0
// Which mapped weights each layer reads, for those that go through a model layer by layer.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include <llamavision/expression/bind.hpp>
#include <llamavision/runtime/weights/stream.hpp>

namespace llamavision {

/// The weights of one half of a model by the layer that reads them; the last stage is what follows the last layer.
/// A table of tokens is left out: few of its rows are ever read.
/// @param layers of all its stacks
[[nodiscard]] inline std::vector<weight_stream::stage> stages_of(std::span<bound_weight const> weights,
                                                                 std::size_t layers) {
    std::vector<weight_stream::stage> stages(layers + 1);
    for (bound_weight const& w : weights)
        if (w.where == home::file && w.facts.part != model_part::embedding) stages[w.facts.stage].push_back(w.bytes);
    return stages;
}

} // namespace llamavision
