// SPDX-License-Identifier: Apache-2.0
// Attention in float, in blocks, with online softmax (Milakov & Gimelshein 2018; Dao et al. 2022). Each lane of a
// vector is one query: scores lie as (keys, queries), so that the maximum and the sum of a query stay in its lane, and
// keys and values are read in the order in which they lie.
//
// The order of a query's sums: keys in pieces of 128 from the start of their block, pieces in sections of 8, one
// softmax for each section, and sections merged in order. Keys that a causal row does not see yet add exact zeros at
// the end. So a query has the same bits alone or among others, and on any number of threads.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>

#include <llamavision/backend/attention.hpp>
#include <llamavision/backend/simd/arch/arch.hpp>
#include <llamavision/backend/simd/arch/targets.hpp>
#include <llamavision/backend/simd/kernels/scratch.hpp>
#include <llamavision/support/ceil_div.hpp>
#include <llamavision/support/thread_pool.hpp>

namespace llamavision::inline LLAMAVISION_ARCH::flash {

inline constexpr std::size_t piece_keys = 128, section_pieces = 8, item_queries = 128;

/// Some queries of one key head. Query i is that of row i / ratio of the group, and of head i % ratio among the `ratio`
/// query heads that share the key head.
struct item {
    query_group const* group;
    std::size_t kv_head, first, count, ratio;

    [[nodiscard]] std::size_t row(std::size_t i) const { return (first + i) / ratio; }
    [[nodiscard]] std::size_t head(std::size_t i) const { return kv_head * ratio + (first + i) % ratio; }
    /// How many rows of block b a row of the group sees.
    [[nodiscard]] std::size_t seen(std::size_t b, std::size_t row) const {
        bool const grows = group->causal && b + 1 == group->blocks.size();
        return group->blocks[b].rows - (grows ? group->rows - 1 - row : 0);
    }
};

/// Up to 128 keys of one block.
struct piece {
    std::size_t block, start, count;
};

inline std::size_t pieces(item const& it) {
    std::size_t n = 0;
    for (std::size_t b = 0; b < it.group->blocks.size(); ++b)
        n += ceil_div(it.seen(b, it.row(it.count - 1)), piece_keys);
    return n;
}

inline piece piece_at(item const& it, std::size_t i) {
    for (std::size_t b = 0;; ++b) {
        std::size_t const rows = it.seen(b, it.row(it.count - 1)), n = ceil_div(rows, piece_keys);
        if (i < n) return {b, i * piece_keys, std::min(piece_keys, rows - i * piece_keys)};
        i -= n;
    }
}

/// The state of online softmax after some keys, for every query: the largest score, total = Σ exp(score - largest), and
/// o = Σ exp(score - largest) · value, as (dim, queries) tile by tile.
struct sums {
    float* largest;
    float* total;
    float* o;

    static constexpr std::size_t floats(std::size_t lanes, std::size_t dim) { return lanes * (dim + 2); }
    static sums at(float* p, std::size_t lanes) { return {p, p + lanes, p + 2 * lanes}; }
};

/// The queries of an item, in tiles of one register or of several.
class worker {
  public:
    worker(kernel_table const& t, attention_shape const& shape, item const& it) : t_(t), shape_(shape), it_(it) {}

    /// The number of queries, rounded up to whole tiles.
    [[nodiscard]] std::size_t lanes() const {
        std::size_t n = 0;
        for_tiles([&](std::size_t, std::size_t wide, int) { n += wide; });
        return n;
    }
    [[nodiscard]] std::size_t sections() const { return ceil_div(pieces(it_), section_pieces); }

    /// Transposes the queries to (dim, queries), tile by tile.
    void read(float const* rows, float* q) const {
        std::size_t const dim = shape_.head_dim;
        for_tiles([&](std::size_t first, std::size_t wide, int) {
            for (std::size_t i = 0; i < wide; ++i) {
                float const* const from = first + i < it_.count ? rows + offset(first + i) : nullptr;
                for (std::size_t d = 0; d < dim; ++d) q[first * dim + d * wide + i] = from ? from[d] : 0.0f;
            }
        });
    }

    /// Floats of working memory of `section`: the scores of a tile, and the values of a piece.
    [[nodiscard]] std::size_t scratch_floats() const { return piece_keys * (t_.width * t_.vectors + shape_.head_dim); }

