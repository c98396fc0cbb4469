// SPDX-License-Identifier: Apache-2.0
// The kernels of products with panels of blocks, written once over `lanes`; see kernels.ipp for why it is text that
// every tier includes. No guard, on purpose.

inline constexpr std::size_t parts = outputs / lanes::width; ///< registers that a panel's outputs take

LLAMAVISION_TARGET inline void round(float const* x, std::size_t blocks, std::int32_t zero, std::int8_t* values,
                                     term* terms, std::size_t height) {
    for (; blocks > 0; --blocks, x += length, values += height * length, terms += height) {
        std::uint32_t top = 0; // magnitudes are ordered as their bits are, NaNs above all
        for (std::size_t i = 0; i < length; ++i) top = std::max(top, std::bit_cast<std::uint32_t>(x[i]) & 0x7fffffffu);
        float const largest = std::bit_cast<float>(top);
        float scale = std::bit_cast<float>((std::bit_cast<std::uint32_t>(largest / 127) + 3) & ~3u),
              inverse = 1 / scale;
        if (top >= 0x7f800000u) scale = std::numeric_limits<float>::quiet_NaN();
        if (largest < 0x1p-100f) scale = inverse = 0;
        std::int32_t sum = 0;
        for (std::size_t i = 0; i < length; ++i) { // magic rounds, and leaves the integer in the low bits
            auto const n = static_cast<std::int8_t>(std::bit_cast<std::uint32_t>(x[i] * inverse + magic));
            values[i] = n;
            sum += n;
        }
        *terms = {magic_bits - zero * sum, scale, -magic * scale};
    }
}

/// One line of weights with one word of every row. x points at the rows' block.
template <class F, std::size_t Rows>
LLAMAVISION_LANE void add_line(typename lanes::template sums<F> (&sums)[Rows], lanes::ints w, std::int8_t const* x,
                               std::size_t column) {
    auto const prepared = lanes::template sums<F>::prepare(w);
    LLAMAVISION_UNROLL
    for (std::size_t r = 0; r < Rows; ++r) sums[r].add(prepared, lanes::four(x + r * length + column));
}

template <std::size_t Rows, class Sums>
LLAMAVISION_LANE void add_block(Sums const (&sums)[Rows], lanes::floats scale, term const* terms,
                                lanes::floats (&total)[Rows]) {
    LLAMAVISION_UNROLL
    for (std::size_t r = 0; r < Rows; ++r)
        total[r] = lanes::fma(lanes::scaled(sums[r].finish(terms[r].start), terms[r]), scale, total[r]);
}

/// Far enough ahead of the weights at hand that they arrive in time: of one panel, or of each of a group.
inline constexpr std::size_t ahead = 4608, ahead_each = 1024;

/// Blocks of one panel; y (rows, 16), rows `width` apart, += x · panelᵀ. Fetches what lies `next` bytes on.
template <class F, std::size_t Rows>
LLAMAVISION_LANE void add_blocks(std::uint8_t const* w, f16 const* scales, std::size_t blocks,
                                 std::int8_t const* values, term const* terms, std::size_t next, float* y,
                                 std::size_t width) {
    lanes::floats totals[parts][Rows];
    LLAMAVISION_UNROLL
    for (std::size_t v = 0; v < parts; ++v) {
        LLAMAVISION_UNROLL
        for (std::size_t r = 0; r < Rows; ++r) totals[v][r] = lanes::load(y + r * width + v * lanes::width);
    }
    constexpr int near = Rows <= lanes::rows_side_by_side ? 2 : 3; // the second level of the cache, or the first
    for (std::size_t b = 0; b < blocks; ++b) {
        LLAMAVISION_UNROLL
        for (std::size_t l = 0; l < F::lines; ++l) __builtin_prefetch(w + next + l * line, 0, near);
        LLAMAVISION_UNROLL
        for (std::size_t v = 0; v < parts; ++v) {
            typename lanes::template sums<F> sums[Rows];
            LLAMAVISION_UNROLL
            for (std::size_t r = 0; r < Rows; ++r) sums[r].begin(terms[r].start);
            LLAMAVISION_UNROLL
            for (std::size_t l = 0; l < F::lines; ++l) {
                lanes::ints const bytes = lanes::load(w + l * line + v * lanes::width * 4);
                if constexpr (F::lines == 8)
                    add_line<F>(sums, bytes, values, 4 * l);
                else {
                    add_line<F>(sums, lanes::low(bytes), values, 4 * l);
                    add_line<F>(sums, lanes::high(bytes), values, 4 * l + 16);
                }
            }
            add_block(sums, lanes::load(scales + v * lanes::width), terms, totals[v]);
        }
        w += F::lines * line;
        scales += outputs;
        values += format_kernels::most_streamed * length;
        terms += format_kernels::most_streamed;
    }
    LLAMAVISION_UNROLL
    for (std::size_t v = 0; v < parts; ++v) {
        LLAMAVISION_UNROLL
        for (std::size_t r = 0; r < Rows; ++r) lanes::store(y + r * width + v * lanes::width, totals[v][r]);
    }
}

