// SPDX-License-Identifier: Apache-2.0
// Attention in float for many query rows: for models whose keys may not be rounded, and for GPUs without tensor cores.
// Keys are copied to shared memory once for each tile of queries.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include <llamavision/backend/cuda/kernels/attention.hpp>
#include <llamavision/backend/cuda/kernels/block.hpp>
#include <llamavision/backend/cuda/kernels/values.hpp>

namespace llamavision::gpu {

/// A block of threads computes 64 queries of one key head, of up to 4 · `Each` values, with 32 keys at a time. Four
/// lanes compute two queries, g and g + 8 of a warp's sixteen, and divide their values: lane 4g + c has the values 4c …
/// 4c + 3 of each sixteen. It uses each key that it reads for both queries. Lanes with the same c read the same words.
template <class Key, unsigned Each>
struct attend_tiles {
    static_assert(Each % 4 == 0);
    static constexpr unsigned threads = 128, queries = threads / warp * 16, keys = 32, at_once = 8;
    static constexpr unsigned width = 4 * Each, fours = Each / 4;
    struct alignas(16) shared {
        float key[keys][width], value[keys][width], bias[keys];
    };
    attention_task of;

    struct state {
        float q[2][Each], sums[2][Each];
        float score[2][at_once];
        float largest[2], total[2];
        std::uint32_t seen[2]; ///< how many keys of the current block these rows see
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
                LLAMAVISION_CUDA_UNROLL
                for (unsigned e = 0; e < Each; ++e) {
                    bool const is = query < tile.all && value_of(t, e) < of.head_dim;
                    m.q[half][e] = is ? of.q[tile.place_of(query) * of.head_dim + value_of(t, e)] * of.scale : 0.0f;
                    m.sums[half][e] = 0;
                }
                m.largest[half] = -INFINITY;
                m.total[half] = 0;
            }
        });

        key_walk walk(of, tile, queries, block.z(), keys);
        for (key_piece now = walk.next(); now.is(); now = walk.next()) {
            if (now.is_first) block.alone([&](unsigned t) { now.look(of, tile, queries, t, mine[t].seen); });
            fetch(block, s, of.block[now.block], now.at, now.end, tile.kv_head);
            for (unsigned first = 0; first < keys && now.at + first < now.end; first += at_once)
                meet(block, mine, s, now.at, first);
        }
        block.alone([&](unsigned t) {
            LLAMAVISION_CUDA_UNROLL
            for (unsigned half = 0; half < 2; ++half)
                if (tile.query_of(t, half) < tile.all) store(mine[t], t, half, tile, tile.query_of(t, half), block.z());
        });
    }

  private:
    /// Which value of the head is a thread's e-th.
    static LLAMAVISION_KERNEL unsigned value_of(unsigned t, unsigned e) { return e / 4 * 16 + t % 4 * 4 + e % 4; }

    /// Copies the keys from `at` on of a block, and their values, to shared memory; zeros from `end` on.
    template <class Block>
    LLAMAVISION_KERNEL void fetch(Block& block, shared& s, key_rows const& from, std::uint32_t at, std::uint32_t end,
                                  std::uint32_t kv_head) const {
        block.sync(); // all threads have read the previous ones
        block.each([&](unsigned t) {
            for (unsigned i = t; i < keys * width; i += threads) {
                unsigned const key = i / width, v = i % width;
                std::size_t const there =
                    (static_cast<std::size_t>(at + key) * of.kv_heads + kv_head) * of.head_dim + v;
                bool const is = at + key < end && v < of.head_dim;
                s.key[key][v] = is ? widen(static_cast<Key const*>(from.keys)[there]) : 0.0f;
                s.value[key][v] = is ? widen(static_cast<Key const*>(from.values)[there]) : 0.0f;
            }
            if (t < keys) s.bias[t] = from.bias && at + t < end ? from.bias[at + t] : 0.0f;
        });
    }

    /// Online softmax over some of the keys in shared memory, from `first` on; `at` is the first key there.
    template <class Block, class Own>
    LLAMAVISION_KERNEL void meet(Block& block, Own& mine, shared& s, std::uint32_t at, unsigned first) const {
        block.alone([&](unsigned t) {
            LLAMAVISION_CUDA_UNROLL
            for (unsigned k = 0; k < at_once; ++k) {
                float sum[2] = {0, 0};
                four_values(s.key[first + k], t, [&](unsigned e, float value) {
                    sum[0] += mine[t].q[0][e] * value;
                    sum[1] += mine[t].q[1][e] * value;
                });
                mine[t].score[0][k] = sum[0];
                mine[t].score[1][k] = sum[1];
            }
        });
        LLAMAVISION_CUDA_UNROLL
        for (unsigned k = 0; k < at_once; ++k) {
            LLAMAVISION_CUDA_UNROLL
            for (unsigned half = 0; half < 2; ++half)
                block.quad_sum([&](unsigned t) { return mine[t].score[half][k]; },
                               [&](unsigned t, float sum) { mine[t].score[half][k] = sum; });
        }
        block.alone([&](unsigned t) {
            state& m = mine[t];
            LLAMAVISION_CUDA_UNROLL
            for (unsigned half = 0; half < 2; ++half) {
                float most = m.largest[half];
                LLAMAVISION_CUDA_UNROLL
                for (unsigned k = 0; k < at_once; ++k) {
                    bool const is_seen = at + first + k < m.seen[half];
                    m.score[half][k] = is_seen ? m.score[half][k] + s.bias[first + k] : -INFINITY;
                    most = fmaxf(most, m.score[half][k]);
                }
                float const keep = weight_of(m.largest[half], most);
                m.largest[half] = most;
                m.total[half] *= keep;
                LLAMAVISION_CUDA_UNROLL
                for (unsigned k = 0; k < at_once; ++k)
                    m.total[half] += m.score[half][k] = weight_of(m.score[half][k], most);
                LLAMAVISION_CUDA_UNROLL
                for (unsigned e = 0; e < Each; ++e) m.sums[half][e] *= keep;
            }
            LLAMAVISION_CUDA_UNROLL
            for (unsigned k = 0; k < at_once; ++k)
                four_values(s.value[first + k], t, [&](unsigned e, float value) {
                    m.sums[0][e] += m.score[0][k] * value;
                    m.sums[1][e] += m.score[1][k] * value;
                });
        });
    }
    /// Calls use(e, value) for a thread's values of a row, which are loaded four words at a time.
    template <class Use>
    static LLAMAVISION_KERNEL void four_values(float const (&row)[width], unsigned t, Use const& use) {
        LLAMAVISION_CUDA_UNROLL
        for (unsigned f = 0; f < fours; ++f) {
            four_words const words = load<four_words>(row + value_of(t, 4 * f));
            LLAMAVISION_CUDA_UNROLL
            for (unsigned i = 0; i < 4; ++i) use(4 * f + i, std::bit_cast<float>(words.w[i]));
        }
    }

    LLAMAVISION_KERNEL void store(state const& m, unsigned t, unsigned half, query_tile const& tile,
                                  std::uint32_t query, std::uint32_t part) const {
        bool const whole = of.parts == 1;
        std::size_t const result = of.result(part, tile.group.slot + query / tile.each, tile.head_of(query));
        float* const to = whole ? of.y + tile.place_of(query) * of.head_dim : of.sums(result);
        float const scale = !whole ? 1.0f : m.total[half] == 0 ? 0.0f : 1.0f / m.total[half];
        LLAMAVISION_CUDA_UNROLL
        for (unsigned e = 0; e < Each; ++e)
            if (value_of(t, e) < of.head_dim) to[value_of(t, e)] = m.sums[half][e] * scale;
        if (!whole && t % 4 == 0) {
            of.weights(result)[0] = m.largest[half];
            of.weights(result)[1] = m.total[half];
        }
    }
};

} // namespace llamavision::gpu
