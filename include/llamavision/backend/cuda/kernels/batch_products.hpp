// SPDX-License-Identifier: Apache-2.0
// Products of a batch of rows, or of a short prompt, with weights in q8 or q4, on tensor cores. The weight is read
// once, as it lies in memory, and its integers become 16-bit floats in registers, which is exact. A block's scale is
// multiplied with the sum of its 32 products, in float. So only the rows of x are rounded.
//
// Outputs are computed in pairs, which end in the same lane: what needs two outputs (rope, silu of a gate) is done
// there.
#pragma once

#include <cstddef>
#include <cstdint>

#include <llamavision/backend/cuda/kernels/block.hpp>
#include <llamavision/backend/cuda/kernels/elementwise.hpp>
#include <llamavision/backend/cuda/kernels/products.hpp>
#include <llamavision/backend/cuda/kernels/values.hpp>

namespace llamavision::gpu {

/// The outputs of one product, in pairs: neighbours; or k and k + half of a head that gets rope; or the gate's output
/// and the other product's, which become one.
struct output_pairs {
    std::uint32_t outputs = 0;
    finish then{};
    float* y = nullptr;      ///< (rows, outputs)
    std::uint32_t half = 0;  ///< half of head_dim, if rope follows; else 0
    bool gated = false;      ///< y = silu(first) · second
    std::uint32_t first = 0; ///< index of its first pair among those of the launch

    [[nodiscard]] constexpr std::uint32_t pairs() const { return gated ? outputs : (outputs + 1) / 2; }
    /// The outputs of a pair.
    [[nodiscard]] LLAMAVISION_KERNEL std::uint32_t output(std::uint32_t pair, unsigned second) const {
        if (gated) return pair;
        return half == 0 ? 2 * pair + second : pair / half * 2 * half + pair % half + second * half;
    }
    LLAMAVISION_KERNEL void store(float a, float b, std::size_t row, std::uint32_t pair, angles const& by) const {
        std::uint32_t const at = output(pair, 0), next = output(pair, 1);
        float* const to = y + row * outputs;
        if (gated) {
            to[at] = silu_of(a) * b;
        } else if (half > 0) {
            std::size_t const angle = row * half + at % half;
            to[at] = a * by.cos[angle] - b * by.sin[angle];
            to[next] = b * by.cos[angle] + a * by.sin[angle];
        } else {
            then(a, at, to + at);
            if (next < outputs) then(b, next, to + next);
        }
    }
};

/// The products of a launch, up to three; their sums may be split into parts.
struct batch_task {
    static constexpr unsigned most = 3, in_block = 64; ///< pairs of one block of threads
    std::size_t rows = 0, columns = 0;
    angles by{};
    std::uint32_t parts = 1;
    float* partial = nullptr; ///< (parts, rows, pairs, 2), if there are several
    unsigned products = 0;
    output_pairs of[most]{};

    void add(output_pairs product) {
        product.first = static_cast<std::uint32_t>(pairs());
        of[products++] = product;
    }
    /// The pairs of all products; each product begins with a new block of threads.
    [[nodiscard]] constexpr std::size_t pairs() const {
        if (products == 0) return 0;
        output_pairs const& last = of[products - 1];
        return last.first + (last.pairs() + in_block - 1) / in_block * in_block;
    }
    [[nodiscard]] LLAMAVISION_KERNEL unsigned product_of(std::uint32_t pair) const {
        unsigned product = 0;
        while (product + 1 < products && of[product + 1].first <= pair) ++product;
        return product;
    }
    [[nodiscard]] LLAMAVISION_KERNEL float* part(std::size_t number, std::size_t row, std::size_t pair) const {
        return partial + ((number * rows + row) * pairs() + pair) * 2;
    }
};

/// Up to 8 · `Tiles` rows in T. A warp computes eight pairs for all rows: A of `mma` is the weight, with the first
/// outputs of the pairs before the second ones; B is eight rows of x. Lane 4g + c takes the columns 8c … 8c + 7 of a
/// block of 32, four for each of two `mma`. x and the weight agree in this order of columns, and a sum may have any.
///
/// Shared memory holds 64 bytes of integers of each output at a time, and the values of x for them, while the next ones
/// are loaded to registers. Rows in shared memory are longer than their content, so that what a warp reads at once lies
/// in different banks.
template <class Values, class T, unsigned Tiles>
struct batch_product {
    static constexpr unsigned threads = batch_task::in_block / 8 * warp;
    static constexpr unsigned outputs = 2 * batch_task::in_block;
    static constexpr unsigned words = std::is_same_v<Values, q4_values> ? 1 : 2; ///< words of eight integers
    static constexpr unsigned blocks_at_once = 4 / words, columns_at_once = 32 * blocks_at_once;
    static constexpr unsigned quarters = outputs * 4 / threads, in_quarter = columns_at_once / 4;
    static constexpr unsigned in_row = columns_at_once / 8, eights = 8 * Tiles * in_row;
    static constexpr unsigned eights_each = (eights + threads - 1) / threads;
    struct alignas(16) shared {
        std::uint32_t integers[outputs][16 + 4 * words];
        std::uint32_t x[8 * Tiles][columns_at_once / 2 + 16];
        float scale[blocks_at_once][outputs];
    };
    batch_task to;
    T const* x; ///< (rows, columns)
    Values w[batch_task::most], second[batch_task::most];

