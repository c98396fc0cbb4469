// SPDX-License-Identifier: Apache-2.0
// Attention on tensor cores, for many query rows. Scores and weighted values are products of 16 bits with sums in
// float: of bfloat16 (mma.m16n8k16, compute capability 8.0 and later) or of f16 (twice mma.m16n8k8, 7.5). With online
// softmax, the probabilities stay in registers: those of the first product's result are the second product's factor
// (FlashAttention-2).
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include <llamavision/backend/cuda/kernels/attention.hpp>
#include <llamavision/backend/cuda/kernels/block.hpp>

namespace llamavision::gpu {

/// A block of threads computes 64 · `Tiles` queries of one key head, each warp 16 · `Tiles`. Query heads that share the
/// key head count as further rows. Keys are read 64 at a time: their values are copied while scores are computed, and
/// the next keys while values are added. A warp uses what it reads for all its queries. Registers are those of `mma`,
/// for lane 4g + c (block.hpp): a lane's rows are g and g + 8 of each sixteen queries.
template <class Key, unsigned Dim, unsigned Tiles>
struct flash_attend {
    static_assert(Dim % 16 == 0);
    static constexpr unsigned threads = 128, of_warp = 16 * Tiles, queries = threads / warp * of_warp, keys = 64;
    static constexpr unsigned steps = Dim / 16, key_tiles = keys / 8, value_tiles = Dim / 8, rows = 2 * Tiles;
    static constexpr float log2_e = 1.44269504088896341f;
    /// Rows are 16 bytes longer than what they hold, so that eight of them, which tensor cores read at once, lie in
    /// different banks.
    struct alignas(16) shared {
        Key key[keys][Dim + 8], value[keys][Dim + 8];
        float bias[keys]; ///< times log2(e)
    };
    attention_task of;

    struct state {
        std::uint32_t q[Tiles][steps][4], weights[Tiles][4];
        std::uint32_t b[4]; ///< two tiles of 8 columns and 16 rows, of keys or values
        float score[Tiles][key_tiles][4], sums[Tiles][value_tiles][4];
        float largest[rows], total[rows]; ///< scores are to the base 2
        std::uint32_t seen[rows];         ///< how many keys of the current block these rows see
    };

    template <class Block>
    LLAMAVISION_KERNEL void operator()(Block& block, shared& s) const {
        query_tile const tile(of, block.x(), block.y(), queries);
        key_walk walk(of, tile, queries, block.z(), keys);
        key_piece now = walk.next();
        typename Block::template own<state> mine;
        block.alone([&](unsigned t) {
            begin(mine[t], tile, t);
            if (now.is()) copy_async(block, t, s.key, of.block[now.block].keys, now, tile.kv_head);
        });
        while (now.is()) {
            block.alone([&](unsigned t) { block.wait_for_copies(t); });
            block.sync(); // the keys are there, and all threads have read the previous values
            block.alone([&](unsigned t) {
                key_rows const& from = of.block[now.block];
                copy_async(block, t, s.value, from.values, now, tile.kv_head);
                if (t < keys) s.bias[t] = from.bias && now.at + t < now.end ? from.bias[now.at + t] * log2_e : 0.0f;
                if (now.is_first) now.look(of, tile, queries, t, mine[t].seen, of_warp);
            });
            score(block, mine, s);
            block.alone([&](unsigned t) { block.wait_for_copies(t); });
            block.sync(); // the values are there, and all threads have read the keys
            key_piece const next = walk.next();
            if (next.is())
                block.alone(
                    [&](unsigned t) { copy_async(block, t, s.key, of.block[next.block].keys, next, tile.kv_head); });
            measure_weights(block, mine, s, now.at);
            add_up(block, mine, s);
            now = next;
        }
        store(block, mine, tile);
    }

  private:
    /// Loads a thread's queries, and begins its softmax.
    LLAMAVISION_KERNEL void begin(state& m, query_tile const& tile, unsigned t) const {
        LLAMAVISION_CUDA_UNROLL
        for (unsigned r = 0; r < rows; ++r) {
            std::uint32_t const query = tile.query_of(t, r, of_warp);
            float const* const q = query < tile.all ? of.q + tile.place_of(query) * Dim : nullptr;
            LLAMAVISION_CUDA_UNROLL
            for (unsigned k = 0; k < steps; ++k) {
                unsigned const column = 16 * k + t % 4 * 2;
                m.q[r / 2][k][r % 2] = q ? pair_of<Key>(q[column], q[column + 1]) : 0;
                m.q[r / 2][k][2 + r % 2] = q ? pair_of<Key>(q[column + 8], q[column + 9]) : 0;
            }
            m.largest[r] = -INFINITY;
            m.total[r] = 0;
        }
        LLAMAVISION_CUDA_UNROLL
        for (unsigned i = 0; i < Tiles; ++i) {
            LLAMAVISION_CUDA_UNROLL
            for (unsigned j = 0; j < value_tiles; ++j) {
                LLAMAVISION_CUDA_UNROLL
                for (unsigned k = 0; k < 4; ++k) m.sums[i][j][k] = 0;
            }
        }
    }

