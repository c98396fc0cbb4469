// SPDX-License-Identifier: Apache-2.0
// Instruction sets chosen at run time: which tiers there are, which this machine can run, and the tables of kernels
// that each tier fills. The kernels are written in kernels.inc and panels.inc, and compiled for each tier.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__linux__)
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#endif

#include <llamavision/support/half.hpp>

namespace llamavision {

/// The instructions of products and attention: those that the program was compiled for (`baseline`), or more that the
/// machine has.
///
/// x86-64: avx2, avx512, avx512_bf16, amx, each with all before it. AArch64, whose baseline is NEON: neon_dot,
/// neon_i8mm, neon_bf16, each with all before it.
enum class tier : std::uint8_t { baseline, avx2, avx512, avx512_bf16, amx, neon_dot, neon_i8mm, neon_bf16 };

inline constexpr tier all_tiers[] = {tier::baseline, tier::avx2,     tier::avx512,    tier::avx512_bf16,
                                     tier::amx,      tier::neon_dot, tier::neon_i8mm, tier::neon_bf16};

[[nodiscard]] constexpr std::string_view name_of(tier level) {
    constexpr std::string_view names[] = {"baseline", "avx2",     "avx512",    "avx512_bf16",
                                          "amx",      "neon_dot", "neon_i8mm", "neon_bf16"};
    return names[static_cast<std::size_t>(level)];
}

/// Whether the system lets this process use AMX's registers. Linux must be asked; that is done once.
[[nodiscard]] inline bool amx_granted() {
#if defined(__x86_64__) && defined(__linux__)
    constexpr auto request = 0x1023, tile_data = 18; // ARCH_REQ_XCOMP_PERM, the state component
    static bool const granted = syscall(SYS_arch_prctl, request, tile_data) == 0;
    return granted;
#else
    return false;
#endif
}

#if defined(__aarch64__)
/// Whether the processor has an extension of NEON.
/// @param type, bit where Linux has it: a word of the auxiliary vector, and its bit
/// @param name what macOS calls it
[[nodiscard]] inline bool has_extension([[maybe_unused]] unsigned long type, [[maybe_unused]] int bit,
                                        [[maybe_unused]] char const* name) {
#if defined(__linux__)
    return (getauxval(type) >> bit & 1) != 0;
#elif defined(__APPLE__)
    int present = 0;
    std::size_t size = sizeof present;
    return sysctlbyname(name, &present, &size, nullptr, 0) == 0 && present != 0;
#else
    return false;
#endif
}
#endif

/// Whether this machine and its operating system can run the tier.
[[nodiscard]] inline bool available(tier level) {
    if (level == tier::baseline) return true;
#if defined(__x86_64__)
    if (level > tier::amx) return false;
    __builtin_cpu_init();
    unsigned a = 0, b = 0, c = 0, d = 0;
    bool const f16c = __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
    bool const avx2 = __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0 && f16c;
    if (level == tier::avx2) return avx2;
    bool const avx512 = avx2 && __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0;
    if (level == tier::avx512) return avx512;
    a = b = c = d = 0;
    bool const bf16 = __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a & (1u << 5)) != 0;
    if (level == tier::avx512_bf16) return avx512 && bf16;
    constexpr unsigned amx = 1u << 22 | 1u << 24 | 1u << 25; // bf16, tile, int8
    a = b = c = d = 0;
    return avx512 && bf16 && __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (d & amx) == amx && amx_granted();
#elif defined(__aarch64__)
    constexpr unsigned long capabilities = 16, more = 26; // AT_HWCAP, AT_HWCAP2
    if (level < tier::neon_dot || !has_extension(capabilities, 20, "hw.optional.arm.FEAT_DotProd")) return false;
    if (level == tier::neon_dot) return true;
    if (!has_extension(more, 13, "hw.optional.arm.FEAT_I8MM")) return false;
    return level == tier::neon_i8mm || has_extension(more, 14, "hw.optional.arm.FEAT_BF16");
#else
    return false;
#endif
}

[[nodiscard]] inline tier best_tier() {
    tier best = tier::baseline;
    for (tier const t : all_tiers)
        if (available(t)) best = t;
    return best;
}

/// The kernels of one tier. All strides count elements.
struct kernel_table {
    /// y (rows, 4) += x (rows, count) · weights (4, count)ᵀ. Each kernel is for one number of rows.
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
    std::size_t vectors; ///< registers of queries in a wide tile. Below, [0] takes one register, [1] takes `vectors`

