// SPDX-License-Identifier: Apache-2.0
// The AVX-512 BF16 tier: vdpbf16ps multiplies a pair of x with the pairs of sixteen outputs, and adds both products.
// Machines that have it also have VNNI, whose vpdpbusd does the same with four bytes.
#pragma once

#include <algorithm>
#include <bit>

#include <llamavision/backend/simd/arch/arch.hpp>
#include <llamavision/backend/simd/tiers/avx512.hpp>

#if defined(__x86_64__)
#define LLAMAVISION_TARGET __attribute__((target("avx512f,avx512bw,avx512bf16,avx512vnni,avx2,fma,f16c")))

namespace llamavision::inline LLAMAVISION_ARCH::avx512_bf16 {

/// The type of sums: a vector type of the compiler, since g++ 12 keeps arrays of these in registers, but spills arrays
/// of
/// __m512i.
template <bool Integers>
struct sum_of {
    using type = float __attribute__((vector_size(64)));
};
template <>
struct sum_of<true> {
    using type = std::int32_t __attribute__((vector_size(64)));
};

/// Spreads the lines to prefetch evenly over a loop: line by line, each a power of two times.
struct spread {
    std::byte const* first;
    std::size_t last, shift;

    /// @param passing how many rounds the loop has
    /// @param here what is prefetched if there are no lines
    spread(prefetch::lines const& of, std::size_t passing, std::byte const* here)
        : first(of.count ? of.first : here), last(of.count ? of.count - 1 : 0),
          shift(passing > last ? static_cast<std::size_t>(std::bit_width(passing / (last + 1))) - 1 : 0) {}
    [[nodiscard]] std::byte const* at(std::size_t k) const { return first + std::min(k >> shift, last) * 64; }
};

/// Rows × (16 Panels) of c. 8 × 3 sums, 3 registers of w and one of x are 28 of the 32.
template <bool Integers, std::size_t Rows, std::size_t Panels>
LLAMAVISION_TARGET inline void tile(std::byte const* x, std::size_t height, std::byte const* w, std::size_t panel,
                                    std::size_t steps, float* c, std::size_t stride, bool add, prefetch const& next) {
    using sum = typename sum_of<Integers>::type;
    sum sums[Rows][Panels];
    LLAMAVISION_UNROLL
    for (std::size_t r = 0; r < Rows; ++r) {
        LLAMAVISION_UNROLL
        for (std::size_t v = 0; v < Panels; ++v)
            sums[r][v] = (sum)(add ? _mm512_loadu_ps(c + r * stride + v * panels::side) : _mm512_setzero_ps());
    }
    // If these panels are read once, prefetch what is 4 KB ahead in them, or the next panels if they are short.
    bool const once = next.panels.first == nullptr;
    std::byte const* const ahead = w + (panel > 4 * panels::tile ? 4 * panels::tile : Panels * panel);
    std::size_t const lines = steps * panels::side - next.zeros;
    spread const of_panels(once ? prefetch::lines{ahead, lines} : next.panels, lines, w), of_rows(next.rows, lines, x);
    for (std::size_t k = 0; k < lines; ++k) {
        std::byte const* const ask = of_panels.at(k);
        LLAMAVISION_UNROLL
        for (std::size_t v = 0; v < Panels; ++v) _mm_prefetch(ask + v * panel, _MM_HINT_T1);
        if constexpr (Rows == 8) _mm_prefetch(of_rows.at(k), _MM_HINT_T1);
        __m512i pairs[Panels];
        LLAMAVISION_UNROLL
        for (std::size_t v = 0; v < Panels; ++v) pairs[v] = _mm512_loadu_si512(w + v * panel + k * 64);
        std::byte const* const here = x + k / panels::side * panels::side * 4 * height + k % panels::side * 4;
        LLAMAVISION_UNROLL
        for (std::size_t r = 0; r < Rows; ++r) {
            std::int32_t both;
            __builtin_memcpy(&both, here + r * 64, sizeof both);
            __m512i const a = _mm512_set1_epi32(both);
            LLAMAVISION_UNROLL
            for (std::size_t v = 0; v < Panels; ++v)
                if constexpr (Integers)
                    sums[r][v] = (sum)_mm512_dpbusd_epi32((__m512i)sums[r][v], a, pairs[v]);
                else
                    sums[r][v] = (sum)_mm512_dpbf16_ps((__m512)sums[r][v], (__m512bh)a, (__m512bh)pairs[v]);
        }
    }
    LLAMAVISION_UNROLL
    for (std::size_t r = 0; r < Rows; ++r) {
        LLAMAVISION_UNROLL
        for (std::size_t v = 0; v < Panels; ++v)
            _mm512_storeu_ps(c + r * stride + v * panels::side, (__m512)sums[r][v]);
    }
}

template <bool Integers, std::size_t Panels>
LLAMAVISION_TARGET inline void rows(std::byte const* x, std::size_t height, std::byte const* w, std::size_t panel,
                                    std::size_t steps, float* c, std::size_t stride, bool add, prefetch const& next) {
    if (height == 1) return tile<Integers, 1, Panels>(x, height, w, panel, steps, c, stride, add, next);
    if (height < 8) {
        for (std::size_t r = 0; r < height; r += 2)
            tile<Integers, 2, Panels>(x + r * 64, height, w, panel, steps, c + r * stride, stride, add, next);
        return;
    }
    if (height == 8) return tile<Integers, 8, Panels>(x, height, w, panel, steps, c, stride, add, next);
    std::size_t const panels_each = (next.panels.count + 1) / 2, rows_each = (next.rows.count + 1) / 2;
    for (std::size_t i = 0; i < 2; ++i)
        tile<Integers, 8, Panels>(x + i * 8 * 64, height, w, panel, steps, c + i * 8 * stride, stride, add,
                                  {next.panels.share(i, panels_each), next.rows.share(i, rows_each), next.zeros});
}

template <bool Integers>
LLAMAVISION_TARGET inline void multiply(void const* x, std::size_t block, std::size_t height, std::size_t blocks,
                                        void const* w, std::size_t panel, std::size_t count, std::size_t steps,
                                        float* c, std::size_t stride, bool add, prefetch const& next) {
    auto const* const weights = static_cast<std::byte const*>(w);
    for (std::size_t p = 0; p < count; p += 3)
        for (std::size_t b = 0; b < blocks; ++b) {
            auto const* const at = static_cast<std::byte const*>(x) + b * block;
            auto const* const from = weights + p * panel;
            float* const to = c + b * height * stride + p * panels::side;
            prefetch now = next;
            if (next.panels.first) now.panels.first += p * panel;
            switch (count - p) {
            case 1: rows<Integers, 1>(at, height, from, panel, steps, to, stride, add, now); break;
            case 2: rows<Integers, 2>(at, height, from, panel, steps, to, stride, add, now); break;
            default: rows<Integers, 3>(at, height, from, panel, steps, to, stride, add, now);
            }
        }
}

inline constexpr panel_table table = [] {
    panel_table t = avx512::wide_panels;
    t.wide = false;
    t.round = &avx512::round_rows<bf16>;
    t.softmax = &avx512::softmax_row<bf16>;
    t.multiply = &multiply<false>;
    t.multiply_i8 = &multiply<true>;
    return t;
}();

} // namespace llamavision::LLAMAVISION_ARCH::avx512_bf16

#undef LLAMAVISION_TARGET
#endif
