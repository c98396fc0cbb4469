// SPDX-License-Identifier: Apache-2.0
// The panel kernels that every tier has, written once over `lanes`: rounding, epilogues, softmax, and the product where
// w's pairs are widened to floats, two fused multiply-adds a pair. Included like kernels.ipp. No guard, on purpose.

/// Rows in blocks: from row `first` on, `height` rows of a step side by side; rows beyond the last are zero.
template <class To>
LLAMAVISION_TARGET inline void round_rows(float const* x, std::size_t stride, std::size_t rows, std::size_t columns,
                                          std::size_t height, float scale, void* to) {
    To* out = static_cast<To*>(to);
    std::size_t const steps = panels::steps_of(columns);
    reg const factor = lanes::set(scale);
    for (std::size_t first = 0; first < rows; first += height, out += steps * height * panels::step)
        for (std::size_t r = 0; r < height; ++r) {
            To* y = out + r * panels::step;
            for (std::size_t k = 0; k < steps * panels::step; k += panels::step, y += height * panels::step)
                for (std::size_t i = 0; i < panels::step; i += lanes::width) {
                    reg a = lanes::set(0.0f);
                    if (first + r < rows && k + i < columns) {
                        float const* const from = x + (first + r) * stride + k + i;
                        a = k + i + lanes::width <= columns ? lanes::load(from) : load_some(from, columns - k - i);
                    }
                    lanes::store_rounded(y + i, lanes::multiply(a, factor));
                }
        }
}

/// The largest magnitude of a row becomes 127; adding 1.5·2²³ + 128 rounds, and leaves q + 128 in the lowest byte.
LLAMAVISION_TARGET inline void quantise_rows(float const* x, std::size_t stride, std::size_t rows, std::size_t columns,
                                             std::size_t height, void* to, float* scales) {
    auto* out = static_cast<std::uint8_t*>(to);
    std::size_t const steps = panels::ceiling(columns, panels::i8_step);
    reg const magic = lanes::set(0x1.8p23f + 128.0f), zero = lanes::set(0.0f);
    for (std::size_t first = 0; first < rows; first += height, out += steps * height * panels::i8_step)
        for (std::size_t r = 0; r < height; ++r) {
            float const* const row = x + (first + r) * stride;
            std::size_t const count = first + r < rows ? columns : 0;
            reg top = zero, odd = zero; // what is no number is lost in `top`, and not in 0 times it
            for (std::size_t k = 0; k < count; k += lanes::width) {
                reg const a = k + lanes::width <= count ? lanes::load(row + k) : load_some(row + k, count - k);
                top = lanes::max(top, lanes::max(a, lanes::subtract(zero, a)));
                odd = lanes::fma(a, zero, odd);
            }
            float lane[lanes::width], largest = 0.0f;
            lanes::store(lane, top);
            for (float const v : lane) largest = v > largest ? v : largest;
            float scale = largest / 127.0f;
            lanes::store(lane, odd);
            for (float const v : lane) scale += v;
            if (count) scales[first + r] = scale;
            reg const inverse = lanes::set(largest > 0.0f ? 127.0f / largest : 0.0f);
            for (std::size_t k = 0; k < steps * panels::i8_step; k += lanes::width) {
                reg a = zero;
                if (k < count) a = k + lanes::width <= count ? lanes::load(row + k) : load_some(row + k, count - k);
                lanes::store_low_bytes(out + (k / panels::i8_step * height + r) * panels::i8_step + k % panels::i8_step,
                                       lanes::fma(a, inverse, magic));
            }
        }
}

/// Products of integers without instructions for them.
LLAMAVISION_TARGET inline void multiply_plain_i8(void const* x, std::size_t block, std::size_t height,
                                                 std::size_t blocks, void const* w, std::size_t panel,
                                                 std::size_t count, std::size_t steps, float* c, std::size_t stride,
                                                 bool add, upcoming const&) {
    for (std::size_t p = 0; p < count; ++p)
        for (std::size_t r = 0; r < blocks * height; ++r) {
            auto const* rows = static_cast<std::uint8_t const*>(x) + r / height * block + r % height * panels::i8_step;
            auto const* weights = static_cast<std::int8_t const*>(w) + p * panel;
            float* const to = c + r * stride + p * panels::side;
            std::int32_t sums[panels::side] = {};
            if (add) std::memcpy(sums, to, sizeof sums);
            for (std::size_t s = 0; s < steps; ++s, rows += height * panels::i8_step)
                for (std::size_t k = 0; k < panels::i8_step; k += 4, weights += 4 * panels::side)
                    for (std::size_t o = 0; o < panels::side; ++o)
                        for (std::size_t i = 0; i < 4; ++i) sums[o] += rows[k + i] * weights[o * 4 + i];
            std::memcpy(to, sums, sizeof sums);
        }
}

