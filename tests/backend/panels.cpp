// SPDX-License-Identifier: Apache-2.0
// Products of weights that were laid out for it, on every tier: against sums in double over the rounded factors, alone
// and in batches, with every epilogue, on any number of threads.
#include "repacked.hpp"
#include "tiers.hpp"

#include <bit>
#include <cmath>
#include <limits>
#include <memory>

using namespace backends;

namespace {

/// A weight of random values as the backend lays it out.

using panelled = repacked;

double rounded(float v) { return static_cast<double>(static_cast<float>(lv::bf16::round(v))); }

/// The largest error relative to the sum of absolute products of the rounded factors. What is left is the order of
/// additions in float: n of them lose at most n · 2⁻²⁴ of that sum, twice that where they round to odd, and far less in
/// the mean.
double error(weight const& w, lv::matrix const& m, std::vector<float> const& bias, std::vector<float> const& x,
             std::size_t rows, std::vector<float> const& y) {
    double worst = 0;
    for (std::size_t r = 0; r < rows; ++r)
        for (std::size_t o = 0; o < m.rows; ++o) {
            double sum = bias.empty() ? 0.0 : static_cast<double>(bias[o]), size = std::abs(sum);
            for (std::size_t k = 0; k < m.columns; ++k) {
                double const product = rounded(x[r * m.columns + k]) * rounded(static_cast<float>(w.at(o, k)));
                sum += product;
                size += std::abs(product);
            }
            double const e = std::abs(static_cast<double>(y[r * m.rows + o]) - sum) / (size + 1e-30);
            if (!(e <= worst)) worst = e;
        }
    return worst;
}

void check(lv::simd const& b, lv::format type, std::size_t rows, std::size_t outputs, std::size_t columns) {
    CAPTURE(rows);
    CAPTURE(outputs);
    CAPTURE(columns);
    numbers n(rows * 31 + outputs * 7 + columns);
    weight const w(type, outputs, columns, n.floats(outputs * columns));
    panelled const p(b, w);
    std::vector<float> const x = n.floats(rows * columns);
    std::vector<float> const bias = columns % 2 ? n.floats(outputs) : std::vector<float>();
    std::vector<float> y(rows * outputs + 1, 777.0f);
    b.linear(p.view(), bias.empty() ? nullptr : bias.data(), x.data(), rows, y.data());
    CHECK(error(w, p.view(), bias, x, rows, y) < 1e-6);
    CHECK(y.back() == 777.0f);
}

lv::simd on(lv::tier level, std::size_t threads) { return lv::simd(lv::simd_options{threads, level, nullptr}); }

} // namespace

TEST_CASE("a product of panels is within 1e-6 of the sum of its rounded absolute terms, for every small size") {
    on_every_tier([](lv::tier level) {
        lv::simd const b = on(level, 1);
        for (std::size_t size = 1; size <= 67; ++size) {
            check(b, lv::format::f32, 1, size % 37 + 1, size);
            check(b, lv::format::f16, size, size % 19 + 1, size % 33 + 1);
            check(b, lv::format::bf16, size % 33 + 1, size, (size * 5) % 67 + 1);
        }
    });
}

TEST_CASE("large products of panels cross parts of rows, outputs and columns") {
    on_every_tier([](lv::tier level) {
        lv::simd const b = on(level, 2);
        check(b, lv::format::bf16, 1, 70, 4096);
        check(b, lv::format::bf16, 7, 33, 1290);
        check(b, lv::format::f32, 40, 129, 1301);
        check(b, lv::format::f32, 275, 113, 601);
    });
}

