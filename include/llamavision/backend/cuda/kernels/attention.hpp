// SPDX-License-Identifier: Apache-2.0
// The arguments of the attention kernels, and the kernel for few rows: any head size, float arithmetic. The groups and
// key blocks of a launch are a table in its arguments, so that it can be recorded and played again. Keys may be split
// into parts; `merge_parts` joins their results (largest score, sum of exponentials, weighted values) in their order.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include <llamavision/backend/cuda/kernels/block.hpp>

namespace llamavision::gpu {

/// A block of keys that a group sees; see `key_block` and `query_group`.
struct key_rows {
    void const *keys, *values;
    float const* bias;
    std::uint32_t rows;
};
struct query_rows {
    std::uint32_t first, rows; ///< of q and y
    std::uint32_t slot;        ///< index of the first row among the rows of all groups of the launch
    std::uint32_t tile;        ///< index of the group's first tile among those of the launch
    std::uint16_t begin, end;  ///< its blocks are [begin, end)
    std::uint16_t place;       ///< index among the groups of the call
    bool causal;
};

struct attention_task {
    static constexpr std::size_t most_groups = 16, most_blocks = 24;
    float const* q;
    float* y;
    std::uint32_t heads, kv_heads, head_dim;
    float scale;
    std::uint32_t groups;
    std::uint32_t first_part,
        launched_parts;  ///< a group of very many blocks has several launches: parts are numbered over all of them
    std::uint32_t parts; ///< of each row; 1: y is written at once
    std::uint32_t slots; ///< rows of all groups
    float* partial;      ///< (parts, slots, heads, head_dim) sums of weighted values, then (parts, slots, heads, 2)
    std::uint32_t const*
        positions; ///< null, or: the last block of a causal group has positions[place] rows and those of the group
    query_rows group[most_groups];
    key_rows block[most_blocks];

    [[nodiscard]] LLAMAVISION_KERNEL std::uint32_t group_of_tile(std::uint32_t tile) const {
        std::uint32_t g = 0;
        while (g + 1 < groups && group[g + 1].tile <= tile) ++g;
        return g;
    }
    /// How many rows of block b the group's last row sees.
    [[nodiscard]] LLAMAVISION_KERNEL std::uint32_t rows_of(query_rows const& g, std::uint32_t b) const {
        return positions && g.causal && b + 1 == g.end ? positions[g.place] + g.rows : block[b].rows;
    }
    /// How many rows of block b row i of the group sees.
    [[nodiscard]] LLAMAVISION_KERNEL std::uint32_t seen(query_rows const& g, std::uint32_t b, std::uint32_t i) const {
        return rows_of(g, b) - (g.causal && b + 1 == g.end ? g.rows - 1 - i : 0);
    }
    /// The range of one part among the keys that row i of the group sees, numbered over its blocks.
    struct key_span {
        std::uint32_t from, to;
    };
    [[nodiscard]] LLAMAVISION_KERNEL key_span keys_of_part(query_rows const& g, std::uint32_t i,
                                                           std::uint32_t part) const {
        std::uint64_t total = 0;
        for (std::uint32_t b = g.begin; b < g.end; ++b) total += seen(g, b, i);
        return {static_cast<std::uint32_t>(total * part / launched_parts),
                static_cast<std::uint32_t>(total * (part + 1) / launched_parts)};
    }
    /// Index of the result of one part for a row and a head.
    [[nodiscard]] LLAMAVISION_KERNEL std::size_t result(std::uint32_t part, std::uint32_t slot,
                                                        std::uint32_t head) const {
        return (static_cast<std::size_t>(first_part + part) * slots + slot) * heads + head;
    }
    [[nodiscard]] LLAMAVISION_KERNEL float* sums(std::size_t result) const { return partial + result * head_dim; }
    [[nodiscard]] LLAMAVISION_KERNEL float* weights(std::size_t result) const {
        return partial + static_cast<std::size_t>(parts) * slots * heads * head_dim + result * 2;
    }
};

/// A tile of queries that share a key head. Query heads of the same key head count as further rows.
struct query_tile {
    query_rows const& group;
    std::uint32_t heads, each, kv_head; ///< query heads in all, query heads of a key head, and the key head
    std::uint32_t first, all;           ///< the tile's first query, and the queries of the whole group

    LLAMAVISION_KERNEL query_tile(attention_task const& of, std::uint32_t tile, std::uint32_t of_kv_head,
                                  std::uint32_t queries)
        : group(of.group[of.group_of_tile(tile)]), heads(of.heads), each(of.heads / of.kv_heads), kv_head(of_kv_head),
          first((tile - group.tile) * queries), all(group.rows * each) {}

