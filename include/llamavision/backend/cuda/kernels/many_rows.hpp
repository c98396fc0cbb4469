// SPDX-License-Identifier: Apache-2.0
// The arguments of a product of many rows, which the device's library computes.
#pragma once

#include <cstddef>

#include <llamavision/weights/matrix.hpp>

namespace llamavision::gpu {

/// y = scale · x wᵀ + bias, or y += it with `add`; sums in float.
struct many_rows {
    format type = format::f32; ///< of w and of x: f32, f16 or bf16
    void const* w = nullptr;   ///< (outputs, columns)
    void const* x = nullptr;   ///< (rows, columns)
    std::size_t outputs = 0, rows = 0, columns = 0;
    float* y = nullptr;     ///< (rows, outputs)
    std::size_t stride = 0; ///< floats from one row of y to the next
    float const* bias = nullptr;
    float scale = 1.0f;
    bool add = false;
};

} // namespace llamavision::gpu
