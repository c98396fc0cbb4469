// SPDX-License-Identifier: Apache-2.0
// The blocking of products: how x · wᵀ is cut so that a block of weights, widened once, serves many rows of x from the
// caches, and so that one row streams the weights at the speed of memory.
#pragma once

#include <algorithm>
#include <cstddef>
#include <type_traits>

#include <llamavision/backend/simd/arch/targets.hpp>
#include <llamavision/weights/matrix.hpp>

namespace llamavision::products {

/// Most columns that are summed before the lanes are: four widened weight rows of it (20 KB) stay in a first-level
/// cache.
inline constexpr std::size_t most_columns = 1280;
/// Rows of x that a block of weights serves: 96 × 1280 floats stay in a second-level cache.
inline constexpr std::size_t row_block = 96;
/// Floats that one thread's part of an output may take where it is kept on the stack.
inline constexpr std::size_t most_outputs = row_block * 64;

constexpr std::size_t ceiling(std::size_t a, std::size_t b) { return (a + b - 1) / b; }

/// Columns are cut into blocks of equal length. The cut depends on their number alone, and so do the sums' bits.
constexpr std::size_t column_block(std::size_t columns) {
    return ceiling(ceiling(columns, std::max<std::size_t>(1, ceiling(columns, most_columns))), 64) * 64;
}

/// A part of the output: rows [row, row + rows) and columns [output, output + outputs).
struct part {
    std::size_t row, rows, output, outputs;
};

/// Cuts (rows, outputs) into parts: row blocks outside, so that consecutive parts read the same rows of x.
class parts {
  public:
    parts(std::size_t rows, matrix const& w) : rows_(rows), outputs_(w.rows) {
        if (rows <= 8) { // the weights' traffic decides: a quarter of a megabyte each
            std::size_t const row_bytes = std::max<std::size_t>(1, bytes_of(w.type, w.columns));
            width_ = std::clamp<std::size_t>((std::size_t{1} << 18) / row_bytes / 4 * 4, 4, most_outputs / 8);
        }
        across_ = ceiling(outputs_, width_);
    }
    [[nodiscard]] std::size_t count() const { return across_ * ceiling(rows_, row_block); }
    [[nodiscard]] part operator[](std::size_t i) const {
        std::size_t const row = i / across_ * row_block, output = i % across_ * width_;
        return {row, std::min(row_block, rows_ - row), output, std::min(width_, outputs_ - output)};
    }

  private:
    std::size_t rows_, outputs_, width_ = 64, across_;
};

inline void row_product(kernel_table const& t, float const* w, std::size_t stride, float const* x, std::size_t count,
                        float* y) {
    t.products[1](w, stride, x, 0, count, y, 0);
}
inline void row_product(kernel_table const& t, bf16 const* w, std::size_t stride, float const* x, std::size_t count,
                        float* y) {
    t.product_bf16(w, stride, x, 0, count, y, 0);
}
inline void row_product(kernel_table const& t, f16 const* w, std::size_t stride, float const* x, std::size_t count,
                        float* y) {
    t.product_f16(w, stride, x, 0, count, y, 0);
}

inline void widen(kernel_table const&, float const* p, std::size_t count, float* y) { std::copy_n(p, count, y); }
inline void widen(kernel_table const& t, bf16 const* p, std::size_t count, float* y) { t.widen_bf16(p, count, y); }
inline void widen(kernel_table const& t, f16 const* p, std::size_t count, float* y) { t.widen_f16(p, count, y); }
template <class Block>
void widen(kernel_table const&, block_values<Block> p, std::size_t count, float* y) {
    p.widen(count, y);
}

/// One part of a product, by blocks of columns and tiles of four outputs. W points at weights, or reads as if it did.
template <class W>
class partial_product {
  public:
    /// `x` points at the part's first row; y (p.rows, p.outputs) has its own stride.
    partial_product(kernel_table const& t, W w, std::size_t columns, float const* x, part const& p, float* y,
                    std::size_t y_stride)
        : t_(t), w_(w + p.output * columns), columns_(columns), block_(column_block(columns)), x_(x), p_(p), y_(y),
          y_stride_(y_stride) {}

    void run(float const* bias) {
        for (std::size_t r = 0; r < p_.rows; ++r)
            if (bias)
                std::copy_n(bias + p_.output, p_.outputs, y_ + r * y_stride_);
            else
                std::fill_n(y_ + r * y_stride_, p_.outputs, 0.0f);
        // One tile of outputs takes all columns while x stays in a cache: the weights are read in their order.
        std::size_t const segment = p_.rows * columns_ <= row_block * most_columns ? columns_ : block_;
        for (std::size_t from = 0; from < columns_; from += segment)
            for (std::size_t o = 0; o < p_.outputs; o += 4)
                for (std::size_t k = from; k < std::min(from + segment, columns_); k += block_) tile(o, k);
    }

  private:
    /// Adds to y, for outputs o … o + 3, the products over columns k … k + block.
    void tile(std::size_t o, std::size_t k) {
        std::size_t const outputs = std::min<std::size_t>(4, p_.outputs - o), count = std::min(block_, columns_ - k);
        W const w = w_ + o * columns_ + k;
        if constexpr (std::is_pointer_v<W>)
            if (outputs == 4 && p_.rows == 1) return row_product(t_, w, columns_, x_ + k, count, y_ + o);
        for (std::size_t j = 0; j < outputs; ++j) widen(t_, w + j * columns_, count, panel_ + j * block_);
        if (outputs == 4) return rows(k, count, y_ + o, y_stride_);
        for (std::size_t j = outputs; j < 4; ++j) std::fill_n(panel_ + j * block_, count, 0.0f);
        float sums[row_block * 4] = {};
        rows(k, count, sums, 4);
        for (std::size_t r = 0; r < p_.rows; ++r)
            for (std::size_t j = 0; j < outputs; ++j) y_[r * y_stride_ + o + j] += sums[r * 4 + j];
    }

    void rows(std::size_t k, std::size_t count, float* y, std::size_t stride) {
        for (std::size_t r = 0; r < p_.rows; r += t_.rows)
            t_.products[std::min(t_.rows, p_.rows - r)](panel_, block_, x_ + r * columns_ + k, columns_, count,
                                                        y + r * stride, stride);
    }

    kernel_table const& t_;
    W w_;
    std::size_t columns_, block_;
    float const* x_;
    part p_;
    float* y_;
    std::size_t y_stride_;
    alignas(64) float panel_[4 * most_columns];
};

/// y (p.rows, p.outputs) = the part p of x wᵀ + bias.
inline void compute(kernel_table const& t, matrix const& w, float const* bias, float const* x, part const& p, float* y,
                    std::size_t y_stride) {
    visit(w,
          [&](auto weight) { partial_product(t, weight, w.columns, x + p.row * w.columns, p, y, y_stride).run(bias); });
}

} // namespace llamavision::products