    [[nodiscard]] static constexpr std::uint32_t count(std::uint32_t rows, std::uint32_t each, std::uint32_t queries) {
        return (rows * each + queries - 1) / queries;
    }
    /// The row of the last of so many queries.
    [[nodiscard]] LLAMAVISION_KERNEL std::uint32_t last_row(std::uint32_t queries) const {
        return ((first + queries < all ? first + queries : all) - 1) / each;
    }
    /// Where the head of a query begins in q and y.
    [[nodiscard]] LLAMAVISION_KERNEL std::size_t place_of(std::uint32_t query) const {
        return static_cast<std::size_t>(group.first + query / each) * heads + head_of(query);
    }
    [[nodiscard]] LLAMAVISION_KERNEL std::uint32_t head_of(std::uint32_t query) const {
        return kv_head * each + query % each;
    }
    /// The query of row r of a thread: four lanes share the queries g, g + 8, … of a warp.
    [[nodiscard]] LLAMAVISION_KERNEL std::uint32_t query_of(unsigned t, unsigned r, unsigned of_warp = 16) const {
        return first + t / warp * of_warp + t % warp / 4 + 8 * r;
    }
};

/// Keys of a block from `at` on; those from `end` on do not count.
struct key_piece {
    std::uint32_t block, at, end;
    bool is_first; ///< the first piece of that block

    [[nodiscard]] LLAMAVISION_KERNEL bool is() const { return at < end; }
    /// How many of the block's keys each of a thread's rows sees in this part. Rows after the last query see as many as
    /// it.
    template <unsigned Rows>
    LLAMAVISION_KERNEL void look(attention_task const& of, query_tile const& tile, unsigned queries, unsigned t,
                                 std::uint32_t (&seen)[Rows], unsigned of_warp = 16) const {
        LLAMAVISION_CUDA_UNROLL
        for (unsigned r = 0; r < Rows; ++r) {
            std::uint32_t const query = tile.query_of(t, r, of_warp);
            std::uint32_t const row = query < tile.all ? query / tile.each : tile.last_row(queries);
            std::uint32_t const of_row = of.seen(tile.group, block, row);
            seen[r] = of_row < end ? of_row : end;
        }
    }
};

/// Goes through the keys that a tile of queries sees in its part, so many at a time.
class key_walk {
  public:
    LLAMAVISION_KERNEL key_walk(attention_task const& of, query_tile const& tile, unsigned queries, std::uint32_t part,
                                std::uint32_t at_once)
        : of_(of), group_(tile.group), last_row_(tile.last_row(queries)), at_once_(at_once), block_(group_.begin) {
        auto const [from, to] = of.keys_of_part(group_, last_row_, part);
        next_ = from_ = from;
        to_ = to;
    }
    /// The next keys; none after the last.
    LLAMAVISION_KERNEL key_piece next() {
        for (; block_ < group_.end; ++block_) {
            std::uint32_t const begin = from_ > before_ ? from_ : before_;
            std::uint32_t const rows = of_.seen(group_, block_, last_row_);
            std::uint32_t const end = to_ < before_ + rows ? to_ : before_ + rows;
            if (next_ < begin) next_ = begin;
            if (next_ < end) {
                key_piece const piece{block_, next_ - before_, end - before_, next_ == begin};
                next_ += at_once_;
                return piece;
            }
            before_ += rows;
            next_ = 0;
        }
        return {0, 0, 0, false};
    }

  private:
    attention_task const& of_;
    query_rows const& group_;
    std::uint32_t last_row_, at_once_, block_;
    std::uint32_t from_, to_, next_, before_ = 0; ///< numbers of keys over all blocks of the group
};

/// exp(score - largest); 0 if both are -inf, when no key was seen.
LLAMAVISION_KERNEL inline float weight_of(float score, float largest) {
    return score == -INFINITY ? 0.0f : expf(score - largest);
}

/// A block of threads computes one row for up to `Heads` query heads of one key head. Its warps take keys in turn, four
/// at a time. Each lane has `Each` values of the head.
template <class Key, unsigned Heads, unsigned Each>
struct attend_rows {
    static constexpr unsigned threads = 128, warps = threads / warp, keys_at_once = 4;
    struct shared {
        float largest[warps][Heads], total[warps][Heads], sums[warps][Heads][Each * warp];
    };
    attention_task of;

