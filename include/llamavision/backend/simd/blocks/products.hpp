// SPDX-License-Identifier: Apache-2.0
// Products with panels of q8 and q4: which kernels this machine runs, and how a product is cut. A few rows read the
// weights at the speed of memory; many rows use each panel, once it is unpacked, again and again.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include <llamavision/backend/simd/arch/arch.hpp>
#include <llamavision/backend/simd/blocks/panels.hpp>
#include <llamavision/backend/simd/kernels/elementwise.hpp>
#include <llamavision/backend/simd/kernels/norms.hpp>
#include <llamavision/backend/simd/kernels/scratch.hpp>
#include <llamavision/backend/simd/tiers/blocks_avx2.hpp>
#include <llamavision/backend/simd/tiers/blocks_avx512.hpp>
#include <llamavision/backend/simd/tiers/blocks_baseline.hpp>
#include <llamavision/backend/simd/tiers/blocks_neon.hpp>
#include <llamavision/support/ceil_div.hpp>
#include <llamavision/support/thread_pool.hpp>
#include <llamavision/weights/formats.hpp>

namespace llamavision::inline LLAMAVISION_ARCH::blocks {

/// Whether the machine has VNNI, the dot products of bytes. Not every machine with AVX2 or AVX-512 has it.
[[nodiscard]] inline bool has_vnni(tier level) {
#if defined(__x86_64__)
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (level >= tier::avx512) return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (c >> 11 & 1) != 0;
    return level == tier::avx2 && __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a >> 4 & 1) != 0;
#else
    static_cast<void>(level);
    return false;
#endif
}

/// The kernels of a tier. @pre the machine has it, and VNNI if `vnni`
[[nodiscard]] inline block_table const& table_of(tier level, bool vnni) {
#if defined(__x86_64__)
    if (level >= tier::avx512 && vnni) return avx512::table;
    if (level == tier::avx2 && vnni) return avx2_vnni::table;
    if (level != tier::baseline) return avx2::table; // AVX-512 lacks vpsignb, which these products need
#elif defined(__aarch64__)
    if (level >= tier::neon_i8mm) return neon_i8mm::table;
    if (level == tier::neon_dot) return neon_dot::table;
#endif
    static_cast<void>(level), static_cast<void>(vnni);
    return baseline::table;
}

[[nodiscard]] constexpr bool is_in_panels(matrix const& w) { return w.layout == &block_panels; }

[[nodiscard]] constexpr bool is_block_format(weight_format f) {
    return f == weight_format::q8 || f == weight_format::q4;
}

/// Bytes of the weight as panels of that format; 0 if its rows are not whole blocks.
[[nodiscard]] constexpr std::size_t repacked_bytes(matrix const& w, weight_format f) {
    bool const whole = w.columns > 0 && w.columns % length == 0;
    if (whole && f == weight_format::q8) return matrix_bytes(format::q8, w.rows, w.columns);
    if (whole && f == weight_format::q4) return matrix_bytes(format::q4, w.rows, w.columns);
    return 0;
}

/// Writes the panels, on all threads. @pre w is in a stored format
inline matrix repack(thread_pool& pool, kernel_table const& t, matrix const& w, weight_format f, std::byte* to) {
    bool const eight = f == weight_format::q8;
    matrix const result{to, eight ? format::q8 : format::q4, w.rows, w.columns, &block_panels};
    std::size_t const bytes = panel_bytes(result.type, w.columns);
    pool.run(ceil_div(w.rows, outputs), [&](std::size_t i) {
        eight ? blocks::repack<q8>(t, w, i, to + i * bytes) : blocks::repack<q4>(t, w, i, to + i * bytes);
    });
    return result;
}

inline format_kernels const& kernels_for(block_table const& t, matrix const& w) {
    return w.type == format::q8 ? t.q8 : t.q4;
}

/// Up to so many rows, panels are read as they lie; for more, it is faster to unpack them.
inline constexpr std::size_t few_rows = 12;

/// Cuts y (rows, outputs) as products::parts does, but at whole panels.
class parts {
  public:
    parts(std::size_t rows, matrix const& w, std::size_t threads) : rows_(rows), outputs_(w.rows) {
        if (rows <= few_rows) { // reading the weights takes the time: whole groups, of a quarter of a megabyte or more
            constexpr std::size_t most = products::most_outputs / few_rows / outputs;
            std::size_t const bytes = most_side_by_side * panel_bytes(w.type, w.columns);
            std::size_t panels = most_side_by_side * ceil_div(std::size_t{1} << 18, bytes);
            panels = std::min(panels, most);
            std::size_t const wanted = threads > 1 ? 6 * threads : 1;
            while (panels > 1 && ceil_div(outputs_, panels * outputs) < wanted) panels /= 2;
            width_ = panels * outputs;
        }
        across_ = ceil_div(outputs_, width_);
    }
    [[nodiscard]] std::size_t count() const { return across_ * ceil_div(rows_, products::row_block); }
    [[nodiscard]] products::part operator[](std::size_t i) const {
        std::size_t const row = i / across_ * products::row_block, output = i % across_ * width_;
        return {row, std::min(products::row_block, rows_ - row), output, std::min(width_, outputs_ - output)};
    }

