// SPDX-License-Identifier: Apache-2.0
// The kernels of products and attention, written once over `lanes`. Every tier includes this text inside its namespace,
// with LLAMAVISION_TARGET naming its instruction set: attributes do not reach through templates or lambdas, text does.
// No guard, on purpose.

using reg = lanes::reg;

/// The first `count` < width values, then zeros.
template <class W>
LLAMAVISION_LANE reg load_some(W const* p, std::size_t count) {
    float values[lanes::width] = {};
    for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<float>(p[i]);
    return lanes::load(values);
}

template <class W>
LLAMAVISION_TARGET inline void widen(W const* values, std::size_t count, float* y) {
    std::size_t i = 0;
    for (; i + lanes::width <= count; i += lanes::width) lanes::store(y + i, lanes::load(values + i));
    for (; i < count; ++i) y[i] = static_cast<float>(values[i]);
}

/// One register an output: lane l sums the products of columns ≡ l, in their order; then the lanes are added in pairs.
/// So an output's bits depend on nothing but its two rows.
template <std::size_t Rows, class W>
LLAMAVISION_TARGET inline void dots(W const* w, std::size_t w_stride, float const* x, std::size_t x_stride,
                                    std::size_t count, float* y, std::size_t y_stride) {
    reg sums[Rows][4];
    LLAMAVISION_UNROLL
    for (std::size_t r = 0; r < Rows; ++r) {
        LLAMAVISION_UNROLL
        for (std::size_t o = 0; o < 4; ++o) sums[r][o] = lanes::set(0.0f);
    }
    std::size_t i = 0;
    for (; i + lanes::width <= count; i += lanes::width) {
        reg a[Rows];
        LLAMAVISION_UNROLL
        for (std::size_t r = 0; r < Rows; ++r) a[r] = lanes::load(x + r * x_stride + i);
        LLAMAVISION_UNROLL
        for (std::size_t o = 0; o < 4; ++o) {
            reg const b = lanes::load(w + o * w_stride + i);
            LLAMAVISION_UNROLL
            for (std::size_t r = 0; r < Rows; ++r) sums[r][o] = lanes::fma(a[r], b, sums[r][o]);
        }
    }
    if (i < count) {
        reg a[Rows];
        LLAMAVISION_UNROLL
        for (std::size_t r = 0; r < Rows; ++r) a[r] = load_some(x + r * x_stride + i, count - i);
        LLAMAVISION_UNROLL
        for (std::size_t o = 0; o < 4; ++o) {
            reg const b = load_some(w + o * w_stride + i, count - i);
            LLAMAVISION_UNROLL
            for (std::size_t r = 0; r < Rows; ++r) sums[r][o] = lanes::fma(a[r], b, sums[r][o]);
        }
    }
    LLAMAVISION_UNROLL
    for (std::size_t r = 0; r < Rows; ++r) lanes::add_sums(sums[r], y + r * y_stride);
}

/// exp(x) for x <= 0: 2ⁿ·exp(r) with n = round(x / ln 2), |r| <= ln 2 / 2, and Cephes' polynomial for exp(r). Adding
/// 1.5·2²³ + 127 rounds, and leaves n + 127, the exponent field of 2ⁿ, in the low bits. 0 below -87.7, and exp(0) = 1.
LLAMAVISION_LANE reg exponential(reg x) {
    x = lanes::max(lanes::set(-88.02f), x);
    reg const magic = lanes::set(0x1.8p23f + 127.0f);
    reg const shifted = lanes::fma(x, lanes::set(1.44269504f), magic);
    reg const n = lanes::subtract(lanes::subtract(shifted, lanes::set(0x1.8p23f)), lanes::set(127.0f));
    reg r = lanes::fma(n, lanes::set(-0.693359375f), x);
    r = lanes::fma(n, lanes::set(2.12194440e-4f), r);
    reg p = lanes::fma(lanes::set(1.9875691500e-4f), r, lanes::set(1.3981999507e-3f));
    p = lanes::fma(p, r, lanes::set(8.3334519073e-3f));
    p = lanes::fma(p, r, lanes::set(4.1665795894e-2f));
    p = lanes::fma(p, r, lanes::set(1.6666665459e-1f));
    p = lanes::fma(p, r, lanes::set(5.0000001201e-1f));
    p = lanes::fma(p, lanes::multiply(r, r), r);
    return lanes::multiply(lanes::add(p, lanes::set(1.0f)), lanes::exponent_from_low_bits(shifted));
}

