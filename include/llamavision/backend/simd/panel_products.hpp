// SPDX-License-Identifier: Apache-2.0
// Products on panels: x is rounded and laid out once, then parts of the output go to whoever is free. A part is up to
// 256 rows, whose x stays in a second-level cache, times a few panels, whose piece of k stays in a first-level one.
//
// Each output is summed by one thread, along k: its bits depend on its row of x, its row of w and the tier alone.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>

#include <llamavision/backend/simd/panels.hpp>
#include <llamavision/backend/simd/scratch.hpp>
#include <llamavision/backend/simd/targets.hpp>
#include <llamavision/support/thread_pool.hpp>
#include <llamavision/weights/matrix.hpp>

namespace llamavision::panels {

/// What becomes of a product c: y = c + bias, its gelu, or y + scale (c + bias); with a second weight silu(c) ⊙ c₂.
struct epilogue {
    enum class kind { plain, gelu, add, swiglu } what = kind::plain;
    float const* bias = nullptr;
    float scale = 1.0f;
    float* y = nullptr; ///< (rows, w.rows)
};

/// Blocks of one part: 256 rows.
inline constexpr std::size_t part_blocks = 16;

/// x as blocks of bf16 or of integers, rounded side by side.
class rounded_rows {
  public:
    rounded_rows(thread_pool& pool, panel_table const& t, bool integers, float const* x, std::size_t rows,
                 std::size_t columns)
        : height_(height_of(rows)), steps_(ceiling(columns, integers ? i8_step : step)),
          block_(steps_ * 64 * height_ * (t.wide && !integers ? 2 : 1)), blocks_(ceiling(rows, height_)),
          data_(scratch_bytes<2>(blocks_ * (block_ + height_ * sizeof(float)))),
          scales_(reinterpret_cast<float*>(data_ + blocks_ * block_)) {
        pool.run(blocks_, [&](std::size_t b) {
            std::size_t const first = b * height_, count = std::min(height_, rows - first);
            float const* const from = x + first * columns;
            if (integers)
                t.quantise(from, columns, count, columns, height_, data_ + b * block_, scales_ + first);
            else
                t.round(from, columns, count, columns, height_, 1.0f, data_ + b * block_);
        });
    }
    [[nodiscard]] std::size_t steps() const { return steps_; }
    /// Of integers, one a row.
    [[nodiscard]] float const* scales() const { return scales_; }
    [[nodiscard]] std::size_t height() const { return height_; }
    [[nodiscard]] std::size_t block() const { return block_; }
    [[nodiscard]] std::size_t blocks() const { return blocks_; }
    [[nodiscard]] std::byte const* at(std::size_t b) const { return data_ + b * block_; }

