// SPDX-License-Identifier: Apache-2.0
// The norms: one block of threads for each row. The order of additions depends on the width alone.
#pragma once

#include <cmath>
#include <cstddef>

#include <llamavision/backend/cuda/kernels/block.hpp>

namespace llamavision::gpu {

namespace detail {
/// The sum of f(i) over i < width, the same in every thread.
template <unsigned Threads, class Block, class F>
LLAMAVISION_KERNEL float sum_over(Block& block, std::size_t width, F const& f) {
    return block.sum([&](unsigned t) {
        float sum = 0;
        for (std::size_t i = t; i < width; i += Threads) sum += f(i);
        return sum;
    });
}
} // namespace detail

/// y = x / sqrt(mean(x²) + eps) · weight, in the type that the product reads.
template <class To>
struct rms_norm_rows {
    static constexpr unsigned threads = 256;
    using shared = nothing;
    float const* x;
    std::size_t width;
    float const* weight;
    float eps;
    To* y;

    template <class Block>
    LLAMAVISION_KERNEL void operator()(Block& block, shared&) const {
        float const* const from = x + block.x() * width;
        To* const to = y + block.x() * width;
        float const squares = detail::sum_over<threads>(block, width, [&](std::size_t i) { return from[i] * from[i]; });
        float const scale = 1.0f / sqrtf(squares / static_cast<float>(width) + eps);
        block.alone([&](unsigned t) {
            for (std::size_t i = t; i < width; i += threads) to[i] = narrow<To>(from[i] * scale * weight[i]);
        });
    }
};

/// y = (x - mean(x)) / sqrt(var(x) + eps) · weight + bias; var is the mean of (x - mean(x))², so that no digits cancel.
template <class To>
struct layer_norm_rows {
    static constexpr unsigned threads = 256;
    using shared = nothing;
    float const* x;
    std::size_t width;
    float const *weight, *bias;
    float eps;
    To* y;

    template <class Block>
    LLAMAVISION_KERNEL void operator()(Block& block, shared&) const {
        float const* const from = x + block.x() * width;
        To* const to = y + block.x() * width;
        auto const count = static_cast<float>(width);
        float const mean = detail::sum_over<threads>(block, width, [&](std::size_t i) { return from[i]; }) / count;
        float const squares =
            detail::sum_over<threads>(block, width, [&](std::size_t i) { return (from[i] - mean) * (from[i] - mean); });
        float const scale = 1.0f / sqrtf(squares / count + eps);
        block.alone([&](unsigned t) {
            for (std::size_t i = t; i < width; i += threads)
                to[i] = narrow<To>((from[i] - mean) * scale * weight[i] + bias[i]);
        });
    }
};

} // namespace llamavision::gpu