/// Keys × Vectors registers of scores: s (Keys, queries).
template <std::size_t Keys, std::size_t Vectors>
LLAMAVISION_LANE void scores_tile(float const* q, std::size_t stride, std::size_t dim, float const* keys,
                                  std::size_t key_stride, float const* bias, float scale, float* s) {
    reg sums[Keys][Vectors];
    LLAMAVISION_UNROLL
    for (std::size_t k = 0; k < Keys; ++k) {
        LLAMAVISION_UNROLL
        for (std::size_t v = 0; v < Vectors; ++v) sums[k][v] = lanes::set(0.0f);
    }
    for (std::size_t d = 0; d < dim; ++d) {
        reg a[Vectors];
        LLAMAVISION_UNROLL
        for (std::size_t v = 0; v < Vectors; ++v) a[v] = lanes::load(q + d * stride + v * lanes::width);
        LLAMAVISION_UNROLL
        for (std::size_t k = 0; k < Keys; ++k) {
            reg const b = lanes::set(keys[k * key_stride + d]);
            LLAMAVISION_UNROLL
            for (std::size_t v = 0; v < Vectors; ++v) sums[k][v] = lanes::fma(a[v], b, sums[k][v]);
        }
    }
    LLAMAVISION_UNROLL
    for (std::size_t k = 0; k < Keys; ++k) {
        reg const b = lanes::set(bias ? bias[k] : 0.0f);
        LLAMAVISION_UNROLL
        for (std::size_t v = 0; v < Vectors; ++v)
            lanes::store(s + k * stride + v * lanes::width, lanes::fma(sums[k][v], lanes::set(scale), b));
    }
}

template <std::size_t Vectors>
LLAMAVISION_TARGET inline void scores(float const* q, std::size_t stride, std::size_t dim, float const* keys,
                                      std::size_t key_stride, float const* bias, std::size_t count, float scale,
                                      float* s) {
    constexpr std::size_t keys_at_once = Vectors == 1 ? 8 : 4; // enough sums that none waits for itself
    std::size_t k = 0;
    for (; k + keys_at_once <= count; k += keys_at_once)
        scores_tile<keys_at_once, Vectors>(q, stride, dim, keys + k * key_stride, key_stride, bias ? bias + k : nullptr,
                                           scale, s + k * stride);
    for (; k < count; ++k)
        scores_tile<1, Vectors>(q, stride, dim, keys + k * key_stride, key_stride, bias ? bias + k : nullptr, scale,
                                s + k * stride);
}

/// What is subtracted before exp: finite even where every score so far is -inf, so that exp(-inf - it) is 0.
LLAMAVISION_LANE reg finite(reg largest) { return lanes::max(lanes::set(-0x1.fffffep127f), largest); }

LLAMAVISION_TARGET inline void softmax(float* s, std::size_t stride, std::size_t count, float* largest, float* total,
                                       float* keep) {
    reg const before = lanes::load(largest);
    reg top = before;
    for (std::size_t k = 0; k < count; ++k) top = lanes::max(top, lanes::load(s + k * stride));
    reg const shift = finite(top);
    reg sum = lanes::set(0.0f);
    for (std::size_t k = 0; k < count; ++k) {
        reg const p = exponential(lanes::subtract(lanes::load(s + k * stride), shift));
        lanes::store(s + k * stride, p);
        sum = lanes::add(sum, p);
    }
    reg const factor = exponential(lanes::subtract(before, shift));
    lanes::store(largest, top);
    lanes::store(keep, factor);
    lanes::store(total, lanes::fma(lanes::load(total), factor, sum));
}

