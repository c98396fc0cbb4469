// SPDX-License-Identifier: Apache-2.0
// How attention is divided into launches: which groups share a launch, and into how many parts their keys are split, so
// that all processors have work.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include <llamavision/backend/attention.hpp>
#include <llamavision/backend/cuda/kernels/attention.hpp>
#include <llamavision/support/ceil_div.hpp>

namespace llamavision::gpu {

/// Keys as a kernel reads them: floats, or 16 bits.
struct seen_keys {
    void const *keys, *values;
};

/// Fills a task with as many of the groups as it holds, and removes them from the list. Groups without rows are
/// skipped. A group of more blocks than a task holds is left in the list.
/// @param place index of the first of them among the groups of the call
/// @param view view(key_block) -> seen_keys: what a kernel reads of a block
/// @param tiles_of tiles_of(rows): how many tiles a group of so many rows has
/// @return how many tiles the task has
template <class View, class Tiles>
std::uint32_t take_groups(std::span<query_group const>& groups, std::size_t place, attention_task& task,
                          View const& view, Tiles const& tiles_of) {
    std::array<std::span<key_block const>, attention_task::most_groups> lists;
    std::size_t blocks = 0;
    std::uint32_t tiles = 0;
    task.groups = task.slots = 0;
    for (; !groups.empty() && task.groups < attention_task::most_groups; groups = groups.subspan(1), ++place) {
        query_group const& g = groups.front();
        if (g.rows == 0) continue;
        std::size_t begin = blocks;
        for (std::uint32_t k = 0; k < task.groups; ++k) // groups that see the same blocks share the list
            if (lists[k].data() == g.blocks.data() && lists[k].size() == g.blocks.size()) begin = task.group[k].begin;
        if (begin == blocks) {
            if (blocks + g.blocks.size() > attention_task::most_blocks) break;
            for (key_block const& b : g.blocks) {
                seen_keys const seen = view(b);
                task.block[blocks++] = {seen.keys, seen.values, b.bias, static_cast<std::uint32_t>(b.rows)};
            }
        }
        lists[task.groups] = g.blocks;
        task.group[task.groups++] = {static_cast<std::uint32_t>(g.first),
                                     static_cast<std::uint32_t>(g.rows),
                                     task.slots,
                                     tiles,
                                     static_cast<std::uint16_t>(begin),
                                     static_cast<std::uint16_t>(begin + g.blocks.size()),
                                     static_cast<std::uint16_t>(place),
                                     g.causal};
        task.slots += static_cast<std::uint32_t>(g.rows);
        tiles += tiles_of(static_cast<std::uint32_t>(g.rows));
    }
    return tiles;
}

/// The most keys that a row of any of the groups sees.
[[nodiscard]] inline std::size_t keys_seen(query_group const& g) {
    std::size_t sum = 0;
    for (key_block const& b : g.blocks) sum += b.rows;
    return sum;
}

/// Keys and values in float, rounded to 16 bits in the workspace, for tensor cores. A block that lies within an earlier
/// one (a tile of the tower lies within all rows) is not rounded again.
template <class Key>
class rounded_keys {
  public:
    /// @param width values in a row of keys
    rounded_keys(std::span<query_group const> groups, std::size_t width) : width_(width) {
        for (query_group const& g : groups)
            for (key_block const& b : g.blocks)
                if (b.capacity == 0 && b.rows > 0 && !find(b)) {
                    if (count_ < ranges_.size()) ranges_[count_] = {b.keys, b.values, b.rows, rows_};
                    ++count_;
                    rows_ += b.rows;
                }
    }
    /// Whether the rounded rows fit into that many bytes.
    [[nodiscard]] bool fit(std::size_t bytes) const {
        return count_ <= ranges_.size() && 2 * rows_ * width_ * sizeof(Key) <= bytes;
    }
    [[nodiscard]] std::size_t bytes() const { return round_up(2 * rows_ * width_ * sizeof(Key), 256); }

    /// Calls round(keys, values, rows, to_keys, to_values) for each range of rows.
    template <class Round>
    void make(std::byte* workspace, Round const& round) {
        keys_ = reinterpret_cast<Key*>(workspace);
        for (std::size_t k = 0; k < count_; ++k) {
            range const& r = ranges_[k];
            round(r.keys, r.values, r.rows, keys_ + r.first * width_, keys_ + (rows_ + r.first) * width_);
        }
    }
    /// What a kernel reads of a block.
    [[nodiscard]] seen_keys operator()(key_block const& b) const {
        if (b.capacity > 0) return {b.keys, b.values};
        range const* const r = find(b);
        if (!r) return {nullptr, nullptr}; // no rows
        std::size_t const at = r->first * width_ + static_cast<std::size_t>(b.keys - r->keys);
        return {keys_ + at, keys_ + rows_ * width_ + at};
    }

  private:
    struct range {
        float const *keys, *values;
        std::size_t rows, first; ///< index of the first among the rounded rows
    };

    [[nodiscard]] range const* find(key_block const& b) const {
        for (std::size_t k = 0; k < std::min(count_, ranges_.size()); ++k) {
            range const& r = ranges_[k];
            std::less_equal<float const*> const upto;
            if (upto(r.keys, b.keys) && upto(b.keys + b.rows * width_, r.keys + r.rows * width_)
                && b.values - r.values == b.keys - r.keys)
                return &r;
        }
        return nullptr;
    }

    std::array<range, 32> ranges_{};
    std::size_t count_ = 0, rows_ = 0, width_;
    Key* keys_ = nullptr;
};

} // namespace llamavision::gpu
