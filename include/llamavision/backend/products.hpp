// SPDX-License-Identifier: Apache-2.0
// What a product may be told beside its weight: that its input's norm is still to be made, that others read the same
// input, and that what it says is to be rotated. For backends that do these things while values are in registers.
#pragma once

#include <cstddef>

#include <llamavision/weights/matrix.hpp>

namespace llamavision {

/// Rows as a product reads them: as they are, or their norm, which nobody has made yet. With a weight and no bias that
/// is rms_norm, with both layer_norm.
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

/// What `rope` is told: (rows, head_dim/2) cosines and sines.
struct rotation {
    float const* cos = nullptr;
    float const* sin = nullptr;
    std::size_t head_dim = 0;
};

} // namespace llamavision
