// SPDX-License-Identifier: Apache-2.0
// Products on panels: x is rounded to blocks once, then the threads share the parts of the output. A part is some
// blocks of x times a few panels of w. It is computed in pieces of k, so that its panels stay in a second-level cache
// while all its blocks use them.
//
// One thread sums an output, in the order of k, so its bits depend only on its row of x, its row of w and the tier.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>

#include <llamavision/backend/products.hpp>
#include <llamavision/backend/simd/arch/arch.hpp>
#include <llamavision/backend/simd/arch/compiler.hpp>
#include <llamavision/backend/simd/arch/targets.hpp>
#include <llamavision/backend/simd/kernels/scratch.hpp>
#include <llamavision/backend/simd/panels/panels.hpp>
#include <llamavision/support/ceil_div.hpp>
#include <llamavision/support/thread_pool.hpp>
#include <llamavision/weights/matrix.hpp>

namespace llamavision::inline LLAMAVISION_ARCH::panels {

/// What is made of a product (`finish`), and where it goes.
struct epilogue {
    finish what = finish::plain;
    float const* bias = nullptr;
    float scale = 1.0f;
    float* y = nullptr; ///< (rows, w.rows)
};

/// One of several products of the same rows.
struct product {
    matrix const* w;
    matrix const* second; ///< the other weight of `finish::gated`, else null
    epilogue e;
};

/// Returns where rows of x lie, or norms them into `buffer` (`norms::read`).
using reader = float const* (*)(normed const& x, std::size_t width, std::size_t first, std::size_t count,
                                float* buffer);

/// Rows of x as blocks of bf16 or of integers.
class rounded_rows {
  public:
    /// Rounds `rows` of x, from row `begin` on.
    rounded_rows(thread_pool& pool, panel_table const& t, bool integers, normed const& x, reader read,
                 std::size_t begin, std::size_t rows, std::size_t columns)
        : height_(height_of(rows)), steps_(ceil_div(columns, integers ? i8_step : step)),
          block_(steps_ * 64 * height_ * (t.wide && !integers ? 2 : 1)), blocks_(ceil_div(rows, height_)),
          memory_(pool.lend(blocks_ * (block_ + height_ * sizeof(float)))), data_(memory_.data()),
          scales_(reinterpret_cast<float*>(data_ + blocks_ * block_)) {
        pool.run(blocks_, [&](std::size_t b) {
            std::size_t const first = b * height_, count = std::min(height_, rows - first);
            float const* const from =
                read(x, columns, begin + first, count, x.weight ? scratch<6>(count * columns) : nullptr);
            if (integers)
                t.quantise(from, columns, count, columns, height_, data_ + b * block_, scales_ + first);
            else
                t.round(from, columns, count, columns, height_, 1.0f, data_ + b * block_);
        });
    }
    [[nodiscard]] std::size_t steps() const { return steps_; }
    /// Of integers, one for each row.
    [[nodiscard]] float const* scales() const { return scales_; }
    [[nodiscard]] std::size_t height() const { return height_; }
    [[nodiscard]] std::size_t block() const { return block_; }
    [[nodiscard]] std::size_t blocks() const { return blocks_; }
    [[nodiscard]] std::byte const* at(std::size_t b) const { return data_ + b * block_; }

  private:
    std::size_t height_, steps_, block_, blocks_;
    memory_lender::lent memory_;
    std::byte* data_;
    float* scales_;
};

/// Panels of one part, in whole groups. With few rows, a quarter of a megabyte of w; with many, as many as fit into a
/// cache with x and the sums, since x is read once for all of them. Fewer if threads would have nothing to do.
inline std::size_t panels_at_once(panel_table const& t, rounded_rows const& x, std::size_t count, std::size_t threads) {
    std::size_t const group_bytes = std::max<std::size_t>(1, x.steps()) * tile * t.group;
    std::size_t groups = x.blocks() <= 2 ? (std::size_t{1} << 18) / group_bytes : t.most_panels / t.group;
    groups = std::clamp<std::size_t>(groups, 1, t.most_panels / t.group);
    std::size_t const high = ceil_div(x.blocks(), t.most_blocks);
    while (groups > 1 && high * ceil_div(count, groups * t.group) < 6 * threads) groups = (groups + 1) / 2;
    return groups * t.group;
}

/// Some blocks of x times some panels of a weight, or of two. k is cut into pieces. Between pieces a tile of sums stays
/// in memory; after the last piece it becomes outputs at once, while it is in a first-level cache.
class part {
  public:
    /// @param second the other weight of `finish::gated`, else null
    /// @param rows of x in all
    part(panel_table const& t, rounded_rows const& x, std::size_t rows, matrix const& w, matrix const* second,
         epilogue const& e, std::size_t threads)
        : t_(t), x_(x), rows_(rows), weights_{&w, second}, e_(e), integers_(w.layout == &i8_panels),
          bytes_(x.steps() * tile), threads_(threads),
          non_temporal_(rows * w.rows * sizeof(float) > large && e.what != finish::added) {}