    void section(std::size_t index, float const* q, float* work, sums const& to) const {
        std::size_t const all = lanes();
        std::fill_n(to.largest, all, -std::numeric_limits<float>::infinity());
        std::fill_n(to.total, all, 0.0f);
        std::fill_n(to.o, all * shape_.head_dim, 0.0f);
        std::size_t const end = std::min(pieces(it_), (index + 1) * section_pieces);
        for (std::size_t i = index * section_pieces; i < end; ++i) {
            piece const p = piece_at(it_, i);
            float* const values = work + piece_keys * t_.width * t_.vectors;
            copy_values(p, values);
            for_tiles([&](std::size_t first, std::size_t wide, int many) {
                tile(p, first, wide, many, q, values, work, to);
            });
        }
    }

    void merge(sums const& into, sums const& other) const {
        std::size_t const dim = shape_.head_dim;
        for_tiles([&](std::size_t first, std::size_t wide, int) {
            for (std::size_t i = first; i < first + wide; i += t_.width) {
                std::size_t const o = first * dim + (i - first);
                t_.merge(into.largest + i, into.total + i, into.o + o, other.largest + i, other.total + i, other.o + o,
                         wide, dim);
            }
        });
    }

    /// Rows that see no key, or only biases of minus infinity, are zero.
    void write(sums const& from, float* rows) const {
        std::size_t const dim = shape_.head_dim;
        for_tiles([&](std::size_t first, std::size_t wide, int) {
            for (std::size_t i = first; i < std::min(first + wide, it_.count); ++i) {
                float* const y = rows + offset(i);
                float const total = from.total[i];
                for (std::size_t d = 0; d < dim; ++d)
                    y[d] = total == 0.0f ? 0.0f : from.o[first * dim + d * wide + (i - first)] / total;
            }
        });
    }

  private:
    /// Calls f(first query, number of queries, 1 for a wide tile or 0) for each tile.
    template <class F>
    void for_tiles(F const& f) const {
        std::size_t const wide = t_.width * t_.vectors;
        std::size_t i = 0;
        for (; i + wide / 2 < it_.count; i += wide) f(i, wide, 1);
        for (; i < it_.count; i += t_.width) f(i, t_.width, 0);
    }

    [[nodiscard]] std::size_t offset(std::size_t i) const {
        return ((it_.group->first + it_.row(i)) * shape_.heads + it_.head(i)) * shape_.head_dim;
    }

    /// Copies the values of the item's key head, row after row. Where they come from, rows are a power of two apart,
    /// and would evict each other from a cache.
    void copy_values(piece const& p, float* to) const {
        std::size_t const dim = shape_.head_dim, stride = shape_.kv_heads * dim;
        float const* const from = it_.group->blocks[p.block].values + p.start * stride + it_.kv_head * dim;
        for (std::size_t k = 0; k < p.count; ++k) std::copy_n(from + k * stride, dim, to + k * dim);
    }

    void tile(piece const& p, std::size_t first, std::size_t wide, int many, float const* q, float const* values,
              float* scores, sums const& to) const {
        std::size_t const dim = shape_.head_dim, stride = shape_.kv_heads * dim;
        std::size_t const last = std::min(first + wide, it_.count) - 1;
        if (it_.seen(p.block, it_.row(last)) <= p.start) return;
        key_block const& block = it_.group->blocks[p.block];
        std::size_t const at = p.start * stride + it_.kv_head * dim;
        float const scale = 1.0f / std::sqrt(static_cast<float>(dim));
        t_.scores[many](q + first * dim, wide, dim, block.keys + at, stride,
                        block.bias ? block.bias + p.start : nullptr, p.count, scale, scores);
        for (std::size_t i = first; i <= last; ++i) {
            std::size_t const seen = it_.seen(p.block, it_.row(i));
            for (std::size_t k = std::max(seen, p.start) - p.start; k < p.count; ++k)
                scores[k * wide + i - first] = -std::numeric_limits<float>::infinity();
        }
        alignas(64) float rescale[item_queries];
        for (std::size_t i = 0; i < wide; i += t_.width)
            t_.softmax(scores + i, wide, p.count, to.largest + first + i, to.total + first + i, rescale + i);
        t_.values[many](scores, wide, p.count, values, dim, dim, rescale, to.o + first * dim);
    }

