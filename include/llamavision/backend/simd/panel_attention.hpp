// SPDX-License-Identifier: Apache-2.0
// Flash attention in bfloat16, from the kernels of the products: scores of up to 128 queries and 512 keys, a softmax of
// each row to the base 2, and its product with the values, summed in float over pieces of keys (Dao et al. 2022).
//
// Rounded to bf16: queries (times log2 e / sqrt(head_dim)), keys, values, and the weights 2^(s - largest) after their
// sum was taken. A query's pieces begin at its blocks' first keys, so its bits do not depend on the other queries.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <limits>
#include <span>

#include <llamavision/backend/attention.hpp>
#include <llamavision/backend/simd/attention.hpp>
#include <llamavision/backend/simd/kept_keys.hpp>
#include <llamavision/backend/simd/scratch.hpp>
#include <llamavision/support/thread_pool.hpp>

namespace llamavision::panels {

/// 128 × 512 scores are 256 KB, their weights 128 KB: both stay in a second-level cache.
inline constexpr std::size_t attention_keys = 512, attention_queries = flash::item_queries;
/// Scores of a row, and a line more: rows a power of two apart would evict each other from a cache.
inline constexpr std::size_t score_stride = attention_keys + 16;

/// The panels of a group's blocks: where they were kept, or where they are laid out for this call.
struct panel_block {
    bf16 const* keys;
    bf16 const* values;
    std::size_t capacity;
};

/// One item of queries, from its first key to its last.
class attending {
  public:
    attending(panel_table const& t, attention_shape const& shape, flash::item const& it, panel_block const* blocks)
        : t_(t), shape_(shape), it_(it), blocks_(blocks), height_(height_of(it.count)),
          rows_(ceiling(it.count, height_) * height_), width_(ceiling(shape.head_dim, side) * side),
          element_(t.wide ? 4 : 2) {}

    void run(float const* q, float* y) {
        std::size_t const dim = shape_.head_dim, q_bytes = rows_ * steps_of(dim) * step * element_;
        std::size_t const p_bytes = rows_ * attention_keys * element_;
        std::size_t const floats = rows_ * score_stride + rows_ * width_ + 2 * rows_;
        scores_ = scratch<5>(floats + (q_bytes + p_bytes) / sizeof(float));
        o_ = scores_ + rows_ * score_stride;
        largest_ = o_ + rows_ * width_;
        total_ = largest_ + rows_;
        queries_ = reinterpret_cast<std::byte*>(scores_ + floats);
        weights_ = queries_ + q_bytes;
        std::memset(weights_, 0, p_bytes); // rows that no query fills stay zero
        std::fill_n(o_, rows_ * width_, 0.0f);
        std::fill_n(largest_, rows_, -std::numeric_limits<float>::infinity());
        std::fill_n(total_, rows_, 0.0f);
        read(q);
        for (std::size_t b = 0; b < it_.group->blocks.size(); ++b) {
            std::size_t const seen = it_.seen(b, it_.row(it_.count - 1));
            for (std::size_t k = 0; k < seen; k += attention_keys) piece(b, k, std::min(attention_keys, seen - k));
        }
        for (std::size_t i = 0; i < it_.count; ++i)
            for (std::size_t d = 0; d < dim; ++d)
                y[offset(i) + d] = total_[i] == 0.0f ? 0.0f : o_[i * width_ + d] / total_[i];
    }

  private:
    [[nodiscard]] std::size_t offset(std::size_t i) const {
        return ((it_.group->first + it_.row(i)) * shape_.heads + it_.head(i)) * shape_.head_dim;
    }

    void read(float const* q) {
        std::size_t const dim = shape_.head_dim; // the scores' memory holds the queries side by side
        for (std::size_t i = 0; i < it_.count; ++i) std::copy_n(q + offset(i), dim, scores_ + i * dim);
        float const scale = 1.44269504f / std::sqrt(static_cast<float>(dim));
        t_.round(scores_, dim, it_.count, dim, height_, scale, queries_);
    }

    /// Keys and values are read for several blocks of queries, or straight on: nothing is asked for ahead of them.
    static upcoming::lines near(bf16 const* panels) { return {reinterpret_cast<std::byte const*>(panels), 0, 0}; }