namespace {

/// x or w as what its integers stand for: the row's largest magnitude is 127 of them.
std::vector<double> quantised(std::vector<float> const& x, std::size_t rows, std::size_t columns) {
    std::vector<double> y(x.size());
    for (std::size_t r = 0; r < rows; ++r) {
        float largest = 0;
        for (std::size_t k = 0; k < columns; ++k) largest = std::max(largest, std::abs(x[r * columns + k]));
        float const inverse = largest > 0 ? 127.0f / largest : 0.0f;
        for (std::size_t k = 0; k < columns; ++k)
            y[r * columns + k] = static_cast<double>(std::nearbyint(x[r * columns + k] * inverse))
                                 * static_cast<double>(largest / 127.0f);
    }
    return y;
}

void check_i8(lv::simd const& b, std::size_t rows, std::size_t outputs, std::size_t columns) {
    CAPTURE(rows);
    CAPTURE(outputs);
    CAPTURE(columns);
    numbers n(rows * 31 + outputs * 7 + columns);
    std::vector<float> const values = n.floats(outputs * columns), x = n.floats(rows * columns, 3.0f);
    weight const w(lv::format::f32, outputs, columns, values);
    panelled const p(b, w, lv::weight_format::i8);
    std::vector<float> const bias = n.floats(outputs);
    std::vector<float> y(rows * outputs + 1, 777.0f);
    b.linear(p.view(), bias.data(), x.data(), rows, y.data());
    std::vector<double> const xs = quantised(x, rows, columns), ws = quantised(values, outputs, columns);
    // A product x · 127 / largest may lie at a half and round either way: one unit of one factor, in one of the sum.
    double const unit = 3.0 / 127 + 1e-6;
    double worst = 0;
    std::size_t off = 0;
    for (std::size_t r = 0; r < rows; ++r)
        for (std::size_t o = 0; o < outputs; ++o) {
            double sum = static_cast<double>(bias[o]), size = std::abs(sum);
            for (std::size_t k = 0; k < columns; ++k) {
                sum += xs[r * columns + k] * ws[o * columns + k];
                size += std::abs(xs[r * columns + k] * ws[o * columns + k]);
            }
            double const e = std::abs(static_cast<double>(y[r * outputs + o]) - sum);
            off += e > 1e-6 * size;
            worst = std::max(worst, e);
        }
    CHECK(worst < unit);
    CHECK(off <= rows * outputs / 50);
    CHECK(y.back() == 777.0f);
}

#if defined(__FP_FAST_FMAF)
constexpr bool fused_baseline = true; // a multiply-add that rounds once
#else
constexpr bool fused_baseline = false;
#endif

} // namespace

TEST_CASE("a product of integers is that of the rounded factors, and the same bits on every tier that fuses") {
    std::vector<float> first;
    on_every_tier([&](lv::tier level) {
        lv::simd const b = on(level, 2);
        for (std::size_t size : {1u, 3u, 4u, 5u, 15u, 16u, 17u, 63u, 64u, 65u, 130u}) {
            check_i8(b, 1, size % 37 + 1, size);
            check_i8(b, size, size % 19 + 1, size % 33 + 1);
            check_i8(b, size % 33 + 1, size, (size * 5) % 67 + 1);
        }
        check_i8(b, 1, 70, 4096);
        check_i8(b, 275, 113, 1301);
        numbers n(3);
        weight const w(lv::format::bf16, 75, 1100, n.floats(75 * 1100)),
            up(lv::format::bf16, 75, 1100, n.floats(75 * 1100));
        panelled const p(b, w, lv::weight_format::i8), q(b, up, lv::weight_format::i8);
        std::vector<float> const x = n.floats(290 * 1100);
        std::vector<float> y(290 * 75), alone(75);
        b.linear(p.view(), nullptr, x.data(), 290, y.data());
        // Without fused multiply-adds a value near a half may be rounded the other way.
        if (level != lv::tier::baseline || fused_baseline) {
            if (first.empty()) first = y;
            CHECK(same_bits(first, y));
        }
        for (std::size_t r = 0; r < 290; r += 13) {
            b.linear(p.view(), nullptr, x.data() + r * 1100, 1, alone.data());
            CHECK(std::memcmp(alone.data(), y.data() + r * 75, 75 * sizeof(float)) == 0);
        }
        b.linear(q.view(), nullptr, x.data(), 1, alone.data());
        std::vector<double> expected(75);
        for (std::size_t i = 0; i < 75; ++i)
            expected[i] =
                static_cast<double>(y[i]) / (1 + std::exp(-static_cast<double>(y[i]))) * static_cast<double>(alone[i]);
        std::vector<float> fused(75);
        b.fused_swiglu(p.view(), q.view(), x.data(), 1, fused.data());
        CHECK(distance(fused, expected, 1e-3) < 1e-6);
    });
}

namespace {

/// a + b, of the two floats around it the one whose last bit is 1 if it is none itself.
float added_to_odd(float a, float b) {
    double const x = static_cast<double>(a), y = static_cast<double>(b), sum = x + y;
    double const part = sum - x, lost = (x - (sum - part)) + (y - part); // sum + lost is exact (Knuth's TwoSum)
    auto const near = static_cast<float>(sum);
    double const off = (sum - static_cast<double>(near)) + lost; // of the exact sum from `near`
    if (off == 0.0 || (std::bit_cast<std::uint32_t>(near) & 1u) != 0) return near;
    return std::nextafter(near,
                          off > 0 ? std::numeric_limits<float>::infinity() : -std::numeric_limits<float>::infinity());
}

} // namespace