    kernel_table const& t_;
    attention_shape const& shape_;
    item it_;
};

/// The items of a call. Those of one key head follow each other, so that its keys stay in the cache that the threads
/// share.
class items {
  public:
    items(attention_shape const& shape, std::span<query_group const> groups)
        : ratio_(shape.heads / shape.kv_heads), kv_heads_(shape.kv_heads), groups_(groups) {}

    [[nodiscard]] std::size_t count() const {
        std::size_t n = 0;
        for (query_group const& g : groups_) n += of(g);
        return n;
    }
    [[nodiscard]] item operator[](std::size_t i) const {
        std::size_t g = 0;
        for (; i >= of(groups_[g]); ++g) i -= of(groups_[g]);
        std::size_t const queries = groups_[g].rows * ratio_, blocks = ceil_div(queries, item_queries);
        std::size_t const first = i % blocks * item_queries;
        return {&groups_[g], i / blocks, first, std::min(item_queries, queries - first), ratio_};
    }

  private:
    [[nodiscard]] std::size_t of(query_group const& g) const {
        return kv_heads_ * ceil_div(g.rows * ratio_, item_queries);
    }
    std::size_t ratio_, kv_heads_;
    std::span<query_group const> groups_;
};

/// All keys of one item.
inline void whole(kernel_table const& t, float const* q, attention_shape const& shape, item const& it, float* y) {
    worker const w(t, shape, it);
    std::size_t const lanes = w.lanes(), dim = shape.head_dim, size = sums::floats(lanes, dim);
    float* const queries = scratch<0>(lanes * dim + w.scratch_floats() + 2 * size);
    float* const work = queries + lanes * dim;
    sums const total = sums::at(work + w.scratch_floats(), lanes);
    sums const next = sums::at(total.largest + size, lanes);
    w.read(q, queries);
    w.section(0, queries, work, total);
    for (std::size_t s = 1; s < w.sections(); ++s) {
        w.section(s, queries, work, next);
        w.merge(total, next);
    }
    w.write(total, y);
}

/// For few queries and many keys: the threads share the sections of an item, which are merged in their order
/// afterwards.
inline void split(thread_pool& pool, kernel_table const& t, float const* q, attention_shape const& shape,
                  items const& all, std::size_t sections, float* y) {
    std::size_t const dim = shape.head_dim, count = all.count();
    std::size_t const size = sums::floats(item_queries, dim);
    auto const memory = pool.lend(count * sections * size * sizeof(float));
    auto* const parts = reinterpret_cast<float*>(memory.data());
    pool.run(count * sections, [&](std::size_t i) {
        worker const w(t, shape, all[i / sections]);
        std::size_t const lanes = w.lanes();
        if (i % sections >= w.sections() && i % sections > 0) return;
        float* const queries = scratch<0>(lanes * dim + w.scratch_floats());
        w.read(q, queries);
        w.section(i % sections, queries, queries + lanes * dim, sums::at(parts + i * size, lanes));
    });
    pool.run(count, [&](std::size_t i) {
        worker const w(t, shape, all[i]);
        std::size_t const lanes = w.lanes();
        sums const total = sums::at(parts + i * sections * size, lanes);
        for (std::size_t s = 1; s < w.sections(); ++s)
            w.merge(total, sums::at(parts + (i * sections + s) * size, lanes));
        w.write(total, y);
    });
}

inline void attend(thread_pool& pool, kernel_table const& t, float const* q, attention_shape const& shape,
                   std::span<query_group const> groups, float* y) {
    items const all(shape, groups);
    std::size_t const count = all.count();
    std::size_t sections = 0;
    if (count < 4 * pool.threads()) // whether items are split changes no bits, so it may depend on the threads
        for (std::size_t i = 0; i < count; ++i) sections = std::max(sections, worker(t, shape, all[i]).sections());
    constexpr std::size_t most_floats = std::size_t{1} << 23;
    if (sections > 1 && count * sections * sums::floats(item_queries, shape.head_dim) <= most_floats)
        split(pool, t, q, shape, all, sections, y);
    else
        pool.run(count, [&](std::size_t i) { whole(t, q, shape, all[i], y); });
}

} // namespace llamavision::LLAMAVISION_ARCH::flash