    /// Takes keys k … k + count - 1 of block b into largest, total and o.
    void piece(std::size_t b, std::size_t k, std::size_t count) {
        panel_block const& kept = blocks_[b];
        kept_layout const layout(shape_, kept.capacity);
        key_block const& block = it_.group->blocks[b];
        std::size_t const steps = steps_of(count), filled = steps * step, blocks = rows_ / height_;
        bf16 const* const keys = kept.keys + it_.kv_head * layout.keys_of_head() + k / side * layout.key_panel();
        t_.multiply(queries_, height_ * layout.key_steps() * step * element_, height_, blocks, keys,
                    layout.key_panel() * sizeof(bf16), ceiling(count, side), layout.key_steps(), scores_, score_stride,
                    false, {near(keys), {}, (layout.key_steps() * step - shape_.head_dim) / 2});
        for (std::size_t i = 0; i < it_.count; ++i) {
            std::size_t const seen = std::clamp(it_.seen(b, it_.row(i)), k, k + count) - k;
            std::size_t const at = i / height_ * height_ * filled + i % height_ * step;
            float const keep = t_.softmax(scores_ + i * score_stride, block.bias ? block.bias + k : nullptr, seen,
                                          filled, largest_[i], total_[i], height_, weights_ + at * element_);
            if (keep != 1.0f) t_.scale(o_ + i * width_, keep, width_);
        }
        bf16 const* const values = kept.values + it_.kv_head * layout.values_of_head() + k / step * step * side;
        t_.multiply(weights_, height_ * filled * element_, height_, blocks, values, layout.value_panel() * sizeof(bf16),
                    layout.value_panels(), steps, o_, width_, true, {near(values), {}, 0});
    }

    panel_table const& t_;
    attention_shape const& shape_;
    flash::item it_;
    panel_block const* blocks_;
    std::size_t height_, rows_, width_, element_;
    float *scores_ = nullptr, *o_ = nullptr, *largest_ = nullptr, *total_ = nullptr;
    std::byte *queries_ = nullptr, *weights_ = nullptr;
};

/// Keeps rows of keys and values (count, kv_heads, head_dim) at `first` of a block of that capacity.
inline void keep(thread_pool& pool, panel_table const& t, attention_shape const& shape, float const* keys,
                 float const* values, std::size_t first, std::size_t count, std::size_t capacity, bf16* to_keys,
                 bf16* to_values) {
    if (count == 0) return; // and there need be no arrays
    kept_layout const layout(shape, capacity);
    std::size_t const chunk = 8 * step, lead = step - first % step; // a step's rows belong to one thread
    std::size_t const chunks = 1 + (count > lead ? ceiling(count - lead, chunk) : 0);
    pool.run(shape.kv_heads * chunks, [&](std::size_t i) {
        std::size_t const head = i / chunks, part = i % chunks;
        std::size_t const from = part == 0 ? 0 : lead + (part - 1) * chunk;
        std::size_t const to = std::min(count, part == 0 ? lead : from + chunk);
        std::size_t const stride = shape.kv_heads * shape.head_dim, at = from * stride + head * shape.head_dim;
        layout.keep(t, keys + at, values + at, stride, first + from, to - from, head, to_keys, to_values);
    });
}

inline void attend(thread_pool& pool, panel_table const& t, float const* q, attention_shape const& shape,
                   std::span<query_group const> groups, float* y) {
    std::size_t floats = 0, count = 0;
    for (query_group const& g : groups)
        for (key_block const& b : g.blocks) {
            ++count;
            if (b.capacity == 0) floats += kept_layout(shape, b.rows).size();
        }
    // [panel_block of every block][keys and values of those that come as floats]
    std::size_t const lists = ceiling(count * sizeof(panel_block), 64) * 64;
    std::byte* const memory = scratch_bytes<4>(lists + floats * 2 * sizeof(bf16));
    auto* const blocks = reinterpret_cast<panel_block*>(memory);
    auto* room = reinterpret_cast<bf16*>(memory + lists);
    std::size_t i = 0;
    for (query_group const& g : groups)
        for (key_block const& b : g.blocks) {
            panel_block& p = blocks[i++];
            if (b.capacity != 0)
                p = {static_cast<bf16 const*>(static_cast<void const*>(b.keys)),
                     static_cast<bf16 const*>(static_cast<void const*>(b.values)), b.capacity};
            else {
                std::size_t const size = kept_layout(shape, b.rows).size();
                p = {room, room + size, b.rows};
                keep(pool, t, shape, b.keys, b.values, 0, b.rows, b.rows, room, room + size);
                room += 2 * size;
            }
        }
    flash::items const all(shape, groups);
    pool.run(all.count(), [&](std::size_t n) {
        flash::item const it = all[n];
        std::size_t before = 0;
        for (query_group const* g = groups.data(); g != it.group; ++g) before += g->blocks.size();
        attending(t, shape, it, blocks + before).run(q, y);
    });
}

} // namespace llamavision::panels
