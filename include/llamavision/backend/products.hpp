// SPDX-License-Identifier: Apache-2.0
// What a product may do beside multiplying: apply a norm while it reads its input, share its input with other products,
// and apply rope to its output. For backends that do these things while values are in registers.
#pragma once

#include <cstddef>

#include <llamavision/weights/matrix.hpp>

namespace llamavision {

/// Rows that a product reads: as they are, or with a norm that the kernel applies while it reads them. With a weight
/// and no bias that is rms_norm, with both layer_norm.
struct normed {
    float const* x = nullptr;      ///< (rows, width)
    float const* weight = nullptr; ///< (width); null: as they are
    float const* bias = nullptr;   ///< (width), or null
    float eps = 0;

    constexpr normed(float const* rows) : x(rows) {} // NOLINT(google-explicit-constructor): rows are their own norm
    constexpr normed(float const* rows, float const* w, float const* b, float e)
        : x(rows), weight(w), bias(b), eps(e) {}
};

/// One of several products of the same rows: y (rows, w.rows) = x wᵀ.
struct projection {
    matrix w;
    float* y = nullptr;
    bool rotated = false; ///< rope, after it
};

/// The angles of `rope`: (rows, head_dim/2) cosines and sines.
struct rotation {
    float const* cos = nullptr;
    float const* sin = nullptr;
    std::size_t head_dim = 0;
};

} // namespace llamavision