  private:
    std::size_t height_, steps_, block_, blocks_;
    std::byte* data_;
    float* scales_;
};

/// Panels that one thread takes at a time, in whole groups: few rows, a quarter of a megabyte of w; many, as many as
/// x and the sums leave room for, since x is read once for all of them. Less where threads would have nothing to do.
inline std::size_t panels_at_once(panel_table const& t, rounded_rows const& x, std::size_t count, std::size_t threads) {
    std::size_t const group_bytes = std::max<std::size_t>(1, x.steps()) * tile * t.group;
    std::size_t groups = x.blocks() <= 2 ? (std::size_t{1} << 18) / group_bytes : t.most_panels / t.group;
    groups = std::clamp<std::size_t>(groups, 1, t.most_panels / t.group);
    std::size_t const high = ceiling(x.blocks(), part_blocks);
    while (groups > 1 && high * ceiling(count, groups * t.group) < 6 * threads) groups = (groups + 1) / 2;
    return groups * t.group;
}

/// c (blocks · height, 16 count) = x wᵀ for some blocks of x and some panels of w.
inline void multiply(panel_table const& t, rounded_rows const& x, std::size_t block, std::size_t blocks,
                     matrix const& w, std::size_t panel, std::size_t count, float* c) {
    std::size_t const steps = x.steps(), bytes = steps * tile, stride = count * side, rows = blocks * x.height();
    auto const* const base = static_cast<std::byte const*>(w.data);
    bool const integers = w.type == format::i8_panels;
    auto const* const scales = reinterpret_cast<float const*>(base + i8_scales(w.rows, w.columns));
    bool add = steps == 0;
    if (add) std::fill_n(c, rows * stride, 0.0f);
    if (integers && t.biased) {
        for (std::size_t r = 0; r < rows; ++r)
            std::memcpy(c + r * stride, scales + ceiling(w.rows, side) * side + panel * side, stride * sizeof(float));
        add = true;
    }
    // Few rows read w once, in its order; many go through it in pieces of k.
    std::size_t const pieces = blocks <= 2 ? 1 : ceiling(steps, t.most_steps), piece = ceiling(steps, pieces);
    for (std::size_t s = 0; s < steps; s += piece, add = true)
        (integers ? t.multiply_i8 : t.multiply)(x.at(block) + s * (x.block() / steps), x.block(), x.height(), blocks,
                                                base + panel * bytes + s * tile, bytes, count,
                                                std::min(piece, steps - s), c, stride, add);
    if (!integers) return;
    for (std::size_t r = 0; r < rows; ++r)
        t.to_floats(c + r * stride, x.scales()[block * x.height() + r], scales + panel * side, stride);
}

inline void put(panel_table const& t, epilogue const& e, float const* c, float const* c2, std::size_t output,
                std::size_t count, float* y) {
    float const* const bias = e.bias ? e.bias + output : nullptr;
    switch (e.what) {
    case epilogue::kind::plain: return t.put(c, bias, count, y);
    case epilogue::kind::gelu: return t.put_gelu(c, bias, count, y);
    case epilogue::kind::add: return t.put_add(c, bias, e.scale, count, y);
    case epilogue::kind::swiglu: return t.put_swiglu(c, c2, count, y);
    }
}

/// The rows of x that are laid out at a time: 8 MB of them.
inline std::size_t rows_at_once(std::size_t columns) {
    std::size_t const bytes = std::max<std::size_t>(1, steps_of(columns)) * step * 2, part = part_blocks * side;
    return std::max<std::size_t>(1, (std::size_t{8} << 20) / bytes / part) * part;
}

/// @param second the other weight of `swiglu`, else null
inline void compute(thread_pool& pool, panel_table const& t, matrix const& w, matrix const* second, float const* x,
                    std::size_t rows, epilogue const& e) {
    std::size_t const most = rows_at_once(w.columns), all_panels = ceiling(w.rows, side);
    for (std::size_t from = 0; from < rows; from += most) {
        std::size_t const now = std::min(most, rows - from);
        rounded_rows const blocks(pool, t, w.type == format::i8_panels, x + from * w.columns, now, w.columns);
        std::size_t const at_once = panels_at_once(t, blocks, all_panels, pool.threads());
        std::size_t const across = ceiling(all_panels, at_once), part = part_blocks * side * at_once * side;
        pool.run(across * ceiling(blocks.blocks(), part_blocks), [&](std::size_t i) {
            std::size_t const block = i / across * part_blocks, panel = i % across * at_once;
            std::size_t const high = std::min(part_blocks, blocks.blocks() - block);
            std::size_t const wide = std::min(at_once, all_panels - panel), stride = wide * side;
            std::size_t const first = block * blocks.height(), output = panel * side;
            float* const c = scratch<3>((second ? 2 : 1) * part);
            float* const c2 = c + part;
            multiply(t, blocks, block, high, w, panel, wide, c);
            if (second) multiply(t, blocks, block, high, *second, panel, wide, c2);
            for (std::size_t r = 0; r < std::min(high * blocks.height(), now - first); ++r)
                put(t, e, c + r * stride, c2 + r * stride, output, std::min(stride, w.rows - output),
                    e.y + (from + first + r) * w.rows + output);
        });
    }
}

} // namespace llamavision::panels
