// SPDX-License-Identifier: Apache-2.0
// Products of panels over a set of lanes: four outputs a register, 4 bytes of x a word, be they four integers or a pair
// of bfloat16. A row's step is 64 bytes, and byte 4i … 4i + 3 of it belong to line i of the panel's step. Included like
// kernels.ipp. No guard, on purpose.

/// One line of w, with a word of every row.
template <class Lanes, int Word, std::size_t Rows>
LLAMAVISION_LANE void add_line(typename Lanes::sum (&sums)[Rows][4], std::byte const* line,
                               int8x16_t const (&rows)[Rows]) {
    LLAMAVISION_UNROLL
    for (std::size_t v = 0; v < 4; ++v) {
        int8x16_t const w = neon_words::load(line + v * 16);
        LLAMAVISION_UNROLL
        for (std::size_t r = 0; r < Rows; ++r) sums[r][v] = Lanes::template dot<Word>(sums[r][v], w, rows[r]);
    }
}

/// Rows × 16 of c.
template <class Lanes, std::size_t Rows>
LLAMAVISION_TARGET inline void dot_tile(std::byte const* x, std::size_t height, std::byte const* w, std::size_t steps,
                                        float* c, std::size_t stride, bool add) {
    typename Lanes::sum sums[Rows][4];
    LLAMAVISION_UNROLL
    for (std::size_t r = 0; r < Rows; ++r) {
        LLAMAVISION_UNROLL
        for (std::size_t v = 0; v < 4; ++v) sums[r][v] = add ? Lanes::load(c + r * stride + v * 4) : Lanes::zero();
    }
    for (std::size_t s = 0; s < steps; ++s, x += height * 64, w += panels::tile)
        for (std::size_t k = 0; k < 64; k += 16) {
            int8x16_t rows[Rows];
            LLAMAVISION_UNROLL
            for (std::size_t r = 0; r < Rows; ++r) rows[r] = Lanes::row(x + r * 64 + k);
            std::byte const* const lines = w + k * 16;
            add_line<Lanes, 0>(sums, lines, rows);
            add_line<Lanes, 1>(sums, lines + 64, rows);
            add_line<Lanes, 2>(sums, lines + 128, rows);
            add_line<Lanes, 3>(sums, lines + 192, rows);
        }
    LLAMAVISION_UNROLL
    for (std::size_t r = 0; r < Rows; ++r) {
        LLAMAVISION_UNROLL
        for (std::size_t v = 0; v < 4; ++v) Lanes::store(c + r * stride + v * 4, sums[r][v]);
    }
}

