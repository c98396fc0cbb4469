// SPDX-License-Identifier: Apache-2.0
// Products of few rows with a weight, as in decoding: the weight is read once, and activations stay in float. A warp
// computes some outputs for all rows. The norm before the product is applied while rows are read, the epilogue while
// sums are in registers. Many rows are left to cuBLASLt.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include <llamavision/backend/cuda/kernels/block.hpp>
#include <llamavision/backend/cuda/kernels/elementwise.hpp>
#include <llamavision/backend/cuda/kernels/values.hpp>
#include <llamavision/support/ceil_div.hpp>

namespace llamavision::gpu {

/// The epilogue of a product. With v = x wᵀ + bias: y = v, y = gelu(v), or y += scale · v.
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

/// The rows of a product of few rows: x, or its rms_norm, which is applied while x is read. The sums are those of
/// (x · weight) · w; a row's factor 1 / sqrt(mean(x²) + eps) is multiplied at the end.
struct few_rows {
    float const* x = nullptr; ///< (rows, columns)
    std::size_t rows = 0, columns = 0;
    float const* norm = nullptr; ///< (columns), or null
    float eps = 0;

    [[nodiscard]] LLAMAVISION_KERNEL float scale_of(float squares) const {
        return norm ? 1.0f / sqrtf(squares / static_cast<float>(columns) + eps) : 1.0f;
    }
};

/// One of the products that a launch makes of the same rows.
template <class Values>
struct few_outputs {
    Values w;
    std::size_t outputs = 0;
    finish then{};
    float* y = nullptr;      ///< (rows, outputs)
    std::uint32_t half = 0;  ///< half of head_dim, if rope follows: outputs are computed in pairs, `half` apart; else 0
    std::uint32_t first = 0; ///< index of its first block of threads
};

/// The angles of rope; see `rotate_pairs`.
struct angles {
    float const *cos = nullptr, *sin = nullptr; ///< (rows, half)
};

/// Outputs that a warp computes at once for one row: more if a weight takes few bytes, beside the activations that are
/// read with it.
template <class Values>
inline constexpr unsigned outputs_for = 2;
template <>
inline constexpr unsigned outputs_for<q4_values> = 4;

/// For any format, size and alignment: a warp computes one output of one row.
template <class Values>
struct narrow_product {
    static constexpr unsigned threads = 128;
    using shared = nothing;
    few_rows in;
    few_outputs<Values> out;

    [[nodiscard]] grid blocks() const { return {ceil_div(out.outputs, threads / warp), in.rows}; }