    void run(std::size_t block, std::size_t blocks, std::size_t panel, std::size_t panels) const {
        std::size_t const steps = x_.steps(), height = x_.height();
        // With few rows, w is read once, in its order; with many, in pieces.
        std::size_t const pieces = blocks <= 2 ? 1 : std::max<std::size_t>(1, ceil_div(steps, t_.most_steps));
        std::size_t const piece = ceil_div(steps, pieces), together = std::min(blocks, t_.together);
        // Sums are (panel groups, blocks, group · 16) for each weight; with one piece, a single tile is used again.
        std::size_t const stride = t_.group * side, of_tile = together * height * stride;
        std::size_t const groups = ceil_div(panels, t_.group), heaps = ceil_div(blocks, together);
        std::size_t const lines = piece * side, rows_each = ceil_div(lines, groups),
                          panels_each = ceil_div(lines, heaps);
        float* const sums = scratch<3>(2 * (pieces == 1 ? 1 : groups * heaps) * of_tile);
        for (std::size_t s = 0; s < pieces; ++s) {
            span const k{s * piece, std::min(piece, steps - s * piece)};
            bool const last = s + 1 == pieces;
            float* c = sums;
            for (std::size_t g = 0; g < groups; ++g) {
                std::size_t const p = g * t_.group;
                span const across{panel + p, std::min(t_.group, panels - p)};
                // To prefetch: the next group of panels; after the last, the next piece; after that, a part that this
                // thread may get.
                std::size_t beside = panel + p + t_.group, below = k.first;
                if (g + 1 == groups) {
                    below = last ? 0 : k.first + piece;
                    beside = last ? panel + panels * threads_ : panel;
                }
                for (std::size_t h = 0; h < heaps; ++h) {
                    std::size_t const b = h * together;
                    span const down{block + b, std::min(together, blocks - b)};
                    if (last && e_.what == finish::added) prefetch_outputs(down, across);
                    prefetch next;
                    if (blocks > 2 && !last)
                        next.rows = prefetch::lines{x_.at(down.first) + (k.first + piece) * row_step(), lines}.share(
                            g, rows_each);
                    for (std::size_t w = 0; w < 2 && weights_[w]; ++w) {
                        auto const* const first = static_cast<std::byte const*>(weights_[w]->data);
                        if (blocks > 2)
                            next.panels =
                                prefetch::lines{first + beside * bytes_ + below * tile, lines}.share(h, panels_each);
                        multiply(*weights_[w], down, across, k, c + w * of_tile, stride, next);
                    }
                    if (last) put(down, across, c, c + of_tile, stride);
                    if (pieces > 1) c += 2 * of_tile;
                }
            }
        }
        if (non_temporal_) fence_non_temporal_stores();
    }

  private:
    struct span {
        std::size_t first, count;
    };

    [[nodiscard]] std::int32_t const* starts(matrix const& w) const {
        return reinterpret_cast<std::int32_t const*>(scales(w) + round_up(w.rows, side));
    }
    [[nodiscard]] static float const* scales(matrix const& w) {
        return reinterpret_cast<float const*>(static_cast<std::byte const*>(w.data) + i8_scales(w.rows, w.columns));
    }
    /// Bytes of a step of a block.
    [[nodiscard]] std::size_t row_step() const { return x_.block() / x_.steps(); }
    [[nodiscard]] std::size_t rows_of(span down) const {
        return std::min(down.count * x_.height(), rows_ - down.first * x_.height());
    }