/// Pairs of rows × 4 Quads of c in squares of two rows and two outputs, which take two lines of w at a time.
template <class Lanes, std::size_t Pairs, std::size_t Quads>
LLAMAVISION_TARGET inline void square_tile(std::byte const* x, std::size_t height, std::byte const* w,
                                           std::size_t steps, float* c, std::size_t stride, bool add) {
    typename Lanes::sum sums[Pairs][2 * Quads];
    LLAMAVISION_UNROLL
    for (std::size_t p = 0; p < Pairs; ++p) {
        LLAMAVISION_UNROLL
        for (std::size_t v = 0; v < Quads; ++v) {
            float const* const from = c + 2 * p * stride + 4 * v;
            int8x16_t const a = Lanes::bytes(add ? Lanes::load(from) : Lanes::zero());
            int8x16_t const b = Lanes::bytes(add ? Lanes::load(from + stride) : Lanes::zero());
            sums[p][2 * v] = Lanes::of(neon_words::first_halves(a, b));
            sums[p][2 * v + 1] = Lanes::of(neon_words::last_halves(a, b));
        }
    }
    for (std::size_t s = 0; s < steps; ++s, x += height * 64, w += panels::tile)
        for (std::size_t k = 0; k < 64; k += 16) {
            int8x16_t rows[2][Pairs]; // bytes k … k + 7 of two rows, and k + 8 … k + 15
            LLAMAVISION_UNROLL
            for (std::size_t p = 0; p < Pairs; ++p) {
                int8x16_t const a = Lanes::row(x + 2 * p * 64 + k), b = Lanes::row(x + (2 * p + 1) * 64 + k);
                rows[0][p] = neon_words::first_halves(a, b);
                rows[1][p] = neon_words::last_halves(a, b);
            }
            LLAMAVISION_UNROLL
            for (std::size_t half = 0; half < 2; ++half) {
                LLAMAVISION_UNROLL
                for (std::size_t v = 0; v < Quads; ++v) {
                    std::byte const* const line = w + k * 16 + half * 128 + v * 16;
                    int8x16_t const a = neon_words::load(line), b = neon_words::load(line + 64);
                    int8x16_t const first = neon_words::first_words(a, b), last = neon_words::last_words(a, b);
                    LLAMAVISION_UNROLL
                    for (std::size_t p = 0; p < Pairs; ++p) {
                        sums[p][2 * v] = Lanes::matrix(sums[p][2 * v], rows[half][p], first);
                        sums[p][2 * v + 1] = Lanes::matrix(sums[p][2 * v + 1], rows[half][p], last);
                    }
                }
            }
        }
    LLAMAVISION_UNROLL
    for (std::size_t p = 0; p < Pairs; ++p) {
        LLAMAVISION_UNROLL
        for (std::size_t v = 0; v < Quads; ++v) {
            float* const to = c + 2 * p * stride + 4 * v;
            int8x16_t const a = Lanes::bytes(sums[p][2 * v]), b = Lanes::bytes(sums[p][2 * v + 1]);
            Lanes::store(to, Lanes::of(neon_words::first_halves(a, b)));
            Lanes::store(to + stride, Lanes::of(neon_words::last_halves(a, b)));
        }
    }
}

/// 16 registers of sums: 8 rows × 8 outputs or 4 × 16 in squares, 4 × 16 by rows.
template <class Lanes>
LLAMAVISION_TARGET inline void block_of_rows(std::byte const* x, std::size_t height, std::byte const* w,
                                             std::size_t steps, float* c, std::size_t stride, bool add) {
    if (height == 1) return dot_tile<Lanes, 1>(x, height, w, steps, c, stride, add);
    if constexpr (Lanes::matrices) {
        if (height == 2) return square_tile<Lanes, 1, 4>(x, height, w, steps, c, stride, add);
        if (height == 4) return square_tile<Lanes, 2, 4>(x, height, w, steps, c, stride, add);
        for (std::size_t r = 0; r < height; r += 8)
            for (std::size_t o = 0; o < panels::side; o += 8)
                square_tile<Lanes, 4, 2>(x + r * 64, height, w + o * 4, steps, c + r * stride + o, stride, add);
    } else {
        std::size_t const most = Lanes::rows;
        for (std::size_t r = 0; r < height; r += std::min(height, most))
            if (height < most)
                dot_tile<Lanes, 2>(x + r * 64, height, w, steps, c + r * stride, stride, add);
            else
                dot_tile<Lanes, Lanes::rows>(x + r * 64, height, w, steps, c + r * stride, stride, add);
    }
}

template <class Lanes>
LLAMAVISION_TARGET inline void multiply(void const* x, std::size_t block, std::size_t height, std::size_t blocks,
                                        void const* w, std::size_t panel, std::size_t count, std::size_t steps,
                                        float* c, std::size_t stride, bool add, upcoming const&) {
    for (std::size_t p = 0; p < count; ++p)
        for (std::size_t b = 0; b < blocks; ++b)
            block_of_rows<Lanes>(static_cast<std::byte const*>(x) + b * block, height,
                                 static_cast<std::byte const*>(w) + p * panel, steps,
                                 c + b * height * stride + p * panels::side, stride, add);
}
