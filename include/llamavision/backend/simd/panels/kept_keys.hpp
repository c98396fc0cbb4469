// SPDX-License-Identifier: Apache-2.0
// Keys and values as panels of bfloat16. They take half the memory of floats, and attention's two products read them as
// they lie: q · keysᵀ, where w is keys (rows, head_dim), in panels of 16 keys; and p · values, where w is valuesᵀ
// (head_dim, rows), in panels of 16 channels, each step of which is 32 keys. Each key head has panels of its own.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <llamavision/backend/attention.hpp>
#include <llamavision/backend/simd/arch/arch.hpp>
#include <llamavision/backend/simd/arch/targets.hpp>
#include <llamavision/backend/simd/panels/panels.hpp>
#include <llamavision/support/ceil_div.hpp>

namespace llamavision::inline LLAMAVISION_ARCH::panels {

/// Where the rows of a block lie, in memory for `capacity` rows.
class kept_layout {
  public:
    kept_layout(attention_shape const& shape, std::size_t capacity)
        : dim_(shape.head_dim), heads_(shape.kv_heads), key_steps_(steps_of(shape.head_dim)),
          value_steps_(steps_of(capacity)) {}

    /// Values of bf16 from one panel to the next.
    [[nodiscard]] std::size_t key_panel() const { return key_steps_ * step * side; }
    [[nodiscard]] std::size_t value_panel() const { return value_steps_ * step * side; }
    [[nodiscard]] std::size_t value_panels() const { return ceil_div(dim_, side); }
    [[nodiscard]] std::size_t key_steps() const { return key_steps_; }
    [[nodiscard]] std::size_t keys_of_head() const { return value_steps_ * 2 * key_panel(); }
    [[nodiscard]] std::size_t values_of_head() const { return value_panels() * value_panel(); }
    /// How many bf16 there is room for, for the keys, and for the values: the larger of the two.
    [[nodiscard]] std::size_t size() const { return heads_ * std::max(keys_of_head(), values_of_head()); }

    /// Writes rows first … first + count - 1 of one head. `keys` and `values` point at that head in the first row.
    void keep(panel_table const& t, float const* keys, float const* values, std::size_t stride, std::size_t first,
              std::size_t count, std::size_t head, bf16* to_keys, bf16* to_values) const {
        bf16* const k = to_keys + head * keys_of_head();
        bf16* const v = to_values + head * values_of_head();
        for (std::size_t i = 0; i < count;) {
            bool const whole = (first + i) % step == 0 && i + step <= count && dim_ <= most_dim;
            if (whole) {
                keep_step(t, keys + i * stride, values + i * stride, stride, first + i, k, v);
            } else {
                keep_key(keys + i * stride, first + i, k);
                keep_value(values + i * stride, first + i, v);
            }
            i += whole ? step : 1;
        }
    }

  private:
    static constexpr std::size_t most_dim = 256;

    /// 32 rows: both are rounded into two blocks of 16 rows; then the pairs of keys are transposed, and the values of
    /// each two rows are interleaved.
    void keep_step(panel_table const& t, float const* keys, float const* values, std::size_t stride, std::size_t row,
                   bf16* k, bf16* v) const {
        std::uint32_t pairs[2 * most_dim * side / 2]; // (2, k/32, 16 rows, 16 pairs)
        t.narrow(keys, stride, step, dim_, side, 1.0f, pairs);
        constexpr std::size_t square = side * side;
        for (std::size_t b = 0; b < 2 * key_steps_; ++b) {
            std::uint32_t to[square];
            for (std::size_t pair = 0; pair < side; ++pair)
                for (std::size_t r = 0; r < side; ++r) to[pair * side + r] = pairs[b * square + r * side + pair];
            std::memcpy(k + row / side * key_panel() + b * 2 * square, to, sizeof to);
        }
        t.narrow(values, stride, step, dim_, side, 1.0f, pairs);
        for (std::size_t p = 0; p < value_panels(); ++p) {
            std::uint32_t to[square];
            std::size_t const at = p / 2 * square + p % 2 * (side / 2); // of the channels in a row of the blocks
            for (std::size_t pair = 0; pair < side; ++pair) {
                std::uint32_t const* const a = pairs + pair / 8 * key_steps_ * square + at + pair % 8 * 2 * side;
                for (std::size_t i = 0; i < side / 2; ++i) {
                    std::uint32_t const x = a[i], y = a[i + side];
                    to[pair * side + 2 * i] = (x & 0xffffu) | (y << 16);
                    to[pair * side + 2 * i + 1] = (x >> 16) | (y & 0xffff0000u);
                }
            }
            std::memcpy(v + p * value_panel() + row / step * 2 * square, to, sizeof to);
        }
    }

    void keep_key(float const* from, std::size_t row, bf16* k) const {
        bf16* to = k + row / side * key_panel() + row % side * 2;
        for (std::size_t d = 0; d < key_steps_ * step; d += 2, to += 2 * side) {
            to[0] = d < dim_ ? bf16::round(from[d]) : bf16{0};
            to[1] = d + 1 < dim_ ? bf16::round(from[d + 1]) : bf16{0};
        }
    }
    /// The first row of a step sets the step to zero: rows that are not there yet are multiplied by zero, and must be
    /// finite.
    void keep_value(float const* from, std::size_t row, bf16* v) const {
        for (std::size_t d = 0; d < dim_; d += side) {
            bf16* const cell = v + d / side * value_panel() + row / step * step * side;
            if (row % step == 0) std::fill_n(cell, step * side, bf16{0});
            bf16* const to = cell + row % step / 2 * side * 2 + row % 2;
            for (std::size_t i = 0; i < std::min(side, dim_ - d); ++i) to[i * 2] = bf16::round(from[d + i]);
        }
    }

    std::size_t dim_, heads_, key_steps_, value_steps_;
};

} // namespace llamavision::LLAMAVISION_ARCH::panels