/// Rows × (16 Panels) of c, x's rows `step` floats apart. Every sum takes its products in the order of k.
template <std::size_t Rows, std::size_t Panels>
LLAMAVISION_TARGET inline void wide_tile(float const* x, std::size_t height, std::byte const* w, std::size_t panel,
                                         std::size_t steps, float* c, std::size_t stride, bool add) {
    constexpr std::size_t vectors = panels::side / lanes::width;
    reg sums[Rows][Panels * vectors];
    LLAMAVISION_UNROLL
    for (std::size_t r = 0; r < Rows; ++r) {
        LLAMAVISION_UNROLL
        for (std::size_t v = 0; v < Panels * vectors; ++v)
            sums[r][v] = add ? lanes::load(c + r * stride + v * lanes::width) : lanes::set(0.0f);
    }
    for (std::size_t s = 0; s < steps; ++s, x += height * panels::step, w += panels::tile)
        for (std::size_t k = 0; k < panels::step; k += 2) {
            LLAMAVISION_UNROLL
            for (std::size_t v = 0; v < Panels * vectors; ++v) {
                std::byte const* const pairs = w + v / vectors * panel + k * 32 + v % vectors * lanes::width * 4;
                reg const even = lanes::even_of_pairs(pairs), odd = lanes::odd_of_pairs(pairs);
                LLAMAVISION_UNROLL
                for (std::size_t r = 0; r < Rows; ++r) {
                    sums[r][v] = lanes::fma(lanes::set(x[r * panels::step + k]), even, sums[r][v]);
                    sums[r][v] = lanes::fma(lanes::set(x[r * panels::step + k + 1]), odd, sums[r][v]);
                }
            }
        }
    LLAMAVISION_UNROLL
    for (std::size_t r = 0; r < Rows; ++r) {
        LLAMAVISION_UNROLL
        for (std::size_t v = 0; v < Panels * vectors; ++v) lanes::store(c + r * stride + v * lanes::width, sums[r][v]);
    }
}

template <std::size_t Panels>
LLAMAVISION_TARGET inline void wide_rows(float const* x, std::size_t height, std::byte const* w, std::size_t panel,
                                         std::size_t steps, float* c, std::size_t stride, bool add) {
    constexpr std::size_t most = lanes::panel_rows;
    if (height == 1) return wide_tile<1, Panels>(x, height, w, panel, steps, c, stride, add);
    if (height < most) {
        for (std::size_t r = 0; r < height; r += 2)
            wide_tile<2, Panels>(x + r * panels::step, height, w, panel, steps, c + r * stride, stride, add);
        return;
    }
    for (std::size_t r = 0; r < height; r += most)
        wide_tile<most, Panels>(x + r * panels::step, height, w, panel, steps, c + r * stride, stride, add);
}

LLAMAVISION_TARGET inline void multiply_wide(void const* x, std::size_t block, std::size_t height, std::size_t blocks,
                                             void const* w, std::size_t panel, std::size_t count, std::size_t steps,
                                             float* c, std::size_t stride, bool add, upcoming const&) {
    std::byte const* weights = static_cast<std::byte const*>(w);
    constexpr std::size_t group = lanes::panel_group;
    for (std::size_t p = 0; p < count;) {
        std::size_t const now = p + group <= count ? group : 1;
        for (std::size_t b = 0; b < blocks; ++b) {
            auto const* const rows = reinterpret_cast<float const*>(static_cast<std::byte const*>(x) + b * block);
            float* const to = c + b * height * stride + p * panels::side;
            if (now == group)
                wide_rows<group>(rows, height, weights + p * panel, panel, steps, to, stride, add);
            else
                wide_rows<1>(rows, height, weights + p * panel, panel, steps, to, stride, add);
        }
        p += now;
    }
}

/// The nearest integer, for |x| < 2²².
template <class Lanes = lanes>
LLAMAVISION_LANE reg nearest(reg x) {
    if constexpr (requires { Lanes::nearest(x); })
        return Lanes::nearest(x);
    else {
        reg const magic = lanes::set(0x1.8p23f);
        return lanes::subtract(lanes::add(x, magic), magic);
    }
}

