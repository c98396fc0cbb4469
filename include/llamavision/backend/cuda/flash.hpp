// SPDX-License-Identifier: Apache-2.0
// Attention on tensor cores, for many query rows: scores and weighted values are products of 16 bits with float sums,
// of bfloat16 (mma.m16n8k16, compute capability 8.0 and later) or of f16 (two of mma.m16n8k8, 7.5). The softmax runs
// along with the keys, and its weights go from the first product's registers into the second's without touching memory
// (FlashAttention-2).
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include <llamavision/backend/cuda/attention.hpp>
#include <llamavision/backend/cuda/block.hpp>

namespace llamavision::gpu {

/// A block makes 128 queries of one key head, 16 a warp; the query heads that share the key head count as further rows.
/// Keys come 64 at a time. Registers are those of `mma`, for lane 4g + c (block.hpp).
template <class Key, unsigned Dim>
struct flash_attend {
    static_assert(Dim % 16 == 0);
    static constexpr unsigned threads = 256, queries = threads / warp * 16, keys = 64;
    static constexpr unsigned steps = Dim / 16, key_tiles = keys / 8, value_tiles = Dim / 8;
    static constexpr float log2_e = 1.44269504088896341f;
    /// Rows are 4 words longer than what they hold, so that the eight rows that a warp reads at once lie in different
    /// banks.
    struct shared {
        std::uint32_t key[keys][Dim / 2 + 4];   ///< two values of a key in a word
        std::uint32_t value[Dim][keys / 2 + 4]; ///< turned: the same value of two keys in a word
        float bias[keys];                       ///< times log2(e)
    };
    attention_task of;

    struct state {
        std::uint32_t q[steps][4];
        float score[key_tiles][4], sums[value_tiles][4];
        float largest[2], total[2], keep[2]; ///< of rows g and g + 8; scores are in units of log(2)
        std::uint32_t seen[2];               ///< keys of the block at hand that these rows see
    };

    template <class Block>
    LLAMAVISION_KERNEL void operator()(Block& block, shared& s) const {
        query_tile const tile(of, block.x(), block.y(), queries);
        typename Block::template own<state> mine;
        block.alone([&](unsigned t) {
            state& m = mine[t];
            LLAMAVISION_CUDA_UNROLL
            for (unsigned half = 0; half < 2; ++half) {
                std::uint32_t const query = tile.query_of(t, half);
                float const* const q = query < tile.all ? of.q + tile.place_of(query) * Dim : nullptr;
                LLAMAVISION_CUDA_UNROLL
                for (unsigned k = 0; k < steps; ++k) {
                    unsigned const column = 16 * k + t % 4 * 2;
                    m.q[k][half] = q ? pair_of<Key>(q[column], q[column + 1]) : 0;
                    m.q[k][2 + half] = q ? pair_of<Key>(q[column + 8], q[column + 9]) : 0;
                }
                m.largest[half] = -INFINITY;
                m.total[half] = 0;
            }
            LLAMAVISION_CUDA_UNROLL
            for (unsigned j = 0; j < value_tiles; ++j) {
                LLAMAVISION_CUDA_UNROLL
                for (unsigned k = 0; k < 4; ++k) m.sums[j][k] = 0;
            }
        });

        walk_keys(block, of, tile, queries, keys, mine, [&](key_rows const& rows, std::uint32_t at, std::uint32_t end) {
            fetch(block, s, rows, at, end, tile.kv_head);
            meet(block, mine, s, at);
        });
        store(block, mine, tile);
    }