    [[nodiscard]] grid blocks() const { return {to.pairs() / batch_task::in_block, to.parts}; }

    struct state {
        Values from;              ///< what the thread reads of the weight:
        std::size_t at[quarters]; ///< from there on, for the columns from 0 on
        bool is_output[quarters];
        four_words integers[quarters], x[eights_each]; ///< the next ones
        float scale[quarters];
        std::uint32_t a[2][4];
        four_words columns;
        float of_pair[2], sum[4], sums[Tiles][4];
    };

    template <class Block>
    LLAMAVISION_KERNEL void operator()(Block& block, shared& s) const {
        std::uint32_t const first = block.x() * batch_task::in_block;
        unsigned const product = to.product_of(first);
        std::size_t const steps = (to.columns + columns_at_once - 1) / columns_at_once;
        std::size_t const begin = steps * block.y() / to.parts, end = steps * (block.y() + 1) / to.parts;
        typename Block::template own<state> mine;
        block.alone([&](unsigned t) {
            look(mine[t], t, product, first);
            LLAMAVISION_CUDA_UNROLL
            for (unsigned j = 0; j < Tiles; ++j) {
                LLAMAVISION_CUDA_UNROLL
                for (unsigned k = 0; k < 4; ++k) mine[t].sums[j][k] = 0;
            }
            ask(mine[t], t, begin * columns_at_once);
        });
        for (std::size_t step = begin; step < end; ++step) {
            block.sync(); // all threads have read the previous ones
            block.each([&](unsigned t) { put(mine[t], t, s); });
            if (step + 1 < end) block.alone([&](unsigned t) { ask(mine[t], t, (step + 1) * columns_at_once); });
            multiply(block, mine, s);
        }
        store(block, mine, product, first);
    }

  private:
    /// A thread loads 16 bytes of some outputs, which are all first outputs of pairs, or all second ones. Among the
    /// sixteen outputs of a warp the first ones come before the second ones.
    static LLAMAVISION_KERNEL unsigned output_of(unsigned t, unsigned k) { return (t + k * threads) / 4; }
    static_assert(threads / 4 % 16 == 0, "output_of(t, k) / 8 % 2 is the same for all k");
    /// The first column that the thread loads.
    static LLAMAVISION_KERNEL std::uint32_t column_of(unsigned t) { return t % 4 * in_quarter; }

    LLAMAVISION_KERNEL void look(state& m, unsigned t, unsigned product, std::uint32_t first) const {
        output_pairs const& of = to.of[product];
        unsigned const is_second = output_of(t, 0) / 8 % 2;
        m.from = is_second ? second[product] : w[product];
        LLAMAVISION_CUDA_UNROLL
        for (unsigned k = 0; k < quarters; ++k) {
            unsigned const i = output_of(t, k);
            std::uint32_t const output = of.output(first - of.first + i / 16 * 8 + i % 8, is_second);
            m.is_output[k] = output < of.outputs;
            m.at[k] = output * to.columns + column_of(t);
        }
    }
    /// Loads the columns from `begin` on, of the block's outputs and of all rows, to registers; zeros after the last.
    LLAMAVISION_KERNEL void ask(state& m, unsigned t, std::size_t begin) const {
        LLAMAVISION_CUDA_UNROLL
        for (unsigned k = 0; k < quarters; ++k) {
            m.integers[k] = {};
            m.scale[k] = 0;
            if (m.is_output[k] && begin + column_of(t) < to.columns) {
                m.integers[k] = sixteen_bytes(m.from, m.at[k] + begin);
                m.scale[k] = widen(m.from.scales[(m.at[k] + begin) / 32]);
            }
        }
        LLAMAVISION_CUDA_UNROLL
        for (unsigned k = 0; k < eights_each; ++k) {
            std::size_t const i = t + k * threads, row = i / in_row, column = begin + i % in_row * 8;
            m.x[k] = {};
            if (row < to.rows && column < to.columns) m.x[k] = load<four_words>(x + row * to.columns + column);
        }
    }
    LLAMAVISION_KERNEL void put(state const& m, unsigned t, shared& s) const {
        LLAMAVISION_CUDA_UNROLL
        for (unsigned k = 0; k < quarters; ++k) {
            save(&s.integers[output_of(t, k)][t % 4 * 4], m.integers[k]);
            if (column_of(t) % 32 == 0) s.scale[column_of(t) / 32][output_of(t, k)] = m.scale[k];
        }
        LLAMAVISION_CUDA_UNROLL
        for (unsigned k = 0; k < eights_each; ++k) {
            std::size_t const i = t + k * threads;
            if (i < eights) save(&s.x[i / in_row][i % in_row * 4], m.x[k]);
        }
    }