TEST_CASE("NEON adds products of bfloat16 pair by pair, and rounds to odd") {
    CHECK(added_to_odd(1.0f, 0x1p-30f) == 1.0f + 0x1p-23f);
    CHECK(added_to_odd(1.0f, -0x1p-30f) == 1.0f - 0x1p-24f);
    CHECK(added_to_odd(1.0f + 0x1p-23f, 0x1p-30f) == 1.0f + 0x1p-23f);
    CHECK(added_to_odd(1.0f, 2.0f) == 3.0f);
    if (!lv::available(lv::tier::neon_bf16)) {
        MESSAGE("skipped: this machine has no " << std::string(lv::name_of(lv::tier::neon_bf16)));
        return;
    }
    lv::simd const b = on(lv::tier::neon_bf16, 1);
    std::size_t const outputs = 21, columns = 2059;
    for (std::size_t rows : {1u, 2u, 3u, 8u, 35u}) {
        CAPTURE(rows);
        numbers n(rows);
        weight const w(lv::format::bf16, outputs, columns, n.floats(outputs * columns));
        panelled const p(b, w);
        std::vector<float> const x = n.floats(rows * columns);
        std::vector<float> y(rows * outputs), expected(rows * outputs);
        b.linear(p.view(), nullptr, x.data(), rows, y.data());
        auto const product = [&](std::size_t r, std::size_t o, std::size_t k) {
            return k < columns ? static_cast<float>(rounded(x[r * columns + k]) * w.at(o, k)) : 0.0f;
        };
        for (std::size_t r = 0; r < rows; ++r)
            for (std::size_t o = 0; o < outputs; ++o)
                for (std::size_t k = 0; k < columns; k += 2) {
                    float& sum = expected[r * outputs + o];
                    sum = added_to_odd(sum, added_to_odd(product(r, o, k), product(r, o, k + 1)));
                }
        CHECK(y == expected);
    }
}

TEST_CASE("products of panels have the same bits alone, in batches, and on any number of threads") {
    on_every_tier([](lv::tier level) {
        std::size_t const rows = 290, outputs = 75, columns = 1100;
        numbers n(5);
        weight const w(lv::format::bf16, outputs, columns, n.floats(outputs * columns));
        std::vector<float> const x = n.floats(rows * columns), bias = n.floats(outputs);
        lv::simd const one = on(level, 1);
        panelled const p(one, w);
        std::vector<float> first(rows * outputs), y(rows * outputs);
        one.linear(p.view(), bias.data(), x.data(), rows, first.data());
        for (std::size_t threads : {2u, 3u, 7u}) {
            on(level, threads).linear(p.view(), bias.data(), x.data(), rows, y.data());
            CHECK(same_bits(first, y));
        }
        for (std::size_t r = 0; r < rows; r += r < 20 ? 1 : 17)
            one.linear(p.view(), bias.data(), x.data() + r * columns, 1, y.data() + r * outputs);
        CHECK(same_bits(first, y)); // the rows that were not asked for are those of seven threads
    });
}

TEST_CASE("the layout is one for all tiers") {
    numbers n(9);
    weight const w(lv::format::f16, 45, 70, n.floats(45 * 70));
    std::size_t const bytes = on(lv::tier::baseline, 1).repacked_bytes(w.view(), lv::weight_format::bf16);
    CHECK(bytes == 3 * 3 * 1024);
    panelled const expected(on(lv::tier::baseline, 1), w);
    on_every_tier([&](lv::tier level) {
        panelled const p(on(level, 2), w);
        CHECK(std::memcmp(p.view().data, expected.view().data, bytes) == 0);
    });
    // Output 17 at column 5: the second of pair 2, in row 2 of the second panel, place 1.
    auto const* const values = static_cast<lv::bf16 const*>(expected.view().data);
    CHECK(static_cast<double>(static_cast<float>(values[3 * 512 + (2 * 16 + 1) * 2 + 1]))
          == rounded(static_cast<float>(w.at(17, 5))));
    CHECK(on(lv::tier::baseline, 1).repacked_bytes(w.view(), lv::weight_format::stored) == 0);
}

TEST_CASE("epilogues of panels: the residual's sum and the gated product, against their parts") {
    on_every_tier([](lv::tier level) {
        lv::simd const b = on(level, 2);
        for (std::size_t rows : {1u, 5u, 70u})
            for (std::size_t outputs : {1u, 16u, 67u, 130u}) {
                CAPTURE(rows);
                CAPTURE(outputs);
                std::size_t const columns = 129, size = rows * outputs;
                numbers n(rows + outputs);
                weight const gate(lv::format::bf16, outputs, columns, n.floats(outputs * columns));
                weight const up(lv::format::bf16, outputs, columns, n.floats(outputs * columns));
                panelled const g(b, gate), u(b, up);
                std::vector<float> const x = n.floats(rows * columns), bias = n.floats(outputs);
                std::vector<float> a(size), c(size), fused(size), sum = n.floats(size), fused_sum = sum;
                b.linear(g.view(), nullptr, x.data(), rows, a.data());
                b.linear(u.view(), nullptr, x.data(), rows, c.data());
                b.fused_swiglu(g.view(), u.view(), x.data(), rows, fused.data());
                std::vector<double> expected(size);
                for (std::size_t i = 0; i < size; ++i)
                    expected[i] = static_cast<double>(a[i]) / (1 + std::exp(-static_cast<double>(a[i])))
                                  * static_cast<double>(c[i]);
                CHECK(distance(fused, expected, 1e-3) < 1e-6);
                b.linear(g.view(), bias.data(), x.data(), rows, a.data());
                b.fused_linear_gelu(g.view(), bias.data(), x.data(), rows, fused.data());
                for (std::size_t i = 0; i < size; ++i)
                    expected[i] =
                        static_cast<double>(a[i]) / 2 * (1 + std::erf(static_cast<double>(a[i]) / std::sqrt(2.0)));
                CHECK(distance(fused, expected, 1.0) < 1e-6);
                for (std::size_t i = 0; i < size; ++i)
                    expected[i] = static_cast<double>(sum[i]) + 0.3 * static_cast<double>(a[i]);
                b.fused_linear_add(g.view(), bias.data(), x.data(), rows, 0.3f, fused_sum.data());
                CHECK(distance(fused_sum, expected, 1.0) < 1e-6);
            }
    });
}

