// SPDX-License-Identifier: Apache-2.0
// What the runtime must know of a model's layers: how many there are, what attention keeps, and what is tapped. All of
// it is folded from the expression.
#pragma once

#include <cstddef>

#include <llamavision/backend/attention.hpp>
#include <llamavision/expression/walk.hpp>
#include <llamavision/layers/attention.hpp>

namespace llamavision {

/// Attention layers whose keys and values come from the same source.
struct attention_facts {
    std::size_t layers = 0; ///< 0: the model has none
    attention_shape shape{};

    /// Width of a row of keys, and of values.
    [[nodiscard]] constexpr std::size_t kv_width() const { return shape.kv_heads * shape.head_dim; }
};

/// The attention layers of E with keys from there. Their keys must all be of one shape.
template <expression E>
[[nodiscard]] consteval attention_facts attention_of(E e, key_source from) {
    attention_facts found;
    fold(e, [&](auto node, std::size_t copies) {
        if constexpr (requires { node.keys_from; })
            if (node.keys_from == from) {
                if (found.layers > 0
                    && (found.shape.kv_heads != node.shape.kv_heads || found.shape.head_dim != node.shape.head_dim))
                    throw "keys of two shapes in one cache";
                found.layers += copies;
                found.shape = node.shape;
            }
    });
    return found;
}

/// Layers of all stacks in E.
template <expression E>
[[nodiscard]] consteval std::size_t depth_of(E e) {
    std::size_t layers = 0;
    fold(e, [&](auto node, std::size_t copies) {
        if constexpr (node.is_stack) layers += copies * node.depth;
    });
    return layers;
}

/// Rows that a stack keeps beside its output: the inputs of the layers that it taps.
struct tap_facts {
    std::size_t count = 0;
    std::size_t width = 0;
};

template <expression E>
[[nodiscard]] consteval tap_facts taps_of(E e) {
    tap_facts found;
    fold(e, [&](auto node, std::size_t) {
        if constexpr (node.is_stack)
            if (node.taps_count > 0) found = {node.taps_count, node.in};
    });
    return found;
}

} // namespace llamavision
