// SPDX-License-Identifier: Apache-2.0
// Flash attention in bfloat16 (Dao et al. 2022), made of the kernels of products: the scores of some queries with 288
// keys, a softmax of each row to the base 2, and its product with the values; sums in float over all pieces of keys.
//
// Rounded to bf16: queries (times log2 e / sqrt(head_dim)), keys, values, and the probabilities 2^(s - shift), after
// their sum was taken in float. bf16 has the exponents of float, so the shift need not be the largest score: any shift
// gives the same digits, as long as nothing leaves the range. It is the largest score of a query's first piece, and is
// set again only if sums reach 2⁴⁰; so the other pieces are not searched for their maximum.
// A query's pieces begin at the first keys of its blocks, so its bits do not depend on the other queries.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <limits>
#include <numeric>
#include <span>

#include <llamavision/backend/attention.hpp>
#include <llamavision/backend/simd/arch/arch.hpp>
#include <llamavision/backend/simd/arch/compiler.hpp>
#include <llamavision/backend/simd/kernels/attention.hpp>
#include <llamavision/backend/simd/kernels/scratch.hpp>
#include <llamavision/backend/simd/panels/kept_keys.hpp>
#include <llamavision/support/ceil_div.hpp>
#include <llamavision/support/thread_pool.hpp>

namespace llamavision::inline LLAMAVISION_ARCH::panels {

/// Keys of a piece. 288 keys and values of 80 to 128 channels (100 to 150 KB) stay in a second-level cache for all
/// queries of an item; the scores of 16 queries (18 KB) and their probabilities (9 KB) stay in a first-level cache. 288
/// are whole groups of two panels, and of three.
inline constexpr std::size_t attention_keys = 9 * step;
/// From one row of scores to the next: a cache line more than a row, because rows a power of two apart would evict each
/// other from a cache.
inline constexpr std::size_t score_stride = attention_keys + 16;

/// The panels of one block of keys: where the cache has them, or where they are made for this call.
struct panel_block {
    bf16 const* keys;
    bf16 const* values;
    std::size_t capacity;
};

/// Attention of one item of queries, from its first key to its last.
class attending {
  public:
    attending(panel_table const& t, attention_shape const& shape, flash::item const& it, panel_block const* blocks)
        : t_(t), shape_(shape), it_(it), blocks_(blocks), height_(height_of(it.count)),
          rows_(round_up(it.count, height_)), width_(round_up(shape.head_dim, side)), element_(t.wide ? 4 : 2) {}

    void run(float const* q, float* y, bool non_temporal) {
        std::size_t const dim = shape_.head_dim, q_bytes = rows_ * steps_of(dim) * step * element_;
        std::size_t const together = std::min(rows_, t_.together * height_),
                          p_bytes = together * attention_keys * element_;
        std::size_t const scores = std::max(together * score_stride, rows_ * dim); // or the queries side by side
        std::size_t const floats = scores + rows_ * width_ + rows_ * (side + 1);
        scores_ = scratch<5>(floats + (q_bytes + p_bytes) / sizeof(float));
        o_ = scores_ + scores;
        total_ = o_ + rows_ * width_;
        shift_ = total_ + rows_ * side;
        queries_ = reinterpret_cast<std::byte*>(scores_ + floats);
        weights_ = queries_ + q_bytes;
        std::memset(weights_, 0, p_bytes); // rows that no query fills stay zero
        std::fill_n(o_, rows_ * width_, 0.0f);
        std::fill_n(total_, rows_ * side, 0.0f);
        std::fill_n(shift_, rows_, std::numeric_limits<float>::lowest());
        read(q);
        for (std::size_t b = 0; b < it_.group->blocks.size(); ++b) {
            std::size_t const seen = it_.seen(b, it_.row(it_.count - 1));
            for (std::size_t k = 0; k < seen; k += attention_keys) piece(b, k, std::min(attention_keys, seen - k));
        }
        for (std::size_t i = 0; i < it_.count; ++i) {
            float const total = std::accumulate(total_ + i * side, total_ + (i + 1) * side, 0.0f);
            t_.scale(o_ + i * width_, total == 0.0f ? 0.0f : 1.0f / total, width_);
            finished_tile row;
            row.count = dim;
            row.first.c = o_ + i * width_;
            row.y = y + offset(i);
            row.non_temporal = non_temporal;
            t_.put(row);
        }
        if (non_temporal) fence_non_temporal_stores();
    }