    /// Starts to copy a thread's share of the keys, or values, of a piece; zeros from its end on.
    template <class Block>
    LLAMAVISION_KERNEL void copy_async(Block& block, unsigned t, Key (&to)[keys][Dim + 8], void const* all,
                                       key_piece const& piece, std::uint32_t kv_head) const {
        std::size_t const stride = static_cast<std::size_t>(of.kv_heads) * Dim;
        auto const* const from =
            static_cast<Key const*>(all) + piece.at * stride + static_cast<std::size_t>(kv_head) * Dim;
        LLAMAVISION_CUDA_UNROLL
        for (unsigned k = 0; k < keys * (Dim / 8) / threads; ++k) { // eight values of a row
            unsigned const i = t + k * threads, row = i / (Dim / 8), v = i % (Dim / 8) * 8;
            block.copy_async(t, &to[row][v], from + row * stride + v, piece.at + row < piece.end);
        }
    }
    static_assert(keys * (Dim / 8) % threads == 0 && keys <= threads);

    /// Computes the scores of the queries with the keys in shared memory.
    template <class Block, class Own>
    LLAMAVISION_KERNEL void score(Block& block, Own& mine, shared const& s) const {
        block.alone([&](unsigned t) {
            LLAMAVISION_CUDA_UNROLL
            for (unsigned i = 0; i < Tiles; ++i) {
                LLAMAVISION_CUDA_UNROLL
                for (unsigned j = 0; j < key_tiles; ++j) {
                    LLAMAVISION_CUDA_UNROLL
                    for (unsigned k = 0; k < 4; ++k) mine[t].score[i][j][k] = 0;
                }
            }
        });
        LLAMAVISION_CUDA_UNROLL
        for (unsigned k = 0; k < steps; ++k) {
            LLAMAVISION_CUDA_UNROLL
            for (unsigned j = 0; j < key_tiles; j += 2) {
                // A row is a key; B's columns are keys, and its rows the key's values.
                block.load_tiles(
                    [&](unsigned t) { return &s.key[8 * j + t % warp / 16 * 8 + t % 8][16 * k + t % 16 / 8 * 8]; },
                    [&](unsigned t) -> std::uint32_t(&)[4] { return mine[t].b; });
                LLAMAVISION_CUDA_UNROLL
                for (unsigned i = 0; i < Tiles; ++i) {
                    LLAMAVISION_CUDA_UNROLL
                    for (unsigned n = 0; n < 2; ++n)
                        block.template mma<Key>([&](unsigned t) -> float(&)[4] { return mine[t].score[i][j + n]; },
                                                [&](unsigned t) -> std::uint32_t(&)[4] { return mine[t].q[i][k]; },
                                                [&](unsigned t, unsigned half) { return mine[t].b[2 * n + half]; });
                }
            }
        }
    }

    /// Online softmax: the scores of the keys from `at` on become probabilities.
    template <class Block, class Own>
    LLAMAVISION_KERNEL void measure_weights(Block& block, Own& mine, shared const& s, std::uint32_t at) const {
        float const scale = of.scale * log2_e;
        LLAMAVISION_CUDA_UNROLL
        for (unsigned r = 0; r < rows; ++r) {
            block.alone([&](unsigned t) {
                auto& score = mine[t].score[r / 2];
                each_column(r, [&](unsigned j, unsigned k) {
                    score[j][k] = score[j][k] * scale + s.bias[8 * j + t % 4 * 2 + k % 2];
                });
                if (at + keys > mine[t].seen[r])
                    each_column(r, [&](unsigned j, unsigned k) {
                        if (at + 8 * j + t % 4 * 2 + k % 2 >= mine[t].seen[r]) score[j][k] = -INFINITY;
                    });
            });
            block.quad_max(
                [&](unsigned t) {
                    float most = mine[t].largest[r];
                    each_column(r, [&](unsigned j, unsigned k) { most = fmaxf(most, mine[t].score[r / 2][j][k]); });
                    return most;
                },
                [&](unsigned t, float most) {
                    state& m = mine[t];
                    float const keep = m.largest[r] == -INFINITY ? 0.0f : exp2_of(m.largest[r] - most);
                    m.largest[r] = most;
                    float const shift = most == -INFINITY ? 0.0f : most;
                    float sum = 0;
                    each_column(r, [&](unsigned j, unsigned k) {
                        m.score[r / 2][j][k] = exp2_of(m.score[r / 2][j][k] - shift);
                        sum += m.score[r / 2][j][k];
                    });
                    m.total[r] =
                        m.total[r] * keep + sum; // of this lane's columns; the lanes' sums are added at the end
                    LLAMAVISION_CUDA_UNROLL
                    for (unsigned j = 0; j < value_tiles; ++j) {
                        m.sums[r / 2][j][r % 2 * 2] *= keep;
                        m.sums[r / 2][j][r % 2 * 2 + 1] *= keep;
                    }
                });
        }
    }
    /// The registers with the scores of a lane's row r.
    template <class F>
    static LLAMAVISION_KERNEL void each_column(unsigned r, F const& f) {
        LLAMAVISION_CUDA_UNROLL
        for (unsigned j = 0; j < key_tiles; ++j) {
            LLAMAVISION_CUDA_UNROLL
            for (unsigned k = 0; k < 2; ++k) f(j, r % 2 * 2 + k);
        }
    }