  private:
    std::size_t rows_, outputs_, width_ = 4 * outputs, across_;
};

/// Rows of activations, rounded, in borrowed memory: groups of `height` rows, the last one filled up.
class rounded {
  public:
    rounded(block_table const& t, matrix const& w, thread_pool& pool, normed const& x, std::size_t rows)
        : height_(rows <= few_rows ? format_kernels::most_streamed : t.rows),
          memory_(pool.lend(round_up(rows, height_) * w.columns / length * (length + sizeof(term)))) {
        std::size_t const blocks = w.columns / length;
        auto* const to = reinterpret_cast<std::int8_t*>(memory_.data());
        auto* const to_terms = reinterpret_cast<term*>(memory_.data() + round_up(rows, height_) * w.columns);
        x_ = {to, to_terms, height_, blocks, rows <= few_rows};
        std::int32_t const zero = kernels_for(t, w).zero;
        std::size_t const chunk = std::max<std::size_t>(1, (std::size_t{1} << 15) / w.columns);
        pool.run(ceil_div(rows, chunk), [&](std::size_t i) {
            float* const buffer = x.weight ? scratch<6>(w.columns) : nullptr;
            for (std::size_t r = i * chunk; r < std::min(rows, (i + 1) * chunk); ++r) {
                std::size_t const at = r / x_.height * x_.height * blocks + r % x_.height;
                t.round(norms::read(x, w.columns, r, 1, buffer), blocks, zero, to + at * length, to_terms + at,
                        x_.height);
            }
        });
    }
    [[nodiscard]] activations const& operator*() const { return x_; }

  private:
    std::size_t height_;
    memory_lender::lent memory_;
    activations x_;
};

/// One part of a product.
class partial_product {
  public:
    partial_product(block_table const& t, matrix const& w, float const* bias, activations const& x,
                    products::part const& p, float* y, std::size_t y_stride)
        : t_(t), kernels_(kernels_for(t, w)), w_(w), bias_(bias), x_(x), p_(p), y_(y), y_stride_(y_stride) {}

    void run() const { x_.few ? stream() : tiles(); }

  private:
    void stream() const {
        alignas(line) float sums[format_kernels::most_streamed * most_side_by_side * outputs];
        std::size_t const bytes = panel_bytes(w_.type, w_.columns);
        for (std::size_t o = 0; o < p_.outputs; o += most_side_by_side * outputs) {
            std::size_t const panels = std::min(most_side_by_side, ceil_div(p_.outputs - o, outputs));
            panel_group const weights{panel_of(w_, (p_.output + o) / outputs), bytes, panels};
            for (std::size_t r = 0; r < p_.rows; r += format_kernels::most_streamed) {
                std::size_t const rows = std::min(format_kernels::most_streamed, p_.rows - r);
                kernels_.streams[rows](weights, w_.columns / length, x_.from(p_.row + r, 0), sums);
                write(sums, panels * outputs, r, rows, o);
            }
        }
    }

    /// Blocks that are unpacked at a time: 16 KB for two panels stay in a first-level cache while all rows use them.
    static constexpr std::size_t chunk = 16;

    void tiles() const {
        alignas(line) std::uint8_t integers[2][chunk * 8 * line];
        alignas(line) float scales[2][chunk * outputs];
        alignas(line) float sums[products::row_block * 2 * outputs];
        std::size_t const width = t_.panels * outputs, blocks = w_.columns / length;
        std::size_t const last = (w_.rows - 1) / outputs;
        for (std::size_t o = 0; o < p_.outputs; o += width) {
            std::size_t const first = (p_.output + o) / outputs;
            // A tile of two panels that begins at the last one takes it twice.
            auto const at = [&](std::size_t i) { return panel_of(w_, std::min(first + i, last)); };
            std::fill_n(sums, p_.rows * width, 0.0f);
            for (std::size_t b = 0; b < blocks; b += chunk) {
                std::size_t const count = std::min(chunk, blocks - b);
                std::uint8_t const *unpacked[2] = {}, *next[2] = {};
                for (std::size_t i = 0; i < t_.panels; ++i) {
                    unpacked[i] = kernels_.prepare(at(i), b, count, integers[i], scales[i]);
                    next[i] = b + count < blocks ? at(i).integers + (b + count) * kernels_.lines * line
                                                 : at(i + t_.panels).integers;
                }
                multiply(unpacked, scales, next, b, count, sums);
            }
            write(sums, width, 0, p_.rows, o);
        }
    }

