// SPDX-License-Identifier: Apache-2.0
// Prints a tensor's shape, for messages.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace llamavision {

/// The shape as "[4096, 14336]".
[[nodiscard]] inline std::string shape_text(std::span<std::size_t const> shape) {
    std::string text = "[";
    for (std::size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
    return text + "]";
}

} // namespace llamavision