    /// How many blocks of threads share the query heads of one key head.
    [[nodiscard]] LLAMAVISION_KERNEL std::uint32_t slices() const {
        std::uint32_t const each = of.heads / of.kv_heads;
        return (each + Heads - 1) / Heads;
    }

    struct state {
        float q[Heads][Each], sums[Heads][Each];
        float score[keys_at_once][Heads];
        float largest[Heads], total[Heads];
    };

    template <class Block>
    LLAMAVISION_KERNEL void operator()(Block& block, shared& s) const {
        query_rows const& group = of.group[of.group_of_tile(block.x())];
        std::uint32_t const i = block.x() - group.tile, each = of.heads / of.kv_heads;
        std::uint32_t const kv_head = block.y() / slices(), first_head = block.y() % slices() * Heads;
        std::size_t const stride = static_cast<std::size_t>(of.kv_heads) * of.head_dim;
        auto const head_of = [&](unsigned h) { return kv_head * each + first_head + h; };
        auto const is_head = [&](unsigned h) { return first_head + h < each; };
        auto const value_of = [](unsigned t, unsigned k) { return t % warp + k * warp; };
        std::size_t const row = static_cast<std::size_t>(group.first + i) * of.heads;

        typename Block::template own<state> mine;
        block.alone([&](unsigned t) {
            LLAMAVISION_CUDA_UNROLL
            for (unsigned h = 0; h < Heads; ++h) {
                mine[t].largest[h] = -INFINITY;
                mine[t].total[h] = 0;
                LLAMAVISION_CUDA_UNROLL
                for (unsigned k = 0; k < Each; ++k) {
                    bool const is = is_head(h) && value_of(t, k) < of.head_dim;
                    mine[t].q[h][k] = is ? of.q[(row + head_of(h)) * of.head_dim + value_of(t, k)] * of.scale : 0.0f;
                    mine[t].sums[h][k] = 0;
                }
            }
        });

        auto const [from, to] = of.keys_of_part(group, i, block.z());
        std::uint32_t before = 0;
        for (std::uint32_t b = group.begin; b < group.end; ++b) {
            std::uint32_t const rows = of.seen(group, b, i), last = to < before + rows ? to : before + rows;
            key_rows const& keys = of.block[b];
            for (std::uint32_t k = from > before ? from : before; k < last; k += warps * keys_at_once)
                meet(block, mine, keys, k - before, last - before, kv_head, stride);
            before += rows;
        }
        join(block, mine, s, group.slot + i, row, head_of, is_head);
    }

  private:
    /// Adds keys from `at` up to `end` of one block to the online softmax.
    template <class Block, class Own>
    LLAMAVISION_KERNEL void meet(Block& block, Own& mine, key_rows const& keys, std::uint32_t at, std::uint32_t end,
                                 std::uint32_t kv_head, std::size_t stride) const {
        auto const key_of = [&](unsigned t, unsigned k) { return at + t / warp * keys_at_once + k; };
        auto const values_at = [&](void const* all, std::uint32_t key) {
            return static_cast<Key const*>(all) + key * stride + static_cast<std::size_t>(kv_head) * of.head_dim;
        };
        block.alone([&](unsigned t) {
            LLAMAVISION_CUDA_UNROLL
            for (unsigned k = 0; k < keys_at_once; ++k) {
                std::uint32_t const key = key_of(t, k) < end ? key_of(t, k) : end - 1;
                float values[Each];
                LLAMAVISION_CUDA_UNROLL
                for (unsigned e = 0; e < Each; ++e) {
                    unsigned const v = t % warp + e * warp;
                    values[e] = v < of.head_dim ? widen(values_at(keys.keys, key)[v]) : 0.0f;
                }
                LLAMAVISION_CUDA_UNROLL
                for (unsigned h = 0; h < Heads; ++h) {
                    float sum = 0;
                    LLAMAVISION_CUDA_UNROLL
                    for (unsigned e = 0; e < Each; ++e) sum += mine[t].q[h][e] * values[e];
                    mine[t].score[k][h] = sum;
                }
            }
        });
        LLAMAVISION_CUDA_UNROLL
        for (unsigned k = 0; k < keys_at_once; ++k) {
            LLAMAVISION_CUDA_UNROLL
            for (unsigned h = 0; h < Heads; ++h)
                block.warp_sum([&](unsigned t) { return mine[t].score[k][h]; },
                               [&](unsigned t, float sum) { mine[t].score[k][h] = sum; });
        }
        block.alone([&](unsigned t) {
            state& m = mine[t];
            LLAMAVISION_CUDA_UNROLL
            for (unsigned k = 0; k < keys_at_once; ++k)
                if (key_of(t, k) < end) {
                    float const bias = keys.bias ? keys.bias[key_of(t, k)] : 0.0f;
                    float values[Each];
                    LLAMAVISION_CUDA_UNROLL
                    for (unsigned e = 0; e < Each; ++e) {
                        unsigned const v = t % warp + e * warp;
                        values[e] = v < of.head_dim ? widen(values_at(keys.values, key_of(t, k))[v]) : 0.0f;
                    }
                    LLAMAVISION_CUDA_UNROLL
                    for (unsigned h = 0; h < Heads; ++h) {
                        float const score = m.score[k][h] + bias, before = m.largest[h];
                        m.largest[h] = score > before ? score : before;
                        float const keep = weight_of(before, m.largest[h]), add = weight_of(score, m.largest[h]);
                        m.total[h] = m.total[h] * keep + add;
                        LLAMAVISION_CUDA_UNROLL
                        for (unsigned e = 0; e < Each; ++e) m.sums[h][e] = m.sums[h][e] * keep + add * values[e];
                    }
                }
        });
    }

