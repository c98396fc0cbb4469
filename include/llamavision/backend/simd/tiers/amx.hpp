// SPDX-License-Identifier: Apache-2.0
// The AMX tier: one instruction multiplies a tile of x, 16 rows × 64 bytes, with one step of a panel. The eight tile
// registers are four of sums, two of x and two of w; 4 KB are loaded for 4 products of 16 cycles each.
#pragma once

#include <llamavision/backend/simd/arch/arch.hpp>
#include <llamavision/backend/simd/tiers/avx512.hpp>

#if defined(__x86_64__)
#define LLAMAVISION_TARGET __attribute__((target("amx-tile,amx-bf16,amx-int8,avx512f,avx512bw,avx2,fma,f16c")))

namespace llamavision::inline LLAMAVISION_ARCH::amx {

struct alignas(64) tile_shapes {
    std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
    std::uint16_t row_bytes[16] = {};
    std::uint8_t rows[16] = {};
};

/// Sums in tiles 0 to 3 (2 · block + panel), x in 4 and 5, w in 6 and 7. Blocks may have fewer than 16 rows.
LLAMAVISION_TARGET inline void configure(std::size_t height) {
    tile_shapes shapes;
    for (std::size_t t = 0; t < 8; ++t) {
        shapes.row_bytes[t] = 64;
        shapes.rows[t] = static_cast<std::uint8_t>(t < 6 ? height : panels::side);
    }
    __asm__ volatile("" : : "r"(&shapes) : "memory"); // g++'s intrinsic does not declare that it reads all of it
    _tile_loadconfig(&shapes);
    __asm__ volatile("" : : : "memory");
}

/// One or two blocks of rows times one or two panels.
template <bool Integers, bool TwoBlocks, bool TwoPanels>
LLAMAVISION_TARGET inline void tile(std::byte const* x, std::size_t block, std::size_t height, std::byte const* w,
                                    std::size_t panel, std::size_t steps, float* c, std::size_t stride, bool add) {
    float* const below = c + height * stride;
    std::size_t const pitch = stride * sizeof(float);
    if (add) {
        _tile_loadd(0, c, pitch);
        if constexpr (TwoPanels) _tile_loadd(1, c + panels::side, pitch);
        if constexpr (TwoBlocks) _tile_loadd(2, below, pitch);
        if constexpr (TwoBlocks && TwoPanels) _tile_loadd(3, below + panels::side, pitch);
    } else {
        _tile_zero(0);
        if constexpr (TwoPanels) _tile_zero(1);
        if constexpr (TwoBlocks) _tile_zero(2);
        if constexpr (TwoBlocks && TwoPanels) _tile_zero(3);
    }
    for (std::size_t s = 0; s < steps; ++s, x += height * 64, w += panels::tile) {
        _tile_loadd(6, w, 64);
        if constexpr (TwoPanels) _tile_loadd(7, w + panel, 64);
        _tile_loadd(4, x, 64);
        if constexpr (TwoBlocks) _tile_loadd(5, x + block, 64);
        if constexpr (Integers) {
            _tile_dpbusd(0, 4, 6);
            if constexpr (TwoPanels) _tile_dpbusd(1, 4, 7);
            if constexpr (TwoBlocks) _tile_dpbusd(2, 5, 6);
            if constexpr (TwoBlocks && TwoPanels) _tile_dpbusd(3, 5, 7);
        } else {
            _tile_dpbf16ps(0, 4, 6);
            if constexpr (TwoPanels) _tile_dpbf16ps(1, 4, 7);
            if constexpr (TwoBlocks) _tile_dpbf16ps(2, 5, 6);
            if constexpr (TwoBlocks && TwoPanels) _tile_dpbf16ps(3, 5, 7);
        }
    }
    _tile_stored(0, c, pitch);
    if constexpr (TwoPanels) _tile_stored(1, c + panels::side, pitch);
    if constexpr (TwoBlocks) _tile_stored(2, below, pitch);
    if constexpr (TwoBlocks && TwoPanels) _tile_stored(3, below + panels::side, pitch);
}

template <bool Integers>
LLAMAVISION_TARGET inline void multiply(void const* x, std::size_t block, std::size_t height, std::size_t blocks,
                                        void const* w, std::size_t panel, std::size_t count, std::size_t steps,
                                        float* c, std::size_t stride, bool add, prefetch const&) {
    auto const* const weights = static_cast<std::byte const*>(w);
    configure(height);
    for (std::size_t p = 0; p < count; p += 2)
        for (std::size_t b = 0; b < blocks; b += 2) {
            auto const* const at = static_cast<std::byte const*>(x) + b * block;
            float* const to = c + b * height * stride + p * panels::side;
            std::byte const* const from = weights + p * panel;
            bool const two_blocks = b + 1 < blocks, two_panels = p + 1 < count;
            if (two_blocks && two_panels)
                tile<Integers, true, true>(at, block, height, from, panel, steps, to, stride, add);
            else if (two_blocks)
                tile<Integers, true, false>(at, block, height, from, panel, steps, to, stride, add);
            else if (two_panels)
                tile<Integers, false, true>(at, block, height, from, panel, steps, to, stride, add);
            else
                tile<Integers, false, false>(at, block, height, from, panel, steps, to, stride, add);
        }
    _tile_release();
}

inline constexpr panel_table table = [] {
    panel_table t = avx512::wide_panels;
    t.wide = false;
    t.most_steps = 16;
    t.group = 2;
    t.together = 16; // to configure the tiles takes as long as some products
    t.most_panels = 24;
    t.most_blocks = 16;
    t.round = &avx512::round_rows<bf16>;
    t.softmax = &avx512::softmax_row<bf16>;
    t.multiply = &multiply<false>;
    t.multiply_i8 = &multiply<true>;
    return t;
}();

} // namespace llamavision::LLAMAVISION_ARCH::amx

#undef LLAMAVISION_TARGET
#endif