/// Dims × Vectors registers of output: o (Dims, queries).
template <std::size_t Dims, std::size_t Vectors>
LLAMAVISION_LANE void values_tile(float const* p, std::size_t stride, std::size_t count, float const* values,
                                  std::size_t value_stride, float const* keep, float* o) {
    reg sums[Dims][Vectors];
    LLAMAVISION_UNROLL
    for (std::size_t d = 0; d < Dims; ++d) {
        LLAMAVISION_UNROLL
        for (std::size_t v = 0; v < Vectors; ++v)
            sums[d][v] =
                lanes::multiply(lanes::load(o + d * stride + v * lanes::width), lanes::load(keep + v * lanes::width));
    }
    for (std::size_t k = 0; k < count; ++k) {
        reg a[Vectors];
        LLAMAVISION_UNROLL
        for (std::size_t v = 0; v < Vectors; ++v) a[v] = lanes::load(p + k * stride + v * lanes::width);
        LLAMAVISION_UNROLL
        for (std::size_t d = 0; d < Dims; ++d) {
            reg const b = lanes::set(values[k * value_stride + d]);
            LLAMAVISION_UNROLL
            for (std::size_t v = 0; v < Vectors; ++v) sums[d][v] = lanes::fma(a[v], b, sums[d][v]);
        }
    }
    LLAMAVISION_UNROLL
    for (std::size_t d = 0; d < Dims; ++d) {
        LLAMAVISION_UNROLL
        for (std::size_t v = 0; v < Vectors; ++v) lanes::store(o + d * stride + v * lanes::width, sums[d][v]);
    }
}

template <std::size_t Vectors>
LLAMAVISION_TARGET inline void values(float const* p, std::size_t stride, std::size_t count, float const* v,
                                      std::size_t value_stride, std::size_t dim, float const* keep, float* o) {
    constexpr std::size_t dims_at_once = Vectors == 1 ? 8 : 4;
    std::size_t d = 0;
    for (; d + dims_at_once <= dim; d += dims_at_once)
        values_tile<dims_at_once, Vectors>(p, stride, count, v + d, value_stride, keep, o + d * stride);
    for (; d < dim; ++d) values_tile<1, Vectors>(p, stride, count, v + d, value_stride, keep, o + d * stride);
}

LLAMAVISION_TARGET inline void merge(float* largest, float* total, float* o, float const* other_largest,
                                     float const* other_total, float const* other_o, std::size_t stride,
                                     std::size_t dim) {
    reg const top = lanes::max(lanes::load(largest), lanes::load(other_largest));
    reg const a = exponential(lanes::subtract(lanes::load(largest), finite(top)));
    reg const b = exponential(lanes::subtract(lanes::load(other_largest), finite(top)));
    lanes::store(largest, top);
    lanes::store(total, lanes::fma(lanes::load(total), a, lanes::multiply(lanes::load(other_total), b)));
    for (std::size_t d = 0; d < dim * stride; d += stride)
        lanes::store(o + d, lanes::fma(lanes::load(o + d), a, lanes::multiply(lanes::load(other_o + d), b)));
}

template <std::size_t Rows>
constexpr kernel_table::dots<float> product_of() {
    if constexpr (Rows <= lanes::rows)
        return &dots<Rows, float>;
    else
        return nullptr;
}

inline constexpr kernel_table table = {
    lanes::level,
    lanes::rows,
    {nullptr, product_of<1>(), product_of<2>(), product_of<3>(), product_of<4>(), product_of<5>(), product_of<6>()},
    &dots<1, bf16>,
    &dots<1, f16>,
    &widen<bf16>,
    &widen<f16>,
    lanes::width,
    lanes::vectors,
    {&scores<1>, &scores<lanes::vectors>},
    &softmax,
    {&values<1>, &values<lanes::vectors>},
    &merge};