  private:
    [[nodiscard]] std::size_t offset(std::size_t i) const {
        return ((it_.group->first + it_.row(i)) * shape_.heads + it_.head(i)) * shape_.head_dim;
    }

    void read(float const* q) {
        std::size_t const dim = shape_.head_dim;
        for (std::size_t i = 0; i < it_.count; ++i) std::copy_n(q + offset(i), dim, scores_ + i * dim);
        float const scale = 1.44269504f / std::sqrt(static_cast<float>(dim));
        t_.round(scores_, dim, it_.count, dim, height_, scale, queries_);
    }

    /// What a block of queries prefetches: its share of the panels of the next piece. A single block reads on in the
    /// order of memory, and needs no help.
    [[nodiscard]] prefetch::lines next(bf16 const* panels, std::size_t steps, std::size_t block) const {
        if (rows_ == height_) return {};
        prefetch::lines const all{reinterpret_cast<std::byte const*>(panels), steps * side};
        return all.share(block / t_.together, ceil_div(all.count, ceil_div(rows_ / height_, t_.together)));
    }

    /// Adds keys k … k + count - 1 of block b to total and o, for a few blocks of queries at a time.
    void piece(std::size_t b, std::size_t k, std::size_t count) {
        panel_block const& kept = blocks_[b];
        kept_layout const layout(shape_, kept.capacity);
        float const* const bias = it_.group->blocks[b].bias;
        std::size_t const key_steps = layout.key_steps(), steps = steps_of(count), filled = steps * step;
        std::size_t const q_block = height_ * key_steps * step * element_, p_block = height_ * filled * element_;
        bf16 const* const keys = kept.keys + it_.kv_head * layout.keys_of_head() + k / side * layout.key_panel();
        bf16 const* const values = kept.values + it_.kv_head * layout.values_of_head() + k / step * step * side;
        for (std::size_t block = 0; block < rows_ / height_; block += t_.together) {
            std::size_t const blocks = std::min(t_.together, rows_ / height_ - block), first = block * height_;
            t_.multiply(queries_ + block * q_block, q_block, height_, blocks, keys, layout.key_panel() * sizeof(bf16),
                        ceil_div(count, side), key_steps, scores_, score_stride, false,
                        {next(keys + attention_keys / side * layout.key_panel(), key_steps, block),
                         {},
                         (key_steps * step - shape_.head_dim) / 2});
            for (std::size_t i = first; i < std::min(first + blocks * height_, it_.count); ++i) {
                std::size_t const seen = std::clamp(it_.seen(b, it_.row(i)), k, k + count) - k;
                std::size_t const at = (i - first) / height_ * height_ * filled + i % height_ * step;
                float const keep = t_.softmax(scores_ + (i - first) * score_stride, bias ? bias + k : nullptr, seen,
                                              filled, shift_[i], total_ + i * side, height_, weights_ + at * element_);
                if (keep != 1.0f) t_.scale(o_ + i * width_, keep, width_);
            }
            t_.multiply(weights_, p_block, height_, blocks, values, layout.value_panel() * sizeof(bf16),
                        layout.value_panels(), steps, o_ + first * width_, width_, true,
                        {next(values + steps * step * side, steps, block), {}, 0});
        }
    }

