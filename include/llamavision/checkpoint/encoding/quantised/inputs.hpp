// SPDX-License-Identifier: Apache-2.0
// How many inputs a linear layer has. Some libraries pad the rows of a weight to whole groups, and store nowhere how
// many of its columns count.
#pragma once

#include <llamavision/config/numbers.hpp>

#include <cstddef>
#include <string_view>

namespace llamavision::checkpoint {

/// The columns of the module's weight by its canonical name; 0 if the name is not a linear layer's.
[[nodiscard]] inline std::size_t inputs_of(std::string_view module, config::numbers const& n) {
    if (module == "multi_modal_projector") return n.vision.width * (1 + n.vision.taps.size());
    auto const layer = module.substr(module.rfind('.') + 1);
    bool const of_tower = module.starts_with("vision_model.");
    if (layer == "down_proj") return n.text.mlp;
    if (layer == "fc2") return n.vision.mlp;
    for (std::string_view const known :
         {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "fc1", "lm_head"})
        if (layer == known) return of_tower ? n.vision.width : n.text.width;
    return 0;
}

} // namespace llamavision::checkpoint