template <class Lanes>
concept scales_by_powers = requires(reg a) {
    Lanes::times_power_of_2(a, a);
};

/// a 2ⁿ for integers n <= 0, which begin at -127, where it is 0, unless the tier says how.
template <class Lanes = lanes>
LLAMAVISION_LANE reg times_power_of_2(reg a, reg n) {
    if constexpr (scales_by_powers<Lanes>)
        return Lanes::times_power_of_2(a, n);
    else // n + 127, the exponent field of 2ⁿ, in the low bits
        return lanes::multiply(a, lanes::exponent_from_low_bits(lanes::add(n, lanes::set(0x1.8p23f + 127.0f))));
}

/// x Φ(x) = max(x, 0) + a Φ(a), a = -|x|, and Φ(a) = erfc(-a / sqrt 2) / 2 is 2 to a power that is nearly a parabola: a
/// polynomial of degree 6 gives a Φ(a) to 10⁻⁷ where a >= -6, and beyond it is less than 10⁻⁸.
LLAMAVISION_LANE reg gelu_of(reg x) {
    reg const zero = lanes::set(0.0f), magnitude = lanes::max(x, lanes::subtract(zero, x));
    reg const a = lanes::max(lanes::set(-6.0f), lanes::subtract(zero, magnitude));
    reg p = lanes::fma(lanes::set(3.309279782e-5f), a, lanes::set(7.692195359e-4f));
    p = lanes::fma(p, a, lanes::set(8.080716245e-3f));
    p = lanes::fma(p, a, lanes::set(5.341210216e-2f));
    p = lanes::fma(p, a, lanes::set(-4.587709606e-1f));
    p = lanes::fma(p, a, lanes::set(1.151201725f));
    p = lanes::fma(p, a, lanes::set(-9.999930859e-1f));
    reg const n = nearest(p), f = lanes::subtract(p, n);
    // 2^f to 2 · 10⁻⁷ of it
    reg q = lanes::fma(lanes::set(1.327647129e-3f), f, lanes::set(9.675541893e-3f));
    q = lanes::fma(q, f, lanes::set(5.550713092e-2f));
    q = lanes::fma(q, f, lanes::set(2.402212024e-1f));
    q = lanes::fma(q, f, lanes::set(6.931469440e-1f));
    q = lanes::fma(q, f, lanes::set(1.000000119f));
    return lanes::fma(a, times_power_of_2(q, n), lanes::max(x, zero));
}

/// 1 / (1 + exp(-x)), exp of the smaller side only.
LLAMAVISION_LANE reg silu_of(reg x) {
    reg const zero = lanes::set(0.0f), one = lanes::set(1.0f);
    reg const e = exponential(lanes::subtract(zero, lanes::max(x, lanes::subtract(zero, x)))); // exp(-|x|)
    // x >= 0: x / (1 + e); x < 0: x e / (1 + e).
    reg const up = lanes::max(x, zero), down = lanes::subtract(x, up);
    return lanes::divide(lanes::fma(down, e, up), lanes::add(one, e));
}

LLAMAVISION_LANE reg load_up_to(float const* p, std::size_t i, std::size_t count) {
    return i + lanes::width <= count ? lanes::load(p + i) : load_some(p + i, count - i);
}

LLAMAVISION_LANE void store_some(float* y, reg a, std::size_t count) {
    float values[lanes::width];
    lanes::store(values, a);
    for (std::size_t i = 0; i < count; ++i) y[i] = values[i];
}

/// Place i of row r, as floats.
template <bool Integers>
LLAMAVISION_LANE reg sums_at(finished_tile const& t, finished_tile::sums const& from, std::size_t r, std::size_t i) {
    float const* const c = from.c + r * t.stride + i;
    if constexpr (!Integers) return lanes::load(c);
    // The compiler's own vectors: every tier converts integers, and none of the lanes says how.
    using integers = std::int32_t __attribute__((vector_size(lanes::width * 4)));
    using floats = float __attribute__((vector_size(lanes::width * 4)));
    integers sums, start = {};
    std::memcpy(&sums, c, sizeof sums);
    if (from.starts) std::memcpy(&start, from.starts + i, sizeof start);
    floats const whole = __builtin_convertvector(sums + start, floats);
    float values[lanes::width];
    std::memcpy(values, &whole, sizeof values);
    return lanes::multiply(lanes::load(values),
                           lanes::multiply(lanes::load(from.scales + i), lanes::set(t.row_scales[r])));
}