    /// Joins the results of the warps in their order, and writes y, or the result of a part.
    template <class Block, class Own, class HeadOf, class IsHead>
    LLAMAVISION_KERNEL void join(Block& block, Own& mine, shared& s, std::uint32_t slot, std::size_t row,
                                 HeadOf const& head_of, IsHead const& is_head) const {
        block.each([&](unsigned t) {
            unsigned const w = t / warp;
            LLAMAVISION_CUDA_UNROLL
            for (unsigned h = 0; h < Heads; ++h) {
                if (t % warp == 0) {
                    s.largest[w][h] = mine[t].largest[h];
                    s.total[w][h] = mine[t].total[h];
                }
                LLAMAVISION_CUDA_UNROLL
                for (unsigned e = 0; e < Each; ++e) s.sums[w][h][t % warp + e * warp] = mine[t].sums[h][e];
            }
        });
        block.alone([&](unsigned t) {
            for (unsigned h = 0; h < Heads && is_head(h); ++h) {
                float largest = -INFINITY, total = 0;
                for (unsigned w = 0; w < warps; ++w) largest = s.largest[w][h] > largest ? s.largest[w][h] : largest;
                for (unsigned w = 0; w < warps; ++w) total += s.total[w][h] * weight_of(s.largest[w][h], largest);
                std::size_t const result = of.result(block.z(), slot, head_of(h));
                for (unsigned v = t; v < of.head_dim; v += threads) {
                    float sum = 0;
                    for (unsigned w = 0; w < warps; ++w) sum += s.sums[w][h][v] * weight_of(s.largest[w][h], largest);
                    if (of.parts == 1)
                        of.y[(row + head_of(h)) * of.head_dim + v] = total == 0 ? 0.0f : sum / total;
                    else
                        of.sums(result)[v] = sum;
                }
                if (of.parts > 1 && t == 0) {
                    of.weights(result)[0] = largest;
                    of.weights(result)[1] = total;
                }
            }
        });
    }
};

/// Joins the parts of each row and head in their order; a block of threads for each.
struct merge_parts {
    static constexpr unsigned threads = 128;
    using shared = nothing;
    attention_task of;

    template <class Block>
    LLAMAVISION_KERNEL void operator()(Block& block, shared&) const {
        std::uint32_t const slot = block.x(), head = block.y();
        std::uint32_t g = 0;
        while (g + 1 < of.groups && of.group[g + 1].slot <= slot) ++g;
        std::size_t const row = of.group[g].first + (slot - of.group[g].slot);
        auto const part = [&](std::uint32_t p) {
            return (static_cast<std::size_t>(p) * of.slots + slot) * of.heads + head;
        };
        block.alone([&](unsigned t) {
            float largest = -INFINITY, total = 0;
            for (std::uint32_t p = 0; p < of.parts; ++p) {
                float const there = of.weights(part(p))[0];
                largest = there > largest ? there : largest;
            }
            for (std::uint32_t p = 0; p < of.parts; ++p)
                total += of.weights(part(p))[1] * weight_of(of.weights(part(p))[0], largest);
            for (unsigned v = t; v < of.head_dim; v += threads) {
                float sum = 0;
                for (std::uint32_t p = 0; p < of.parts; ++p)
                    sum += of.sums(part(p))[v] * weight_of(of.weights(part(p))[0], largest);
                of.y[(row * of.heads + head) * of.head_dim + v] = total == 0 ? 0.0f : sum / total;
            }
        });
    }
};

} // namespace llamavision::gpu