    panel_table const& t_;
    attention_shape const& shape_;
    flash::item it_;
    panel_block const* blocks_;
    std::size_t height_, rows_, width_, element_;
    float *scores_ = nullptr, *o_ = nullptr, *total_ = nullptr, *shift_ = nullptr;
    std::byte *queries_ = nullptr, *weights_ = nullptr;
};

/// Writes rows of keys and values (count, kv_heads, head_dim) as panels, at row `first` of a block of that capacity.
inline void keep(thread_pool& pool, panel_table const& t, attention_shape const& shape, float const* keys,
                 float const* values, std::size_t first, std::size_t count, std::size_t capacity, bf16* to_keys,
                 bf16* to_values) {
    if (count == 0) return; // the pointers may be null
    kept_layout const layout(shape, capacity);
    // One thread takes all heads of a step's rows, so that memory is read in its order.
    std::size_t const lead = step - first % step, chunks = 1 + (count > lead ? ceil_div(count - lead, step) : 0);
    std::size_t const stride = shape.kv_heads * shape.head_dim;
    pool.run(chunks, [&](std::size_t part) {
        std::size_t const from = part == 0 ? 0 : lead + (part - 1) * step;
        std::size_t const to = std::min(count, part == 0 ? lead : from + step);
        for (std::size_t head = 0; head < shape.kv_heads; ++head) {
            std::size_t const at = from * stride + head * shape.head_dim;
            layout.keep(t, keys + at, values + at, stride, first + from, to - from, head, to_keys, to_values);
        }
    });
}

/// The index of the first of all groups' blocks that has the same keys and values in float. (The groups of a picture's
/// tiles see the same rows.)
inline std::size_t first_place(std::span<query_group const> groups, key_block const& block) {
    std::size_t i = 0;
    for (query_group const& g : groups)
        for (key_block const& b : g.blocks) {
            if (b.keys == block.keys && b.values == block.values && b.rows == block.rows && b.capacity == 0) return i;
            ++i;
        }
    return i;
}

inline void attend(thread_pool& pool, panel_table const& t, float const* q, attention_shape const& shape,
                   std::span<query_group const> groups, float* y) {
    std::size_t floats = 0, count = 0;
    for (query_group const& g : groups)
        for (key_block const& b : g.blocks) {
            if (b.capacity == 0 && first_place(groups, b) == count) floats += kept_layout(shape, b.rows).size();
            ++count;
        }
    // [a panel_block for every block][panels of keys and values that are in float, each once]
    std::size_t const lists = round_up(count * sizeof(panel_block), 64);
    auto const borrowed = pool.lend(lists + floats * 2 * sizeof(bf16));
    std::byte* const memory = borrowed.data();
    auto* const blocks = reinterpret_cast<panel_block*>(memory);
    auto* buffer = reinterpret_cast<bf16*>(memory + lists);
    std::size_t i = 0;
    for (query_group const& g : groups)
        for (key_block const& b : g.blocks) {
            panel_block& p = blocks[i];
            if (b.capacity != 0)
                p = {static_cast<bf16 const*>(static_cast<void const*>(b.keys)),
                     static_cast<bf16 const*>(static_cast<void const*>(b.values)), b.capacity};
            else if (std::size_t const first = first_place(groups, b); first < i)
                p = blocks[first];
            else {
                std::size_t const size = kept_layout(shape, b.rows).size();
                p = {buffer, buffer + size, b.rows};
                keep(pool, t, shape, b.keys, b.values, 0, b.rows, b.rows, buffer, buffer + size);
                buffer += 2 * size;
            }
            ++i;
        }
    flash::items const all(shape, groups);
    std::size_t rows = 0;
    for (query_group const& g : groups) rows += g.rows;
    bool const non_temporal = rows * shape.heads * shape.head_dim * sizeof(float) > large;
    pool.run(all.count(), [&](std::size_t n) {
        flash::item const it = all[n];
        std::size_t before = 0;
        for (query_group const* g = groups.data(); g != it.group; ++g) before += g->blocks.size();
        attending(t, shape, it, blocks + before).run(q, y, non_temporal);
    });
}

} // namespace llamavision::LLAMAVISION_ARCH::panels
