// SPDX-License-Identifier: Apache-2.0
// Instruction sets chosen at run time: what the tiers are, what this machine has, and the table of kernels that every
// tier fills. The kernels' text is kernels.ipp, compiled once for each tier.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <llamavision/support/half.hpp>

namespace llamavision {

/// What the products and attention are computed with: the instruction set that the program was compiled for, or a
/// wider one that the machine turns out to have.
enum class tier : std::uint8_t { baseline, avx2, avx512 };

[[nodiscard]] constexpr std::string_view name_of(tier level) {
    return level == tier::avx512 ? "avx512" : level == tier::avx2 ? "avx2" : "baseline";
}

/// Whether this machine and its operating system can run the tier.
[[nodiscard]] inline bool available(tier level) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (level == tier::baseline) return true;
    unsigned a = 0, b = 0, c = 0, d = 0;
    bool const f16c = __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
    bool const avx2 = __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0 && f16c;
    return avx2 && (level == tier::avx2 || __builtin_cpu_supports("avx512f") != 0);
#else
    return level == tier::baseline;
#endif
}

[[nodiscard]] inline tier best_tier() {
    return available(tier::avx512) ? tier::avx512 : available(tier::avx2) ? tier::avx2 : tier::baseline;
}

/// The kernels of one tier. All strides count elements.
struct kernel_table {
    /// y (rows, 4) += x (rows, count) · weights (4, count)ᵀ, the number of rows fixed by the kernel.
    template <class W>
    using dots = void (*)(W const* weights, std::size_t weight_stride, float const* x, std::size_t x_stride,
                          std::size_t count, float* y, std::size_t y_stride);
    template <class W>
    using widen = void (*)(W const* values, std::size_t count, float* y);

    static constexpr std::size_t most_rows = 6;

    tier level;
    std::size_t rows;                    ///< the tallest tile of `products`
    dots<float> products[most_rows + 1]; ///< [r]: r rows
    dots<bf16> product_bf16;             ///< one row
    dots<f16> product_f16;               ///< one row
    widen<bf16> widen_bf16;
    widen<f16> widen_f16;

    // Attention: every lane is a query. Arrays over queries are (…, stride) with `width` queries a register.
    std::size_t width;
    std::size_t vectors; ///< registers of queries in a wide tile; [0] below is one register, [1] is `vectors`

    /// s (keys, queries) = scale · keys (keys, dim) · q (dim, queries) + bias (keys, or null)
    void (*scores[2])(float const* q, std::size_t stride, std::size_t dim, float const* keys, std::size_t key_stride,
                      float const* bias, std::size_t count, float scale, float* s);
    /// One register of queries: s becomes exp(s - largest), after `largest` took s in; `keep` is the factor that what
    /// was summed before is multiplied by, as `total` is here.
    void (*softmax)(float* s, std::size_t stride, std::size_t count, float* largest, float* total, float* keep);
    /// o (dim, queries) = keep · o + valuesᵀ (dim, keys) · p (keys, queries)
    void (*values[2])(float const* p, std::size_t stride, std::size_t count, float const* values,
                      std::size_t value_stride, std::size_t dim, float const* keep, float* o);
    /// One register of queries: takes the sums (largest, total, o) over other keys into the first.
    void (*merge)(float* largest, float* total, float* o, float const* other_largest, float const* other_total,
                  float const* other_o, std::size_t stride, std::size_t dim);
};

} // namespace llamavision