TEST_CASE("gelu behind a product is within 2e-7 over its whole range, and keeps small values' digits") {
    on_every_tier([](lv::tier level) {
        lv::simd const b = on(level, 1);
        weight const one(lv::format::f32, 1, 1, {1.0f});
        panelled const p(b, one);
        std::vector<float> x; // of seven bits, which bfloat16 has
        for (int e = -20; e <= 4; ++e)
            for (int m = 64; m < 128; ++m)
                for (float sign : {-1.0f, 1.0f}) x.push_back(sign * std::ldexp(static_cast<float>(m), e - 6));
        std::vector<float> y(x.size());
        b.fused_linear_gelu(p.view(), nullptr, x.data(), x.size(), y.data());
        for (std::size_t i = 0; i < x.size(); ++i) {
            double const v = static_cast<double>(x[i]);
            double const expected = v / 2 * std::erfc(-v / std::sqrt(2.0));
            CAPTURE(v);
            CHECK(std::abs(static_cast<double>(y[i]) - expected) < 2e-7 * std::max(1.0, std::abs(v)));
            if (std::abs(v) < 0.01) CHECK(std::abs(static_cast<double>(y[i]) - expected) < 1e-5 * std::abs(v));
        }
    });
}

TEST_CASE("products of panels carry infinities and NaNs, and without rows or columns give nothing or the bias") {
    on_every_tier([](lv::tier level) {
        lv::simd const b = on(level, 1);
        weight const w(lv::format::f32, 2, 3, {1, 2, 3, 0, 1, 1});
        panelled const p(b, w);
        float const infinity = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
        std::vector<float> const x = {1, infinity, 0, nan, 0, 0};
        std::vector<float> y(4);
        b.linear(p.view(), nullptr, x.data(), 2, y.data());
        CHECK(y[0] == infinity);
        CHECK(y[1] == infinity);
        CHECK(std::isnan(y[2]));
        CHECK(std::isnan(y[3]));
        b.linear(p.view(), nullptr, x.data(), 0, y.data());
        CHECK(y[0] == infinity);
        lv::matrix const none{p.view().data, lv::format::bf16, 2, 0, p.view().layout};
        std::vector<float> const bias = {4, 5};
        b.linear(none, bias.data(), x.data(), 1, y.data());
        CHECK(y[0] == 4.0f);
        CHECK(y[1] == 5.0f);
    });
}

TEST_CASE("integers refuse weights that are infinite or no numbers, and carry activations that are") {
    on_every_tier([](lv::tier level) {
        lv::simd const b = on(level, 2);
        float const infinity = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
        std::size_t const rows = 35, columns = 64;
        for (float const odd : {infinity, -infinity, nan, -nan}) {
            std::vector<float> values(rows * columns, 1.0f);
            values[34 * columns + 63] = odd;
            weight const w(lv::format::f32, rows, columns, values);
            for (auto const f : {lv::weight_format::i8, lv::weight_format::q8, lv::weight_format::q4})
                CHECK_THROWS_AS((panelled{b, w, f}), lv::format_error);
            weight const ones(lv::format::f32, rows, columns, std::vector<float>(rows * columns, 1.0f));
            panelled const p(b, ones, lv::weight_format::i8);
            for (std::size_t const at : {0u, 1u, 63u}) { // of the second row
                std::vector<float> x(3 * columns, 1.0f), y(3 * rows);
                x[columns + at] = odd;
                b.linear(p.view(), nullptr, x.data(), 3, y.data());
                for (std::size_t o = 0; o < rows; ++o) {
                    CHECK(std::isfinite(y[o]));
                    CHECK(std::isnan(y[rows + o]));
                    CHECK(std::isfinite(y[2 * rows + o]));
                }
            }
        }
    });
}