/// Block by block through all panels for so many rows as wait for memory (`rows_side_by_side`); where it is the
/// arithmetic that takes the time, one panel after the other, its totals in registers from its first block to its last.
template <class F, std::size_t Rows>
LLAMAVISION_TARGET inline void stream(panel_group const& g, std::size_t blocks, activations const& x, float* y) {
    std::size_t const width = g.count * outputs, all = blocks * F::lines * line;
    constexpr bool side_by_side = Rows <= lanes::rows_side_by_side;
    constexpr std::size_t distance = side_by_side ? ahead_each : ahead;
    std::size_t const at_once = side_by_side ? 1 : blocks;
    for (std::size_t i = 0; i < Rows * width; i += lanes::width) lanes::store(y + i, lanes::set(0.0f));
    for (std::size_t b = 0; b < blocks; b += at_once) {
        std::size_t const at = b * F::lines * line;
        bool const ends = side_by_side && at + distance >= all; // then what comes next lies in the next group
        std::size_t const next = distance + (ends ? g.count * g.bytes - all : 0);
        activations const here = x.from(0, b);
        for (std::size_t i = 0; i < g.count; ++i) {
            panel const p = g[i];
            add_blocks<F, Rows>(p.integers + at, p.scales + b * outputs, at_once, here.values, here.terms, next,
                                y + i * outputs, width);
        }
    }
}

template <class F>
LLAMAVISION_TARGET inline std::uint8_t const* unpack(panel const& p, std::size_t first, std::size_t blocks,
                                                     std::uint8_t* integers, float* scales) {
    for (std::size_t i = 0; i < blocks * outputs; i += lanes::width)
        lanes::store(scales + i, lanes::load(p.scales + first * outputs + i));
    std::uint8_t const* from = p.integers + first * F::lines * line;
    if constexpr (F::lines == 8) return from;
    std::uint8_t* to = integers;
    for (std::size_t b = 0; b < blocks; ++b, from += 4 * line, to += 8 * line)
        for (std::size_t i = 0; i < 4 * line; i += lanes::width * 4) {
            lanes::ints const bytes = lanes::load(from + i);
            lanes::store(to + i, lanes::low(bytes));
            lanes::store(to + 4 * line + i, lanes::high(bytes));
        }
    return integers;
}

/// Registers across the outputs of a tile, `parts` of them a panel.
template <class F, std::size_t Rows, std::size_t Panels>
LLAMAVISION_TARGET inline void tile(std::uint8_t const* const* integers, float const* const* scales, std::size_t blocks,
                                    activations const& x, std::uint8_t const* const* next, float* y) {
    constexpr std::size_t across = Panels * parts;
    lanes::floats totals[across][Rows];
    LLAMAVISION_UNROLL
    for (std::size_t v = 0; v < across; ++v) {
        LLAMAVISION_UNROLL
        for (std::size_t r = 0; r < Rows; ++r) totals[v][r] = lanes::load(y + (r * across + v) * lanes::width);
    }
    for (std::size_t b = 0; b < blocks; ++b) {
        std::int8_t const* const values = x.values + b * lanes::rows * length;
        term const* const terms = x.terms + b * lanes::rows;
        LLAMAVISION_UNROLL
        for (std::size_t i = 0; i < Panels; ++i) __builtin_prefetch(next[i] + b * line, 0, 2); // into the second level
        typename lanes::template sums<F> sums[across][Rows];
        LLAMAVISION_UNROLL
        for (std::size_t v = 0; v < across; ++v) {
            LLAMAVISION_UNROLL
            for (std::size_t r = 0; r < Rows; ++r) sums[v][r].begin(terms[r].start);
        }
        LLAMAVISION_UNROLL
        for (std::size_t l = 0; l < 8; ++l) {
            typename lanes::template sums<F>::weights prepared[across];
            LLAMAVISION_UNROLL
            for (std::size_t v = 0; v < across; ++v)
                prepared[v] = lanes::template sums<F>::prepare(
                    lanes::load(integers[v / parts] + (b * 8 + l) * line + v % parts * lanes::width * 4));
            LLAMAVISION_UNROLL
            for (std::size_t r = 0; r < Rows; ++r) {
                auto const four = lanes::four(values + r * length + 4 * l);
                LLAMAVISION_UNROLL
                for (std::size_t v = 0; v < across; ++v) sums[v][r].add(prepared[v], four);
            }
        }
        LLAMAVISION_UNROLL
        for (std::size_t v = 0; v < across; ++v)
            add_block(sums[v], lanes::load(scales[v / parts] + b * outputs + v % parts * lanes::width), terms,
                      totals[v]);
    }
    LLAMAVISION_UNROLL
    for (std::size_t v = 0; v < across; ++v) {
        LLAMAVISION_UNROLL
        for (std::size_t r = 0; r < Rows; ++r) lanes::store(y + (r * across + v) * lanes::width, totals[v][r]);
    }
}

template <class F, std::size_t Rows>
constexpr format_kernels::tile tile_of() {
    if constexpr (Rows <= lanes::rows)
        return &tile<F, Rows, lanes::panels>;
    else
        return nullptr;
}

template <class F>
constexpr format_kernels kernels_of() {
    return {lanes::sums<F>::zero,
            F::lines,
            {nullptr, &stream<F, 1>, &stream<F, 2>, &stream<F, 3>, &stream<F, 4>},
            &unpack<F>,
            {nullptr, tile_of<F, 1>(), tile_of<F, 2>(), tile_of<F, 3>(), tile_of<F, 4>(), tile_of<F, 5>(),
             tile_of<F, 6>()}};
}

inline constexpr block_table table = {lanes::rows, lanes::panels, &round, kernels_of<q8>(), kernels_of<q4>()};