template <finish What, bool Integers, class Lanes = lanes>
LLAMAVISION_LANE void put_rows(finished_tile const& t) {
    constexpr bool streams = requires { Lanes::can_stream(t.y); };
    for (std::size_t r = 0; r < t.rows; ++r) {
        float* const y = t.y + r * t.outputs;
        bool past = t.past;
        if constexpr (streams) past = past && Lanes::can_stream(y);
        for (std::size_t i = 0; i < t.count; i += lanes::width) {
            reg a = sums_at<Integers>(t, t.first, r, i);
            if (t.bias) a = lanes::add(a, load_up_to(t.bias, i, t.count));
            if constexpr (What == finish::activated) a = gelu_of(a);
            if constexpr (What == finish::added) a = lanes::fma(lanes::set(t.scale), a, load_up_to(y, i, t.count));
            if constexpr (What == finish::gated) a = lanes::multiply(silu_of(a), sums_at<Integers>(t, t.second, r, i));
            if (t.count - i < lanes::width) {
                store_some(y + i, a, t.count - i);
                continue;
            }
            if constexpr (streams)
                if (past) {
                    Lanes::stream(y + i, a);
                    continue;
                }
            lanes::store(y + i, a);
        }
    }
}

template <finish What>
LLAMAVISION_TARGET inline void put(finished_tile const& t) {
    if (t.row_scales)
        put_rows<What, true>(t);
    else
        put_rows<What, false>(t);
}

/// 2^x for finite x <= 0, to 1e-4 of it: what follows is rounded to bf16, to 2e-3.
template <class Lanes = lanes>
LLAMAVISION_LANE reg power_of_2(reg x) {
    if constexpr (!scales_by_powers<Lanes>) x = lanes::max(lanes::set(-127.0f), x);
    reg const n = nearest(x), f = lanes::subtract(x, n); // f in [-1/2, 1/2]
    reg p = lanes::fma(lanes::set(0.0550089208f), f, lanes::set(0.242210981f));
    p = lanes::fma(p, f, lanes::set(0.693282931f));
    p = lanes::fma(p, f, lanes::set(1.0f));
    return times_power_of_2(p, n);
}

/// Of all lanes, in halves.
LLAMAVISION_LANE float largest_of(reg a) {
    float lane[lanes::width];
    lanes::store(lane, a);
    LLAMAVISION_UNROLL
    for (std::size_t half = lanes::width / 2; half > 0; half /= 2) {
        LLAMAVISION_UNROLL
        for (std::size_t i = 0; i < half; ++i) lane[i] = lane[i + half] > lane[i] ? lane[i + half] : lane[i];
    }
    return lane[0];
}
LLAMAVISION_LANE float sum_of(reg a) {
    float lane[lanes::width];
    lanes::store(lane, a);
    LLAMAVISION_UNROLL
    for (std::size_t half = lanes::width / 2; half > 0; half /= 2) {
        LLAMAVISION_UNROLL
        for (std::size_t i = 0; i < half; ++i) lane[i] += lane[i + half];
    }
    return lane[0];
}

/// Several sums or maxima at a time, so that none waits for itself.
inline constexpr std::size_t softmax_chains = panels::step / lanes::width < 4 ? panels::step / lanes::width : 4;

/// Scores of keys that weigh nothing: finite, so that they can be subtracted from each other.
inline constexpr float no_score = -0x1.fffffep127f;

/// s += bias log2 e
LLAMAVISION_TARGET inline void add_bias(float* s, float const* bias, std::size_t count) {
    reg const log2_e = lanes::set(1.44269504f), least = lanes::set(no_score);
    for (std::size_t i = 0; i < count; i += lanes::width) {
        reg const b = i + lanes::width <= count ? lanes::load(bias + i) : load_some(bias + i, count - i);
        lanes::store(s + i, lanes::max(least, lanes::fma(b, log2_e, lanes::load(s + i))));
    }
}

/// Weights of a step, rounded.
template <class To, class Lanes = lanes>
LLAMAVISION_LANE void store_weights(To* to, reg const (&p)[softmax_chains]) {
    if constexpr (requires { Lanes::store_weights(to, p[0], p[1]); })
        Lanes::store_weights(to, p[0], p[1]);
    else {
        LLAMAVISION_UNROLL
        for (std::size_t c = 0; c < softmax_chains; ++c) lanes::store_weight(to + c * lanes::width, p[c]);
    }
}

