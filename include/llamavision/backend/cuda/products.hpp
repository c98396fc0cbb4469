// SPDX-License-Identifier: Apache-2.0
// Products of few rows with a weight, as in decoding: the weight is read once, and activations stay in float. A warp
// makes some outputs for all rows; what follows the product happens while it is in registers. Many rows are cuBLASLt's.
#pragma once

#include <cstddef>

#include <llamavision/backend/cuda/block.hpp>
#include <llamavision/backend/cuda/elementwise.hpp>
#include <llamavision/backend/cuda/values.hpp>

namespace llamavision::gpu {

/// What becomes of a product: y = v, gelu(v), or y + scale · v, where v = x wᵀ + bias.
struct finish {
    enum class kind : unsigned char { store, gelu, add };
    kind how = kind::store;
    float scale = 1.0f;
    float const* bias = nullptr; ///< (outputs), or null

    LLAMAVISION_KERNEL void operator()(float product, std::size_t output, float* y) const {
        float const v = bias ? product + bias[output] : product;
        *y = how == kind::gelu ? gelu_of(v) : how == kind::add ? *y + scale * v : v;
    }
};

/// Values that a lane reads at once.
inline constexpr std::size_t eight = 8;

/// The sizes of a product of few rows.
struct few_rows {
    float const* x = nullptr; ///< (rows, columns)
    std::size_t rows = 0, columns = 0, outputs = 0;
    finish then{};
    float* y = nullptr; ///< (rows, outputs)
};

/// Outputs that a warp makes at once of one row: more where a weight is small beside the activations that it meets.
template <class Values>
inline constexpr unsigned outputs_for = 2;
template <>
inline constexpr unsigned outputs_for<q4_values> = 4;

/// Any format, size and alignment: a warp makes one output of one row.
template <class Values>
struct narrow_product {
    static constexpr unsigned threads = 128;
    using shared = nothing;
    Values w;
    few_rows of;

    [[nodiscard]] grid blocks() const { return {divided_up(of.outputs, threads / warp), of.rows}; }

    template <class Block>
    LLAMAVISION_KERNEL void operator()(Block& block, shared&) const {
        std::size_t const row = block.y();
        auto const output = [&](unsigned t) {
            return static_cast<std::size_t>(block.x()) * (threads / warp) + t / warp;
        };
        block.warp_sum(
            [&](unsigned t) {
                float sum = 0;
                if (output(t) < of.outputs)
                    for (std::size_t i = t % warp; i < of.columns; i += warp)
                        sum += w[output(t) * of.columns + i] * of.x[row * of.columns + i];
                return sum;
            },
            [&](unsigned t, float sum) {
                if (t % warp == 0 && output(t) < of.outputs)
                    of.then(sum, output(t), of.y + row * of.outputs + output(t));
            });
    }
};

/// Columns a multiple of 8, all on 16 bytes: a lane reads eight values at a time, and a warp makes `Outputs` outputs,
/// so that each activation read serves several weights. Up to `Rows` rows.
template <class Values, unsigned Rows, unsigned Outputs>
struct wide_product {
    static constexpr unsigned threads = 128, in_block = threads / warp * Outputs;
    using shared = nothing;
    Values w;
    few_rows of;

    [[nodiscard]] grid blocks() const { return {divided_up(of.outputs, in_block)}; }

    template <class Block>
    LLAMAVISION_KERNEL void operator()(Block& block, shared&) const {
        struct sums {
            float of[Outputs][Rows];
        };
        typename Block::template own<sums> mine;
        auto const output = [&](unsigned t, unsigned o) {
            return static_cast<std::size_t>(block.x()) * in_block + static_cast<std::size_t>(t / warp) * Outputs + o;
        };
        block.alone([&](unsigned t) {
            sums s{};
            for (std::size_t i = eight * (t % warp); i < of.columns; i += eight * warp) {
                float a[Outputs][8];
                LLAMAVISION_CUDA_UNROLL
                for (unsigned o = 0; o < Outputs; ++o) // beyond the last output, the last one again: nobody stores it
                    load_eight(w, (output(t, o) < of.outputs ? output(t, o) : of.outputs - 1) * of.columns + i, a[o]);
                LLAMAVISION_CUDA_UNROLL
                for (unsigned r = 0; r < Rows; ++r)
                    if (r < of.rows) {
                        float b[8];
                        load_eight(f32_values{of.x}, r * of.columns + i, b);
                        LLAMAVISION_CUDA_UNROLL
                        for (unsigned o = 0; o < Outputs; ++o) {
                            LLAMAVISION_CUDA_UNROLL
                            for (unsigned k = 0; k < 8; ++k) s.of[o][r] += a[o][k] * b[k];
                        }
                    }
            }
            mine[t] = s;
        });
        LLAMAVISION_CUDA_UNROLL
        for (unsigned o = 0; o < Outputs; ++o) {
            LLAMAVISION_CUDA_UNROLL
            for (unsigned r = 0; r < Rows; ++r)
                if (r < of.rows)
                    block.warp_sum([&](unsigned t) { return mine[t].of[o][r]; },
                                   [&](unsigned t, float sum) {
                                       std::size_t const at = output(t, o);
                                       if (t % warp == 0 && at < of.outputs)
                                           of.then(sum, at, of.y + r * of.outputs + at);
                                   });
        }
    }
};

/// y = silu(x gateᵀ) · (x upᵀ), as `wide_product`: a warp makes both products of one output.
template <class Values, unsigned Rows>
struct wide_swiglu {
    static constexpr unsigned threads = 128;
    using shared = nothing;
    Values gate, up;
    few_rows of;

    [[nodiscard]] grid blocks() const { return {divided_up(of.outputs, threads / warp)}; }

    template <class Block>
    LLAMAVISION_KERNEL void operator()(Block& block, shared&) const {
        struct sums {
            float gate[Rows], up[Rows];
        };
        typename Block::template own<sums> mine;
        auto const output = [&](unsigned t) {
            return static_cast<std::size_t>(block.x()) * (threads / warp) + t / warp;
        };
        block.alone([&](unsigned t) {
            sums s{};
            std::size_t const at = (output(t) < of.outputs ? output(t) : of.outputs - 1) * of.columns;
            for (std::size_t i = eight * (t % warp); i < of.columns; i += eight * warp) {
                float g[8], u[8];
                load_eight(gate, at + i, g);
                load_eight(up, at + i, u);
                LLAMAVISION_CUDA_UNROLL
                for (unsigned r = 0; r < Rows; ++r)
                    if (r < of.rows) {
                        float b[8];
                        load_eight(f32_values{of.x}, r * of.columns + i, b);
                        LLAMAVISION_CUDA_UNROLL
                        for (unsigned k = 0; k < 8; ++k) {
                            s.gate[r] += g[k] * b[k];
                            s.up[r] += u[k] * b[k];
                        }
                    }
            }
            mine[t] = s;
        });
        LLAMAVISION_CUDA_UNROLL
        for (unsigned r = 0; r < Rows; ++r)
            if (r < of.rows) {
                block.warp_sum([&](unsigned t) { return mine[t].gate[r]; },
                               [&](unsigned t, float sum) { mine[t].gate[r] = sum; });
                block.warp_sum([&](unsigned t) { return mine[t].up[r]; },
                               [&](unsigned t, float sum) {
                                   if (t % warp == 0 && output(t) < of.outputs)
                                       of.y[r * of.outputs + output(t)] = silu_of(mine[t].gate[r]) * sum;
                               });
            }
    }
};

} // namespace llamavision::gpu