    /// s (keys, queries) = scale · keys (keys, dim) · q (dim, queries) + bias (keys, or null)
    void (*scores[2])(float const* q, std::size_t stride, std::size_t dim, float const* keys, std::size_t key_stride,
                      float const* bias, std::size_t count, float scale, float* s);
    /// One register of queries: `largest` becomes the maximum of itself and the scores, s becomes exp(s - largest), and
    /// its sum is added to `total`. `rescale` becomes exp(the old maximum - the new one): earlier sums are multiplied
    /// by it, `total` here, o in `values`.
    void (*softmax)(float* s, std::size_t stride, std::size_t count, float* largest, float* total, float* rescale);
    /// o (dim, queries) = rescale · o + valuesᵀ (dim, keys) · p (keys, queries)
    void (*values[2])(float const* p, std::size_t stride, std::size_t count, float const* values,
                      std::size_t value_stride, std::size_t dim, float const* rescale, float* o);
    /// One register of queries: adds the sums over other keys (largest, total, o) to the first ones.
    void (*merge)(float* largest, float* total, float* o, float const* other_largest, float const* other_total,
                  float const* other_o, std::size_t stride, std::size_t dim);
};

/// Cache lines that a kernel prefetches while it computes, for the next calls.
struct prefetch {
    struct lines {
        std::byte const* first = nullptr; ///< null: nothing
        std::size_t count = 0;

        /// The share of call i, where each call prefetches `each` lines.
        [[nodiscard]] lines share(std::size_t i, std::size_t each) const {
            std::size_t const from = std::min(i * each, count);
            return {first + from * 64, std::min(each, count - from)};
        }
    };
    lines panels; ///< of each panel of the next call; null: the panels of this call are read once, and the kernel
                  ///< prefetches what lies ahead in them
    lines rows;   ///< of the next block of x; null: none
    std::size_t zeros = 0; ///< lines at the end of this call's last step that are zero, and need not be multiplied
};

/// The epilogue of a product c. plain: y = c + bias; activated: y = gelu(c + bias); added: y += scale · (c + bias);
/// gated, with a second product: y = silu(c) ⊙ c₂.
enum class finish { plain, activated, added, gated };

/// Sums of some rows and outputs, and the outputs that are made of them.
struct finished_tile {
    finish what = finish::plain;
    struct sums {
        float const* c = nullptr;             ///< floats, or integers in the same place; in whole panels
        float const* scales = nullptr;        ///< of integers: one for each output
        std::int32_t const* starts = nullptr; ///< of integers: added to each output's sum; null: nothing
    };
    std::size_t rows = 1, count = 0;
    sums first, second;                ///< `second` only for `gated`
    std::size_t stride = 0;            ///< from row to row of c
    float const* row_scales = nullptr; ///< null: c are floats; else c = (c + starts) · row_scale · scale
    float const* bias = nullptr;       ///< may be null
    float scale = 1.0f;                ///< of `added`
    float* y = nullptr;
    std::size_t outputs = 0;   ///< from row to row of y
    bool non_temporal = false; ///< whole lines are stored past the caches, so that they are not read first
};

/// The kernels of one tier on panels (panels.hpp).
struct panel_table {
    bool wide;               ///< x is floats that were rounded to bf16, for tiers that widen w; else x is bf16
    std::size_t most_steps;  ///< of one call of `multiply`: what it reads again stays in a cache
    std::size_t group;       ///< panels that are multiplied side by side
    std::size_t together;    ///< blocks of x in one call of `multiply`
    std::size_t most_panels; ///< of one part of an output
    std::size_t most_blocks; ///< of x in one part

    /// Writes scale · x, rounded to bf16 to nearest even, as blocks of `height` rows; the last block is filled up.
    void (*round)(float const* x, std::size_t stride, std::size_t rows, std::size_t columns, std::size_t height,
                  float scale, void* to);
    /// c (blocks · height, panels · 16) = x wᵀ, or += with `add`, over `steps` steps of k. x and w point at the first
    /// step; `block` and `panel` are the bytes to the next block of x and the next panel of w.
    using product = void (*)(void const* x, std::size_t block, std::size_t height, std::size_t blocks, void const* w,
                             std::size_t panel, std::size_t panels, std::size_t steps, float* c, std::size_t stride,
                             bool add, prefetch const& next);
    product multiply;
    bool biased; ///< whether the sums are those of q + 128, q being x's integers; else of q
    /// Writes x as blocks of integers, and one scale for each row.
    void (*quantise)(float const* x, std::size_t stride, std::size_t rows, std::size_t columns, std::size_t height,
                     void* to, float* scales);
    product multiply_i8; ///< with sums of integers
    /// Makes outputs of sums.
    void (*put)(finished_tile const&);
    /// The same as `round`, but to bf16 on every tier.
    void (*narrow)(float const* x, std::size_t stride, std::size_t rows, std::size_t columns, std::size_t height,
                   float scale, void* to);
    /// One row of softmax, to the base 2: writes 2^(s[i] + bias[i] log2 e - shift), rounded, into the row's place in a
    /// block of x, with zeros from `count` to `filled`, and adds the sum before rounding to `total`, 16 partial sums.
    ///
    /// Before a row's first call, `shift` is the lowest float; that call sets it to the row's largest score. It changes
    /// again only when the sums become large. Returns the factor by which earlier sums must be multiplied, as `total`
    /// was. Changes s.
    float (*softmax)(float* s, float const* bias, std::size_t count, std::size_t filled, float& shift, float* total,
                     std::size_t height, void* to);
    void (*scale)(float* o, float factor, std::size_t count);
};

} // namespace llamavision