    /// Adds the weighted values.
    template <class Block, class Own>
    LLAMAVISION_KERNEL void add_up(Block& block, Own& mine, shared const& s) const {
        LLAMAVISION_CUDA_UNROLL
        for (unsigned k = 0; k < keys / 16; ++k) {
            block.alone([&](unsigned t) { // C's registers for 16 columns are those of A for 16 keys
                LLAMAVISION_CUDA_UNROLL
                for (unsigned r = 0; r < rows; ++r) {
                    auto const& low = mine[t].score[r / 2][2 * k];
                    auto const& high = mine[t].score[r / 2][2 * k + 1];
                    unsigned const half = r % 2;
                    mine[t].weights[r / 2][half] = pair_of<Key>(low[2 * half], low[2 * half + 1]);
                    mine[t].weights[r / 2][2 + half] = pair_of<Key>(high[2 * half], high[2 * half + 1]);
                }
            });
            LLAMAVISION_CUDA_UNROLL
            for (unsigned j = 0; j < value_tiles; j += 2) {
                // In memory a row is the values of a key; B's rows are keys as well, but `mma` wants them transposed.
                block.load_transposed_tiles(
                    [&](unsigned t) { return &s.value[16 * k + t % 16][8 * j + t % warp / 16 * 8]; },
                    [&](unsigned t) -> std::uint32_t(&)[4] { return mine[t].b; });
                LLAMAVISION_CUDA_UNROLL
                for (unsigned i = 0; i < Tiles; ++i) {
                    LLAMAVISION_CUDA_UNROLL
                    for (unsigned n = 0; n < 2; ++n)
                        block.template mma<Key>([&](unsigned t) -> float(&)[4] { return mine[t].sums[i][j + n]; },
                                                [&](unsigned t) -> std::uint32_t(&)[4] { return mine[t].weights[i]; },
                                                [&](unsigned t, unsigned half) { return mine[t].b[2 * n + half]; });
                }
            }
        }
    }

    template <class Block, class Own>
    LLAMAVISION_KERNEL void store(Block& block, Own& mine, query_tile const& tile) const {
        LLAMAVISION_CUDA_UNROLL
        for (unsigned r = 0; r < rows; ++r)
            block.quad_sum([&](unsigned t) { return mine[t].total[r]; },
                           [&](unsigned t, float total) { mine[t].total[r] = total; });
        block.alone([&](unsigned t) {
            state const& m = mine[t];
            LLAMAVISION_CUDA_UNROLL
            for (unsigned r = 0; r < rows; ++r) {
                std::uint32_t const query = tile.query_of(t, r, of_warp);
                if (query >= tile.all) continue;
                bool const whole = of.parts == 1;
                std::size_t const result =
                    of.result(block.z(), tile.group.slot + query / tile.each, tile.head_of(query));
                float* const to = whole ? of.y + tile.place_of(query) * Dim : of.sums(result);
                float const scale = !whole ? 1.0f : m.total[r] == 0 ? 0.0f : 1.0f / m.total[r];
                LLAMAVISION_CUDA_UNROLL
                for (unsigned j = 0; j < value_tiles; ++j) {
                    LLAMAVISION_CUDA_UNROLL
                    for (unsigned k = 0; k < 2; ++k)
                        to[8 * j + t % 4 * 2 + k] = m.sums[r / 2][j][r % 2 * 2 + k] * scale;
                }
                if (!whole && t % 4 == 0) {
                    of.weights(result)[0] = m.largest[r] / log2_e;
                    of.weights(result)[1] = m.total[r];
                }
            }
        });
    }
};

} // namespace llamavision::gpu