    /// All rows with `count` unpacked blocks. The first tiles prefetch a line for each block from `next`.
    void multiply(std::uint8_t const* const* integers, float const (&scales)[2][chunk * outputs],
                  std::uint8_t const* (&next)[2], std::size_t b, std::size_t count, float* sums) const {
        float const* const their_scales[2] = {scales[0], scales[1]};
        for (std::size_t r = 0; r < p_.rows; r += t_.rows) {
            kernels_.tiles[std::min(t_.rows, p_.rows - r)](integers, their_scales, count, x_.from(p_.row + r, b), next,
                                                           sums + r * t_.panels * outputs);
            bool const more = r / t_.rows + 1 < kernels_.lines;
            for (std::size_t i = 0; i < t_.panels; ++i) next[i] = more ? next[i] + count * line : integers[i];
        }
    }

    /// Writes sums, whose rows are `width` apart, to y: from output o and row `first` on.
    void write(float const* sums, std::size_t width, std::size_t first, std::size_t rows, std::size_t o) const {
        std::size_t const count = std::min(width, p_.outputs - o);
        for (std::size_t r = 0; r < rows; ++r) {
            float* const y = y_ + (first + r) * y_stride_ + o;
            for (std::size_t i = 0; i < count; ++i)
                y[i] = bias_ ? sums[r * width + i] + bias_[p_.output + o + i] : sums[r * width + i];
        }
    }

    block_table const& t_;
    format_kernels const& kernels_;
    matrix const& w_;
    float const* bias_;
    activations const& x_;
    products::part p_;
    float* y_;
    std::size_t y_stride_;
};

/// y (rows, w.rows) = x wᵀ + bias
inline void linear(thread_pool& pool, block_table const& t, matrix const& w, float const* bias, rounded const& x,
                   std::size_t rows, float* y) {
    parts const all(rows, w, pool.threads());
    pool.run(all.count(), [&](std::size_t i) {
        products::part const p = all[i];
        partial_product(t, w, bias, *x, p, y + p.row * w.rows + p.output, w.rows).run();
    });
}
inline void linear(thread_pool& pool, block_table const& t, matrix const& w, float const* bias, normed const& x,
                   std::size_t rows, float* y) {
    linear(pool, t, w, bias, rounded(t, w, pool, x, rows), rows, y);
}

/// y (rows, gate.rows) = silu(x gateᵀ) ⊙ (x upᵀ) @pre both have the same extents and format
inline void swiglu(thread_pool& pool, block_table const& t, matrix const& gate, matrix const& up, normed const& x,
                   std::size_t rows, float* y) {
    rounded const its(t, gate, pool, x, rows);
    parts const all(rows, gate, pool.threads());
    pool.run(all.count(), [&](std::size_t i) {
        products::part const p = all[i];
        alignas(line) float ups[products::most_outputs];
        float* const gates = y + p.row * gate.rows + p.output;
        partial_product(t, gate, nullptr, *its, p, gates, gate.rows).run();
        partial_product(t, up, nullptr, *its, p, ups, p.outputs).run();
        for (std::size_t r = 0; r < p.rows; ++r)
            elementwise::swiglu(gates + r * gate.rows, ups + r * p.outputs, p.outputs, gates + r * gate.rows);
    });
}

/// y (rows, w.rows) += scale (x wᵀ + bias)
inline void linear_add(thread_pool& pool, block_table const& t, matrix const& w, float const* bias, float const* x,
                       std::size_t rows, float scale, float* y) {
    rounded const its(t, w, pool, x, rows);
    parts const all(rows, w, pool.threads());
    pool.run(all.count(), [&](std::size_t i) {
        products::part const p = all[i];
        alignas(line) float f[products::most_outputs];
        partial_product(t, w, bias, *its, p, f, p.outputs).run();
        float* const to = y + p.row * w.rows + p.output;
        for (std::size_t r = 0; r < p.rows; ++r)
            elementwise::add_scaled(to + r * w.rows, scale, f + r * p.outputs, p.outputs, to + r * w.rows);
    });
}

} // namespace llamavision::LLAMAVISION_ARCH::blocks