/// 2^(s - shift), rounded into a row's place in a block of x; returns their sums before that, in lanes.
template <class To>
LLAMAVISION_LANE reg weigh_row(float const* s, std::size_t filled, reg shift, std::size_t height, To* to) {
    constexpr std::size_t stretch = softmax_chains * lanes::width;
    reg sums[softmax_chains];
    LLAMAVISION_UNROLL
    for (std::size_t c = 0; c < softmax_chains; ++c) sums[c] = lanes::set(0.0f);
    for (std::size_t i = 0; i < filled; i += panels::step, to += height * panels::step)
        for (std::size_t j = 0; j < panels::step; j += stretch) {
            reg p[softmax_chains];
            LLAMAVISION_UNROLL
            for (std::size_t c = 0; c < softmax_chains; ++c) {
                p[c] = power_of_2(lanes::subtract(lanes::load(s + i + j + c * lanes::width), shift));
                sums[c] = lanes::add(sums[c], p[c]);
            }
            store_weights(to + j, p);
        }
    LLAMAVISION_UNROLL
    for (std::size_t c = 1; c < softmax_chains; ++c) sums[0] = lanes::add(sums[0], sums[c]);
    return sums[0];
}

/// Of a row's scores.
LLAMAVISION_LANE float largest_score(float const* s, std::size_t filled, float least) {
    constexpr std::size_t stretch = softmax_chains * lanes::width;
    reg tops[softmax_chains];
    LLAMAVISION_UNROLL
    for (std::size_t c = 0; c < softmax_chains; ++c) tops[c] = lanes::set(least);
    for (std::size_t i = 0; i < filled; i += stretch) {
        LLAMAVISION_UNROLL
        for (std::size_t c = 0; c < softmax_chains; ++c)
            tops[c] = lanes::max(tops[c], lanes::load(s + i + c * lanes::width));
    }
    LLAMAVISION_UNROLL
    for (std::size_t c = 1; c < softmax_chains; ++c) tops[0] = lanes::max(tops[0], tops[c]);
    return largest_of(tops[0]);
}

/// Of any lane, or no number.
template <class Lanes = lanes>
LLAMAVISION_LANE bool any_above(reg a, float limit) {
    if constexpr (requires { Lanes::any_above(a, a); })
        return Lanes::any_above(a, lanes::set(limit));
    else
        return largest_of(a) > limit;
}

template <class To>
LLAMAVISION_TARGET inline float softmax_row(float* s, float const* bias, std::size_t count, std::size_t filled,
                                            float& shift, float* total, std::size_t height, void* to) {
    if (bias) add_bias(s, bias, count);
    for (std::size_t i = count; i < filled; ++i) s[i] = no_score;
    float keep = 1.0f;
    reg sum = lanes::set(0.0f);
    bool const first = shift <= no_score;
    if (!first) sum = weigh_row(s, filled, lanes::set(shift), height, static_cast<To*>(to));
    if (first || any_above(sum, panels::large_sum)) {
        float const largest = largest_score(s, filled, shift);
        float const next = largest > no_score ? largest : 0.0f; // only keys of weight zero so far
        float lane[lanes::width];
        lanes::store(lane, power_of_2(lanes::set(first ? no_score : shift - next)));
        keep = lane[0];
        shift = largest;
        sum = weigh_row(s, filled, lanes::set(next), height, static_cast<To*>(to));
    }
    lanes::store(total, lanes::fma(lanes::load(total), lanes::set(keep), sum));
    return keep;
}

LLAMAVISION_TARGET inline void scale_values(float* o, float factor, std::size_t count) {
    for (std::size_t i = 0; i < count; i += lanes::width)
        lanes::store(o + i, lanes::multiply(lanes::load(o + i), lanes::set(factor)));
}

inline constexpr panel_table wide_panels = [] {
    panel_table t = {};
    t.wide = true;
    t.most_steps = 40;
    t.group = lanes::panel_group;
    t.together = 1;
    t.most_panels = 12;
    t.most_blocks = 8;
    t.round = &round_rows<float>;
    t.multiply = &multiply_wide;
    t.biased = true;
    t.quantise = &quantise_rows;
    t.multiply_i8 = &multiply_plain_i8;
    t.put[static_cast<int>(finish::plain)] = &put<finish::plain>;
    t.put[static_cast<int>(finish::activated)] = &put<finish::activated>;
    t.put[static_cast<int>(finish::added)] = &put<finish::added>;
    t.put[static_cast<int>(finish::gated)] = &put<finish::gated>;
    t.softmax = &softmax_row<float>;
    t.narrow = &round_rows<bf16>;
    t.scale = &scale_values;
    return t;
}();
