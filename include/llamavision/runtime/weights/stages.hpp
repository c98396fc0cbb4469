// SPDX-License-Identifier: Apache-2.0
// Which mapped weights each layer reads, for those that go through a model layer by layer.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include <llamavision/expression/bind.hpp>
#include <llamavision/runtime/weights/stream.hpp>

namespace llamavision {

/// One stage a layer, and one for what follows the last: the projector, the head.
struct layer_stages {
    std::vector<weight_stream::stage> tower, text;
};

/// Layers of the tower; the global ones come after the others.
struct tower_layers {
    std::size_t local, global;
};

/// The patches' convolution belongs to the first layer. The embedding is left out: few of its rows are ever read.
[[nodiscard]] inline layer_stages stages_of(std::span<bound_weight const> weights, tower_layers tower,
                                            std::size_t text_layers) {
    layer_stages stages;
    stages.tower.resize(tower.local + tower.global + 1);
    stages.text.resize(text_layers + 1);
    constexpr std::string_view layers = "layers.";
    for (bound_weight const& w : weights) {
        std::string_view const name = w.name;
        if (w.where != home::file || name.ends_with("embed_tokens.weight")) continue;
        std::size_t const at = name.find(layers);
        bool const in_layer = at != std::string_view::npos;
        std::size_t layer = 0;
        if (in_layer) std::from_chars(name.data() + at + layers.size(), name.data() + name.size(), layer);
        if (name.starts_with("language_model."))
            stages.text[in_layer ? std::min(layer, text_layers) : text_layers].push_back(w.bytes);
        else if (!name.starts_with("vision_model."))
            stages.tower.back().push_back(w.bytes);
        else {
            if (name.substr(0, std::min(at, name.size())).find("global_") != std::string_view::npos)
                layer += tower.local;
            stages.tower[std::min(layer, tower.local + tower.global)].push_back(w.bytes);
        }
    }
    return stages;
}

} // namespace llamavision