  private:
    /// Keys `at` ... of a block, and their values, into shared memory; zeros from `end` on.
    template <class Block>
    LLAMAVISION_KERNEL void fetch(Block& block, shared& s, key_rows const& from, std::uint32_t at, std::uint32_t end,
                                  std::uint32_t kv_head) const {
        std::size_t const stride = static_cast<std::size_t>(of.kv_heads) * Dim;
        auto const row_of = [&](void const* all, unsigned key) {
            return static_cast<Key const*>(all) + (at + key) * stride + static_cast<std::size_t>(kv_head) * Dim;
        };
        block.sync(); // nobody reads the last ones any more
        block.each([&](unsigned t) {
            for (unsigned i = t; i < keys * (Dim / 8); i += threads) { // eight values of a key
                unsigned const key = i / (Dim / 8), v = i % (Dim / 8) * 8;
                eight_values words{};
                if (at + key < end) words = load<eight_values>(row_of(from.keys, key) + v);
                LLAMAVISION_CUDA_UNROLL
                for (unsigned w = 0; w < 4; ++w) s.key[key][v / 2 + w] = words.w[w];
            }
            for (unsigned i = t; i < keys / 2 * (Dim / 2); i += threads) { // two values of two keys
                unsigned const key = i / (Dim / 2) * 2, v = i % (Dim / 2) * 2;
                std::uint32_t const a = at + key < end ? load<std::uint32_t>(row_of(from.values, key) + v) : 0;
                std::uint32_t const b = at + key + 1 < end ? load<std::uint32_t>(row_of(from.values, key + 1) + v) : 0;
                s.value[v][key / 2] = (a & 0xffffu) | b << 16;
                s.value[v + 1][key / 2] = a >> 16 | (b & 0xffff0000u);
            }
            if (t < keys) s.bias[t] = from.bias && at + t < end ? from.bias[at + t] * log2_e : 0.0f;
        });
    }

    /// Scores of the keys in shared memory, the running softmax, and the weighted values.
    template <class Block, class Own>
    LLAMAVISION_KERNEL void meet(Block& block, Own& mine, shared& s, std::uint32_t at) const {
        block.alone([&](unsigned t) {
            LLAMAVISION_CUDA_UNROLL
            for (unsigned j = 0; j < key_tiles; ++j) {
                LLAMAVISION_CUDA_UNROLL
                for (unsigned k = 0; k < 4; ++k) mine[t].score[j][k] = 0;
            }
        });
        LLAMAVISION_CUDA_UNROLL
        for (unsigned k = 0; k < steps; ++k) {
            LLAMAVISION_CUDA_UNROLL
            for (unsigned j = 0; j < key_tiles; ++j)
                block.template mma<Key>(
                    [&](unsigned t) -> float(&)[4] { return mine[t].score[j]; },
                    [&](unsigned t) -> std::uint32_t(&)[4] { return mine[t].q[k]; },
                    [&](unsigned t, unsigned half) { return s.key[8 * j + t % warp / 4][8 * k + t % 4 + 4 * half]; });
        }
        float const scale = of.scale * log2_e;
        block.alone([&](unsigned t) {
            state& m = mine[t];
            LLAMAVISION_CUDA_UNROLL
            for (unsigned j = 0; j < key_tiles; ++j) {
                LLAMAVISION_CUDA_UNROLL
                for (unsigned k = 0; k < 4; ++k) {
                    unsigned const key = 8 * j + t % 4 * 2 + k % 2;
                    m.score[j][k] = at + key < m.seen[k / 2] ? m.score[j][k] * scale + s.bias[key] : -INFINITY;
                }
            }
        });
        LLAMAVISION_CUDA_UNROLL
        for (unsigned half = 0; half < 2; ++half)
            block.quad_max(
                [&](unsigned t) {
                    float most = mine[t].largest[half];
                    LLAMAVISION_CUDA_UNROLL
                    for (unsigned j = 0; j < key_tiles; ++j) {
                        LLAMAVISION_CUDA_UNROLL
                        for (unsigned k = 0; k < 2; ++k) most = fmaxf(most, mine[t].score[j][2 * half + k]);
                    }
                    return most;
                },
                [&](unsigned t, float most) {
                    state& m = mine[t];
                    m.keep[half] = m.largest[half] == -INFINITY ? 0.0f : exp2f(m.largest[half] - most);
                    m.largest[half] = most;
                });
        block.alone([&](unsigned t) {
            state& m = mine[t];
            LLAMAVISION_CUDA_UNROLL
            for (unsigned half = 0; half < 2; ++half) {
                float sum = 0, most = m.largest[half] == -INFINITY ? 0.0f : m.largest[half];
                LLAMAVISION_CUDA_UNROLL
                for (unsigned j = 0; j < key_tiles; ++j) {
                    LLAMAVISION_CUDA_UNROLL
                    for (unsigned k = 2 * half; k < 2 * half + 2; ++k) {
                        m.score[j][k] = exp2f(m.score[j][k] - most);
                        sum += m.score[j][k];
                    }
                }
                m.total[half] = m.total[half] * m.keep[half] + sum; // of this lane's columns; joined at the end
                LLAMAVISION_CUDA_UNROLL
                for (unsigned j = 0; j < value_tiles; ++j) {
                    m.sums[j][2 * half] *= m.keep[half];
                    m.sums[j][2 * half + 1] *= m.keep[half];
                }
            }
        });
        LLAMAVISION_CUDA_UNROLL
        for (unsigned k = 0; k < keys / 16; ++k) {
            typename Block::template own<pairs_of_weights> weights;
            block.alone([&](unsigned t) { // C's registers of 16 columns are A's of 16 keys
                LLAMAVISION_CUDA_UNROLL
                for (unsigned half = 0; half < 2; ++half) {
                    auto const& low = mine[t].score[2 * k];
                    auto const& high = mine[t].score[2 * k + 1];
                    weights[t].w[half] = pair_of<Key>(low[2 * half], low[2 * half + 1]);
                    weights[t].w[2 + half] = pair_of<Key>(high[2 * half], high[2 * half + 1]);
                }
            });
            LLAMAVISION_CUDA_UNROLL
            for (unsigned j = 0; j < value_tiles; ++j)
                block.template mma<Key>(
                    [&](unsigned t) -> float(&)[4] { return mine[t].sums[j]; },
                    [&](unsigned t) -> std::uint32_t(&)[4] { return weights[t].w; },
                    [&](unsigned t, unsigned half) { return s.value[8 * j + t % warp / 4][8 * k + t % 4 + 4 * half]; });
        }
    }

