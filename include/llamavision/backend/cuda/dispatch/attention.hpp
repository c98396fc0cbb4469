// SPDX-License-Identifier: Apache-2.0
// How attention is computed on a device: by tensor cores, if there are enough rows and keys may be rounded; otherwise
// in float, in tiles of many rows or row by row.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>

#include <llamavision/backend/attention.hpp>
#include <llamavision/backend/cuda/dispatch/launches.hpp>
#include <llamavision/backend/cuda/kernels/attention.hpp>
#include <llamavision/backend/cuda/kernels/elementwise.hpp>
#include <llamavision/backend/cuda/kernels/flash.hpp>
#include <llamavision/backend/cuda/kernels/tiles.hpp>
#include <llamavision/support/ceil_div.hpp>
#include <llamavision/support/error.hpp>

namespace llamavision::gpu {

template <class Device>
class attention_dispatch {
  public:
    attention_dispatch(Device const& device, attention_shape const& shape, float const* q, float* y)
        : device_(device), shape_(shape), room_(device.workspace()) {
        if (shape.head_dim > 256)
            throw argument_error("attention of heads of " + std::to_string(shape.head_dim)
                                 + " values: the cuda backend takes 256 at most");
        task_.q = q;
        task_.y = y;
        task_.heads = narrow(shape.heads);
        task_.kv_heads = narrow(shape.kv_heads);
        task_.head_dim = narrow(shape.head_dim);
        task_.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(shape.head_dim)));
        task_.positions = device.positions();
    }

    void attend(std::span<query_group const> groups) {
        bool kept = false, floats = false;
        std::size_t most = 0;
        for (query_group const& g : groups) {
            most = std::max(most, g.rows);
            for (key_block const& b : g.blocks) (b.capacity > 0 ? kept : floats) |= b.rows > 0;
        }
        if (kept && floats) // not used: a model keeps either all of its keys or none
            throw argument_error("attention to keys in two forms at once");
        bool const heads_fit = shape_.head_dim == 80 || shape_.head_dim == 128;
        bool const many = most * (shape_.heads / shape_.kv_heads) >= 16;
        cores const with = device_.tensor_cores();
        if (heads_fit && many && with != cores::none && (kept || shape_.rounded))
            if (with == cores::bf16 ? on_cores<bf16>(groups) : on_cores<f16>(groups)) return;
        auto const as_they_are = [](key_block const& b) { return seen_keys{b.keys, b.values}; };
        if (kept && with == cores::bf16)
            in_float<bf16>(groups, as_they_are, many);
        else if (kept)
            in_float<f16>(groups, as_they_are, many);
        else
            in_float<float>(groups, as_they_are, many);
    }

  private:
    static std::uint32_t narrow(std::size_t n) {
        if (n > std::numeric_limits<std::uint32_t>::max()) throw argument_error("attention to more than 2^32 rows");
        return static_cast<std::uint32_t>(n);
    }

    /// Returns false, and does nothing, if keys must be rounded first and the workspace has no room for them.
    template <class Key>
    bool on_cores(std::span<query_group const> groups) {
        std::size_t const width = shape_.kv_heads * shape_.head_dim;
        rounded_keys<Key> view(groups, width);
        if (!view.fit(room_.size() / 2)) return false;
        view.make(room_.data(),
                  [&](float const* keys, float const* values, std::size_t rows, Key* to_keys, Key* to_values) {
                      keep_values<Key> const kernel{
                          {rows * width}, keys, values, width, nullptr, 1, {{0, 0, to_keys, to_values}}};
                      device_.launch(kernel, kernel.blocks());
                  });
        room_ = room_.subspan(view.bytes());
        if (shape_.head_dim == 80)
            in_tiles<flash_attend<Key, 80, 2>>(groups, view);
        else
            in_tiles<flash_attend<Key, 128, 1>>(groups, view);
        return true;
    }

    template <class Key, class View>
    void in_float(std::span<query_group const> groups, View const& view, bool many) {
        if (shape_.head_dim > 128)
            in_rows<attend_rows<Key, 1, 8>>(groups, view);
        else if (many && shape_.head_dim <= 80)
            in_tiles<attend_tiles<Key, 20>>(groups, view);
        else if (many)
            in_tiles<attend_tiles<Key, 32>>(groups, view);
        else if (shape_.heads > shape_.kv_heads)
            in_rows<attend_rows<Key, 4, 4>>(groups, view);
        else
            in_rows<attend_rows<Key, 1, 4>>(groups, view);
    }

    template <class Kernel, class View>
    void in_rows(std::span<query_group const> groups, View const& view) {
        all_groups(
            groups, view, [](std::uint32_t rows) { return rows; },
            [&](std::uint32_t tiles, std::uint32_t parts) {
                Kernel const kernel{task_};
                device_.launch(kernel, {tiles, static_cast<std::size_t>(task_.kv_heads) * kernel.slices(), parts});
            });
    }
    template <class Kernel, class View>
    void in_tiles(std::span<query_group const> groups, View const& view) {
        std::uint32_t const each = task_.heads / task_.kv_heads;
        all_groups(
            groups, view, [&](std::uint32_t rows) { return query_tile::count(rows, each, Kernel::queries); },
            [&](std::uint32_t tiles, std::uint32_t parts) {
                device_.launch(Kernel{task_}, {tiles, task_.kv_heads, parts});
            });
    }

    /// Launches for all groups: in one launch as many as a task holds; a group of very many blocks has launches of its
    /// own.
    template <class View, class Tiles, class Launch>
    void all_groups(std::span<query_group const> const all, View const& view, Tiles const& tiles_of,
                    Launch const& launch_with) {
        for (std::span<query_group const> groups = all; !groups.empty();) {
            std::size_t const place = all.size() - groups.size();
            query_group const& front = groups.front();
            if (front.blocks.size() > attention_task::most_blocks) {
                long_group(front, place, view, tiles_of, launch_with);
                groups = groups.subspan(1);
                continue;
            }
            std::span<query_group const> const before = groups;
            std::uint32_t const tiles = take_groups(groups, place, task_, view, tiles_of);
            std::size_t keys = 0;
            for (query_group const& g : before.first(before.size() - groups.size()))
                keys = std::max(keys, keys_seen(g));
            if (tiles == 0) continue; // groups without rows
            task_.first_part = 0;
            task_.parts = task_.launched_parts = parts_of(tiles, keys);
            place_parts();
            launch_with(tiles, task_.parts);
            if (task_.parts > 1) device_.launch(merge_parts{task_}, {task_.slots, task_.heads});
        }
    }

    /// As many rows at a time as the workspace has room for their parts; each launch is one part.
    template <class View, class Tiles, class Launch>
    void long_group(query_group const& whole, std::size_t place, View const& view, Tiles const& tiles_of,
                    Launch const& launch_with) {
        constexpr std::size_t most = attention_task::most_blocks;
        std::uint32_t const launches = narrow(ceil_div(whole.blocks.size(), most));
        task_.slots = 1;
        std::size_t const rows = std::max<std::size_t>(room_.size() / (launches * result_bytes()), 1);
        for (std::size_t r = 0; r < whole.rows; r += rows) {
            query_group piece = whole;
            piece.first = whole.first + r;
            piece.rows = std::min(rows, whole.rows - r);
            for (std::uint32_t k = 0; k < launches; ++k) {
                piece.blocks = whole.blocks.subspan(k * most, std::min(most, whole.blocks.size() - k * most));
                piece.causal = whole.causal && k + 1 == launches;
                std::span<query_group const> one(&piece, 1);
                std::uint32_t const tiles = take_groups(one, place, task_, view, tiles_of);
                if (piece.causal) // the rows after these see more of the last block
                    task_.block[piece.blocks.size() - 1].rows -= narrow(whole.rows - r - piece.rows);
                task_.launched_parts = 1;
                task_.parts = launches;
                task_.first_part = k;
                place_parts();
                launch_with(tiles, 1);
            }
            device_.launch(merge_parts{task_}, {task_.slots, task_.heads});
        }
    }

    [[nodiscard]] std::size_t result_bytes() const {
        return static_cast<std::size_t>(task_.slots) * task_.heads * (task_.head_dim + 2) * sizeof(float);
    }
    [[nodiscard]] std::uint32_t parts_of(std::uint32_t tiles, std::size_t keys) const {
        // A recorded pass is played again when there are more keys.
        if (task_.positions) keys = std::max<std::size_t>(keys, 4096);
        return parts_for(static_cast<std::size_t>(tiles) * task_.kv_heads, device_.processors(), keys, 256,
                         room_.size() / result_bytes());
    }
    void place_parts() {
        if (task_.parts > 1 && task_.parts * result_bytes() > room_.size())
            throw argument_error("attention to " + std::to_string(task_.parts)
                                 + " lists of keys at once takes more than the cuda backend's workspace");
        task_.partial = reinterpret_cast<float*>(room_.data());
    }

    Device const& device_;
    attention_shape shape_;
    std::span<std::byte> room_;
    attention_task task_{};
};

} // namespace llamavision::gpu