    /// Prefetches the outputs that a tile will be added to.
    void prefetch_outputs(span down, span across) const {
        std::size_t const outputs = weights_[0]->rows, first = across.first * side;
        float const* y = e_.y + down.first * x_.height() * outputs + first;
        std::size_t const count = std::min(across.count * side, outputs - first);
        for (std::size_t r = 0; r < rows_of(down); ++r, y += outputs)
            for (std::size_t i = 0; i < count; i += 16) __builtin_prefetch(y + i, 1);
    }

    void multiply(matrix const& w, span down, span across, span k, float* c, std::size_t stride,
                  prefetch const& next) const {
        if (k.count == 0) {
            std::fill_n(c, down.count * x_.height() * stride, 0.0f);
            return;
        }
        (integers_ ? t_.multiply_i8
                   : t_.multiply)(x_.at(down.first) + k.first * row_step(), x_.block(), x_.height(), down.count,
                                  static_cast<std::byte const*>(w.data) + across.first * bytes_ + k.first * tile,
                                  bytes_, across.count, k.count, c, stride, k.first > 0, next);
    }

    void put(span down, span across, float const* c, float const* c2, std::size_t stride) const {
        std::size_t const outputs = weights_[0]->rows, first = across.first * side, row = down.first * x_.height();
        auto const sums = [&](std::size_t w, float const* from) -> finished_tile::sums {
            if (!integers_ || !weights_[w]) return {from, nullptr, nullptr};
            return {from, scales(*weights_[w]) + first, t_.biased ? starts(*weights_[w]) + first : nullptr};
        };
        t_.put({e_.what, rows_of(down), std::min(across.count * side, outputs - first), sums(0, c), sums(1, c2), stride,
                integers_ ? x_.scales() + row : nullptr, e_.bias ? e_.bias + first : nullptr, e_.scale,
                e_.y + row * outputs + first, outputs, non_temporal_});
    }

    panel_table const& t_;
    rounded_rows const& x_;
    std::size_t rows_;
    matrix const* weights_[2];
    epilogue const& e_;
    bool integers_;
    std::size_t bytes_; ///< of a panel
    std::size_t threads_;
    bool non_temporal_; ///< y is large, and not read before it is written
};

/// Rows of x that are rounded at a time: 8 MB of them, in whole parts.
inline std::size_t rows_at_once(panel_table const& t, std::size_t columns) {
    std::size_t const bytes = std::max<std::size_t>(1, steps_of(columns)) * step * 2, part = t.most_blocks * side;
    return std::max<std::size_t>(1, (std::size_t{8} << 20) / bytes / part) * part;
}

/// A product of the rows in `rounded`, which are `now` rows from row `from` on.
inline void compute(thread_pool& pool, panel_table const& t, product const& p, rounded_rows const& rounded,
                    std::size_t from, std::size_t now) {
    std::size_t const panels = ceil_div(p.w->rows, side), blocks = rounded.blocks();
    std::size_t const at_once = panels_at_once(t, rounded, panels, pool.threads());
    std::size_t const across = ceil_div(panels, at_once);
    epilogue here = p.e;
    here.y += from * p.w->rows;
    part const all(t, rounded, now, *p.w, p.second, here, pool.threads());
    pool.run(across * ceil_div(blocks, t.most_blocks), [&](std::size_t i) {
        std::size_t const block = i / across * t.most_blocks, panel = i % across * at_once;
        all.run(block, std::min(t.most_blocks, blocks - block), panel, std::min(at_once, panels - panel));
    });
}

/// Products of the same rows of x, which are rounded once. All weights have the same layout and the same width.
inline void compute(thread_pool& pool, panel_table const& t, std::span<product const> of, normed const& x, reader read,
                    std::size_t rows) {
    matrix const& w = *of[0].w;
    std::size_t const most = rows_at_once(t, w.columns);
    for (std::size_t from = 0; from < rows; from += most) {
        std::size_t const now = std::min(most, rows - from);
        rounded_rows const rounded(pool, t, w.layout == &i8_panels, x, read, from, now, w.columns);
        for (product const& p : of) compute(pool, t, p, rounded, from, now);
    }
}

} // namespace llamavision::LLAMAVISION_ARCH::panels