    template <class Block>
    LLAMAVISION_KERNEL void operator()(Block& block, shared&) const {
        std::size_t const row = block.y();
        auto const output = [&](unsigned t) {
            return static_cast<std::size_t>(block.x()) * (threads / warp) + t / warp;
        };
        typename Block::template own<float> scale;
        block.warp_sum(
            [&](unsigned t) {
                float squares = 0;
                if (in.norm)
                    for (std::size_t i = t % warp; i < in.columns; i += warp)
                        squares += in.x[row * in.columns + i] * in.x[row * in.columns + i];
                return squares;
            },
            [&](unsigned t, float squares) { scale[t] = in.scale_of(squares); });
        block.warp_sum(
            [&](unsigned t) {
                float sum = 0;
                if (output(t) < out.outputs)
                    for (std::size_t i = t % warp; i < in.columns; i += warp) {
                        float const x = in.x[row * in.columns + i];
                        sum += out.w[output(t) * in.columns + i] * (in.norm ? x * in.norm[i] : x);
                    }
                return sum;
            },
            [&](unsigned t, float sum) {
                if (t % warp == 0 && output(t) < out.outputs)
                    out.then(sum * scale[t], output(t), out.y + row * out.outputs + output(t));
            });
    }
};

namespace detail {
/// Calls use(column, values) for a lane's columns of some rows of weights, eight at a time. The next eight are loaded
/// while these are used: with only one load in flight for each thread, memory would not be busy.
/// @param at where the rows begin @pre columns > 0
template <unsigned Rows, class Values, class Use>
LLAMAVISION_KERNEL void in_eights_of(Values const (&of)[Rows], std::size_t const (&at)[Rows], std::size_t columns,
                                     unsigned t, Use const& use) {
    std::size_t i = eight * (t % warp);
    decltype(eight_at(of[0], i)) next[Rows];
    LLAMAVISION_CUDA_UNROLL
    for (unsigned r = 0; r < Rows; ++r) next[r] = eight_at(of[r], at[r] + (i < columns ? i : 0));
    for (; i < columns; i += eight * warp) {
        float values[Rows][8];
        LLAMAVISION_CUDA_UNROLL
        for (unsigned r = 0; r < Rows; ++r) widen_eight(next[r], values[r]);
        std::size_t const further = i + eight * warp;
        if (further < columns) {
            LLAMAVISION_CUDA_UNROLL
            for (unsigned r = 0; r < Rows; ++r) next[r] = eight_at(of[r], at[r] + further);
        }
        use(i, values);
    }
}

/// Calls use(row, values) for eight columns of every row, multiplied by the norm's weight, and adds up their squares.
template <unsigned Rows, class Use>
LLAMAVISION_KERNEL void read_eight(few_rows const& in, std::size_t i, float (&squares)[Rows], Use const& use) {
    float norm[8] = {};
    if (in.norm) load_eight(in.norm + i, norm);
    LLAMAVISION_CUDA_UNROLL
    for (unsigned r = 0; r < Rows; ++r)
        if (r < in.rows) {
            float b[8];
            load_eight(in.x + r * in.columns + i, b);
            if (in.norm) {
                LLAMAVISION_CUDA_UNROLL
                for (unsigned k = 0; k < 8; ++k) {
                    squares[r] += b[k] * b[k];
                    b[k] *= norm[k];
                }
            }
            use(r, b);
        }
}
} // namespace detail

/// For columns in multiples of 8, and data aligned to 16 bytes: a lane reads eight values at a time. A warp computes
/// `Outputs` outputs, so that an activation is read once for several weights. Up to `Rows` rows, and up to three
/// products of them.
template <class Values, unsigned Rows, unsigned Outputs>
struct wide_product {
    static constexpr unsigned threads = 128, in_block = threads / warp * Outputs, most = 3;
    static_assert(Outputs % 2 == 0, "outputs that are rotated come in pairs");
    using shared = nothing;
    few_rows in;
    few_outputs<Values> out[most];
    unsigned products = 0;
    angles by{};

    void add(few_outputs<Values> of) {
        of.first = static_cast<std::uint32_t>(blocks().x);
        out[products++] = of;
    }
    [[nodiscard]] grid blocks() const {
        if (products == 0) return {0};
        return {out[products - 1].first + ceil_div(out[products - 1].outputs, in_block)};
    }