    template <class Block, class Own>
    LLAMAVISION_KERNEL void multiply(Block& block, Own& mine, shared const& s) const {
        LLAMAVISION_CUDA_UNROLL
        for (unsigned b = 0; b < blocks_at_once; ++b) {
            block.alone([&](unsigned t) {
                LLAMAVISION_CUDA_UNROLL
                for (unsigned second_one = 0; second_one < 2; ++second_one) {
                    unsigned const i = t / warp * 16 + second_one * 8 + t % warp / 4;
                    std::uint32_t pairs[4];
                    integer_pairs<T>(Values{}, eight_integers(&s.integers[i][(4 * b + t % 4) * words]), pairs);
                    LLAMAVISION_CUDA_UNROLL
                    for (unsigned k = 0; k < 4; ++k) mine[t].a[k / 2][k % 2 * 2 + second_one] = pairs[k];
                    mine[t].of_pair[second_one] = s.scale[b][i];
                }
            });
            LLAMAVISION_CUDA_UNROLL
            for (unsigned j = 0; j < Tiles; ++j) {
                if (j * std::size_t{8} >= to.rows) continue;
                block.alone([&](unsigned t) {
                    mine[t].columns = load<four_words>(&s.x[8 * j + t % warp / 4][(4 * b + t % 4) * 4]);
                    LLAMAVISION_CUDA_UNROLL
                    for (unsigned k = 0; k < 4; ++k) mine[t].sum[k] = 0;
                });
                LLAMAVISION_CUDA_UNROLL
                for (unsigned k = 0; k < 2; ++k)
                    block.template mma<T>([&](unsigned t) -> float(&)[4] { return mine[t].sum; },
                                          [&](unsigned t) -> std::uint32_t(&)[4] { return mine[t].a[k]; },
                                          [&](unsigned t, unsigned half) { return mine[t].columns.w[2 * k + half]; });
                block.alone([&](unsigned t) {
                    LLAMAVISION_CUDA_UNROLL
                    for (unsigned k = 0; k < 4; ++k) mine[t].sums[j][k] += mine[t].sum[k] * mine[t].of_pair[k / 2];
                });
            }
        }
    }

    template <class Block, class Own>
    LLAMAVISION_KERNEL void store(Block& block, Own const& mine, unsigned product, std::uint32_t first) const {
        output_pairs const& of = to.of[product];
        block.alone([&](unsigned t) {
            std::uint32_t const pair = first + t / warp * 8 + t % warp / 4;
            if (pair - of.first >= of.pairs()) return;
            LLAMAVISION_CUDA_UNROLL
            for (unsigned j = 0; j < Tiles; ++j) {
                LLAMAVISION_CUDA_UNROLL
                for (unsigned k = 0; k < 2; ++k) {
                    std::size_t const row = 8 * j + t % 4 * 2 + k;
                    float const a = mine[t].sums[j][k], b = mine[t].sums[j][2 + k];
                    if (row >= to.rows) continue;
                    if (to.parts == 1) {
                        of.store(a, b, row, pair - of.first, to.by);
                    } else {
                        to.part(block.y(), row, pair)[0] = a;
                        to.part(block.y(), row, pair)[1] = b;
                    }
                }
            }
        });
    }

    static LLAMAVISION_KERNEL four_words sixteen_bytes(q8_values const& of, std::size_t i) {
        return load<four_words>(of.integers + i);
    }
    static LLAMAVISION_KERNEL four_words sixteen_bytes(q4_values const& of, std::size_t i) {
        return load<four_words>(of.pairs + i / 2);
    }
    static LLAMAVISION_KERNEL auto eight_integers(std::uint32_t const* at) {
        if constexpr (words == 1)
            return *at;
        else
            return load<two_words>(at);
    }
};

/// Adds the parts of every pair in their order.
struct join_batch : for_each_value<join_batch> {
    batch_task of;
    LLAMAVISION_KERNEL void at(std::size_t i) const {
        std::size_t const pairs = of.pairs(), row = i / pairs;
        auto const pair = static_cast<std::uint32_t>(i % pairs);
        output_pairs const& to = of.of[of.product_of(pair)];
        if (pair - to.first >= to.pairs()) return;
        float a = 0, b = 0;
        for (std::uint32_t p = 0; p < of.parts; ++p) {
            a += of.part(p, row, pair)[0];
            b += of.part(p, row, pair)[1];
        }
        to.store(a, b, row, pair - to.first, of.by);
    }
};

} // namespace llamavision::gpu
