// SPDX-License-Identifier: Apache-2.0
// Products with weights as they are stored: how x · wᵀ is cut into blocks. Of many rows, all use a block of weights
// that was widened once and stays in a cache; one row reads the weights at the speed of memory.
#pragma once

#include <algorithm>
#include <cstddef>
#include <type_traits>

#include <llamavision/backend/simd/arch/arch.hpp>
#include <llamavision/backend/simd/arch/targets.hpp>
#include <llamavision/support/ceil_div.hpp>
#include <llamavision/weights/matrix.hpp>

namespace llamavision::inline LLAMAVISION_ARCH::products {

/// The most columns that lanes sum before the lanes are added. Four widened rows of weights (20 KB) stay in a
/// first-level cache.
inline constexpr std::size_t most_columns = 1280;
/// Rows of x that use a block of weights before the next is widened: 96 × 1280 floats stay in a second-level cache.
inline constexpr std::size_t row_block = 96;
/// Floats of one part of an output, at most: fused kernels keep such parts on the stack.
inline constexpr std::size_t most_outputs = row_block * 64;

/// Columns are cut into blocks of equal length, which depends on their number alone; so do the bits of sums.
constexpr std::size_t column_block(std::size_t columns) {
    return ceil_div(ceil_div(columns, std::max<std::size_t>(1, ceil_div(columns, most_columns))), 64) * 64;
}

/// A part of y: rows [row, row + rows) and outputs [output, output + outputs).
struct part {
    std::size_t row, rows, output, outputs;
};

/// Cuts y (rows, outputs) into parts. Consecutive parts read the same rows of x.
class parts {
  public:
    parts(std::size_t rows, matrix const& w) : rows_(rows), outputs_(w.rows) {
        if (rows <= 8) { // reading the weights takes the time: a quarter of a megabyte for each part
            std::size_t const row_bytes = std::max<std::size_t>(1, bytes_of(w.type, w.columns));
            width_ = std::clamp<std::size_t>((std::size_t{1} << 18) / row_bytes / 4 * 4, 4, most_outputs / 8);
        }
        across_ = ceil_div(outputs_, width_);
    }
    [[nodiscard]] std::size_t count() const { return across_ * ceil_div(rows_, row_block); }
    [[nodiscard]] part operator[](std::size_t i) const {
        std::size_t const row = i / across_ * row_block, output = i % across_ * width_;
        return {row, std::min(row_block, rows_ - row), output, std::min(width_, outputs_ - output)};
    }

  private:
    std::size_t rows_, outputs_, width_ = 64, across_;
};

/// y (4) += the products of `count` values of x with those of four rows of w, the first of which begin at value
/// `first`. Returns false, and does nothing, if no kernel reads the weight's format: it must be widened first.
inline bool multiply_stored(kernel_table const& t, matrix const& w, std::size_t first, float const* x,
                            std::size_t count, float* y) {
    switch (w.type) {
    case format::f32: t.products[1](w.floats() + first, w.columns, x, 0, count, y, 0); return true;
    case format::bf16:
        t.product_bf16(static_cast<bf16 const*>(w.data) + first, w.columns, x, 0, count, y, 0);
        return true;
    case format::f16: t.product_f16(static_cast<f16 const*>(w.data) + first, w.columns, x, 0, count, y, 0); return true;
    default: return false;
    }
}

/// y (count) = the values of w from `first` on, in row-major order.
inline void widen(kernel_table const& t, matrix const& w, std::size_t first, std::size_t count, float* y) {
    visit(w, [&](auto values) {
        using type = decltype(values);
        if constexpr (std::is_same_v<type, float const*>)
            std::copy_n(values + first, count, y);
        else if constexpr (std::is_same_v<type, bf16 const*>)
            t.widen_bf16(values + first, count, y);
        else if constexpr (std::is_same_v<type, f16 const*>)
            t.widen_f16(values + first, count, y);
        else
            (values + first).widen(count, y);
    });
}

/// One part of a product, by blocks of columns and tiles of four outputs.
class partial_product {
  public:
    /// `x` points at the part's first row; y (p.rows, p.outputs) has its own stride.
    partial_product(kernel_table const& t, matrix const& w, float const* x, part const& p, float* y,
                    std::size_t y_stride)
        : t_(t), w_(w), block_(column_block(w.columns)), x_(x), p_(p), y_(y), y_stride_(y_stride) {}

    void run(float const* bias) {
        for (std::size_t r = 0; r < p_.rows; ++r)
            if (bias)
                std::copy_n(bias + p_.output, p_.outputs, y_ + r * y_stride_);
            else
                std::fill_n(y_ + r * y_stride_, p_.outputs, 0.0f);
        // If x stays in a cache, a tile takes all columns before the next tile: weights are read in their order.
        std::size_t const columns = w_.columns;
        std::size_t const segment = p_.rows * columns <= row_block * most_columns ? columns : block_;
        for (std::size_t from = 0; from < columns; from += segment)
            for (std::size_t o = 0; o < p_.outputs; o += 4)
                for (std::size_t k = from; k < std::min(from + segment, columns); k += block_) tile(o, k);
    }

  private:
    /// Adds to y, for outputs o … o + 3, the products over columns k … k + block.
    void tile(std::size_t o, std::size_t k) {
        std::size_t const outputs = std::min<std::size_t>(4, p_.outputs - o), count = std::min(block_, w_.columns - k);
        std::size_t const first = (p_.output + o) * w_.columns + k;
        if (outputs == 4 && p_.rows == 1 && multiply_stored(t_, w_, first, x_ + k, count, y_ + o)) return;
        for (std::size_t j = 0; j < outputs; ++j) widen(t_, w_, first + j * w_.columns, count, panel_ + j * block_);
        if (outputs == 4) return rows(k, count, y_ + o, y_stride_);
        for (std::size_t j = outputs; j < 4; ++j) std::fill_n(panel_ + j * block_, count, 0.0f);
        float sums[row_block * 4] = {};
        rows(k, count, sums, 4);
        for (std::size_t r = 0; r < p_.rows; ++r)
            for (std::size_t j = 0; j < outputs; ++j) y_[r * y_stride_ + o + j] += sums[r * 4 + j];
    }

    void rows(std::size_t k, std::size_t count, float* y, std::size_t stride) {
        for (std::size_t r = 0; r < p_.rows; r += t_.rows)
            t_.products[std::min(t_.rows, p_.rows - r)](panel_, block_, x_ + r * w_.columns + k, w_.columns, count,
                                                        y + r * stride, stride);
    }

    kernel_table const& t_;
    matrix const& w_;
    std::size_t block_;
    float const* x_;
    part p_;
    float* y_;
    std::size_t y_stride_;
    alignas(64) float panel_[4 * most_columns];
};

/// y (p.rows, p.outputs) = the part p of x wᵀ + bias.
inline void compute(kernel_table const& t, matrix const& w, float const* bias, float const* x, part const& p, float* y,
                    std::size_t y_stride) {
    check_is_in_rows(w);
    partial_product(t, w, x + p.row * w.columns, p, y, y_stride).run(bias);
}

} // namespace llamavision::LLAMAVISION_ARCH::products