    template <class Block>
    LLAMAVISION_KERNEL void operator()(Block& block, shared&) const {
        unsigned product = 0;
        while (product + 1 < products && out[product + 1].first <= block.x()) ++product;
        few_outputs<Values> const& of = out[product];
        struct state {
            float sum[Outputs][Rows], squares[Rows];
        };
        typename Block::template own<state> mine;
        // With rope, outputs k and k + half follow each other.
        auto const output = [&](unsigned t, unsigned o) {
            std::uint32_t const n = (block.x() - of.first) * in_block + t / warp * Outputs + o;
            if (of.half == 0) return n;
            std::uint32_t const pair = n / 2;
            return pair / of.half * 2 * of.half + pair % of.half + n % 2 * of.half;
        };
        block.alone([&](unsigned t) {
            state s{};
            std::size_t at[Outputs]; // after the last output, the last one again: it is not stored
            LLAMAVISION_CUDA_UNROLL
            for (unsigned o = 0; o < Outputs; ++o)
                at[o] = (output(t, o) < of.outputs ? output(t, o) : of.outputs - 1) * in.columns;
            Values from[Outputs];
            LLAMAVISION_CUDA_UNROLL
            for (unsigned o = 0; o < Outputs; ++o) from[o] = of.w;
            detail::in_eights_of<Outputs>(from, at, in.columns, t, [&](std::size_t i, float const(&a)[Outputs][8]) {
                detail::read_eight(in, i, s.squares, [&](unsigned r, float const(&b)[8]) {
                    LLAMAVISION_CUDA_UNROLL
                    for (unsigned o = 0; o < Outputs; ++o) {
                        LLAMAVISION_CUDA_UNROLL
                        for (unsigned k = 0; k < 8; ++k) s.sum[o][r] += a[o][k] * b[k];
                    }
                });
            });
            mine[t] = s;
        });
        LLAMAVISION_CUDA_UNROLL
        for (unsigned r = 0; r < Rows; ++r)
            if (r < in.rows) {
                if (in.norm)
                    block.warp_sum([&](unsigned t) { return mine[t].squares[r]; },
                                   [&](unsigned t, float squares) { mine[t].squares[r] = squares; });
                LLAMAVISION_CUDA_UNROLL
                for (unsigned o = 0; o < Outputs; ++o)
                    block.warp_sum(
                        [&](unsigned t) { return mine[t].sum[o][r]; },
                        [&](unsigned t, float sum) { mine[t].sum[o][r] = sum * in.scale_of(mine[t].squares[r]); });
                block.alone([&](unsigned t) {
                    if (t % warp > 0) return;
                    LLAMAVISION_CUDA_UNROLL
                    for (unsigned o = 0; o < Outputs; o += 2) {
                        float const a = mine[t].sum[o][r], b = mine[t].sum[o + 1][r];
                        std::uint32_t const at = output(t, o), next = output(t, o + 1);
                        float* const y = of.y + r * of.outputs;
                        if (of.half > 0) {
                            std::size_t const angle = r * of.half + at % of.half;
                            if (next >= of.outputs) continue;
                            y[at] = a * by.cos[angle] - b * by.sin[angle];
                            y[next] = b * by.cos[angle] + a * by.sin[angle];
                        } else {
                            if (at < of.outputs) of.then(a, at, y + at);
                            if (next < of.outputs) of.then(b, next, y + next);
                        }
                    }
                });
            }
    }
};

/// y = silu(x gateᵀ) · (x upᵀ), in the way of `wide_product`: a warp computes both products of an output.
template <class Values, unsigned Rows>
struct wide_swiglu {
    static constexpr unsigned threads = 128;
    using shared = nothing;
    few_rows in;
    Values gate, up;
    std::size_t outputs;
    float* y; ///< (rows, outputs)

    [[nodiscard]] grid blocks() const { return {ceil_div(outputs, threads / warp)}; }

    template <class Block>
    LLAMAVISION_KERNEL void operator()(Block& block, shared&) const {
        struct sums {
            float gate[Rows], up[Rows], squares[Rows];
        };
        typename Block::template own<sums> mine;
        auto const output = [&](unsigned t) {
            return static_cast<std::size_t>(block.x()) * (threads / warp) + t / warp;
        };
        block.alone([&](unsigned t) {
            sums s{};
            std::size_t const at = (output(t) < outputs ? output(t) : outputs - 1) * in.columns;
            Values const of[2] = {gate, up};
            std::size_t const from[2] = {at, at};
            detail::in_eights_of<2>(of, from, in.columns, t, [&](std::size_t i, float const(&a)[2][8]) {
                detail::read_eight(in, i, s.squares, [&](unsigned r, float const(&b)[8]) {
                    LLAMAVISION_CUDA_UNROLL
                    for (unsigned k = 0; k < 8; ++k) {
                        s.gate[r] += a[0][k] * b[k];
                        s.up[r] += a[1][k] * b[k];
                    }
                });
            });
            mine[t] = s;
        });
        LLAMAVISION_CUDA_UNROLL
        for (unsigned r = 0; r < Rows; ++r)
            if (r < in.rows) {
                if (in.norm)
                    block.warp_sum([&](unsigned t) { return mine[t].squares[r]; },
                                   [&](unsigned t, float squares) { mine[t].squares[r] = squares; });
                block.warp_sum([&](unsigned t) { return mine[t].gate[r]; },
                               [&](unsigned t, float sum) { mine[t].gate[r] = sum; });
                block.warp_sum([&](unsigned t) { return mine[t].up[r]; },
                               [&](unsigned t, float sum) {
                                   if (t % warp > 0 || output(t) >= outputs) return;
                                   float const scale = in.scale_of(mine[t].squares[r]);
                                   y[r * outputs + output(t)] = silu_of(mine[t].gate[r] * scale) * (sum * scale);
                               });
            }
    }
};

} // namespace llamavision::gpu