    template <class Block, class Own>
    LLAMAVISION_KERNEL void store(Block& block, Own& mine, query_tile const& tile) const {
        LLAMAVISION_CUDA_UNROLL
        for (unsigned half = 0; half < 2; ++half)
            block.quad_sum([&](unsigned t) { return mine[t].total[half]; },
                           [&](unsigned t, float total) { mine[t].total[half] = total; });
        block.alone([&](unsigned t) {
            state const& m = mine[t];
            LLAMAVISION_CUDA_UNROLL
            for (unsigned half = 0; half < 2; ++half) {
                std::uint32_t const query = tile.query_of(t, half);
                if (query >= tile.all) continue;
                bool const whole = of.parts == 1;
                std::size_t const result =
                    of.result(block.z(), tile.group.slot + query / tile.each, tile.head_of(query));
                float* const to = whole ? of.y + tile.place_of(query) * Dim : of.sums(result);
                float const scale = !whole ? 1.0f : m.total[half] == 0 ? 0.0f : 1.0f / m.total[half];
                LLAMAVISION_CUDA_UNROLL
                for (unsigned j = 0; j < value_tiles; ++j) {
                    LLAMAVISION_CUDA_UNROLL
                    for (unsigned k = 0; k < 2; ++k) to[8 * j + t % 4 * 2 + k] = m.sums[j][2 * half + k] * scale;
                }
                if (!whole && t % 4 == 0) {
                    of.weights(result)[0] = m.largest[half] / log2_e;
                    of.weights(result)[1] = m.total[half];
                }
            }
        });
    }

    struct alignas(16) eight_values {
        std::uint32_t w[4];
    };
    struct pairs_of_weights {
        std::uint32_t w[4];
    };
};

} // namespace llamavision::gpu
