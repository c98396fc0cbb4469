// SPDX-License-Identifier: Apache-2.0
// Functions of single values, norms, rope, embedding and copies on every backend: odd sizes, unaligned, in place.
#include "backends.hpp"

#include <algorithm>

using namespace backends;

namespace {

/// Odd sizes 1 … 67, and two that are shared among threads.
std::vector<std::size_t> sizes() {
    std::vector<std::size_t> all;
    for (std::size_t i = 1; i <= 67; ++i) all.push_back(i);
    all.push_back(40001);
    all.push_back(100000);
    return all;
}

/// y = f(x) from an unaligned place to another and in place: both the same, nothing written beside it, and close to
/// `expected` of every value.
template <class F, class E>
void check(std::size_t size, float scale, double bound, double floor, F const& f, E const& expected) {
    CAPTURE(size);
    CAPTURE(scale);
    std::vector<float> x = numbers(size).floats(size + 1, scale);
    std::vector<float> y(size + 3, 777.0f);
    f(x.data() + 1, size, y.data() + 1);
    CHECK(y.front() == 777.0f);
    CHECK(y[size + 1] == 777.0f);
    std::vector<double> exact(size);
    for (std::size_t i = 0; i < size; ++i) exact[i] = expected(static_cast<double>(x[i + 1]), i);
    std::vector<float> const got(y.begin() + 1, y.begin() + static_cast<std::ptrdiff_t>(size + 1));
    CHECK(distance(got, exact, floor) < bound);
    f(x.data() + 1, size, x.data() + 1);
    CHECK(same_bits(got, {x.begin() + 1, x.end()}));
}

} // namespace

TEST_CASE_TEMPLATE("silu and gelu are within 1e-6, multiply and add_scaled within 2e-7", B, ALL_BACKENDS) {
    if (!B::usable()) return;
    B const b;
    for (std::size_t size : sizes()) {
        std::vector<float> const other = numbers(size + 1).floats(size);
        for (float scale : {1e-20f, 1.0f, 8.0f, 200.0f}) {
            auto const floor = static_cast<double>(scale);
            check(
                size, scale, 1e-6, floor, [&](float const* x, std::size_t n, float* y) { b.silu(x, n, y); },
                [](double x, std::size_t) { return x / (1.0 + std::exp(-x)); });
            check(
                size, scale, 1e-6, floor, [&](float const* x, std::size_t n, float* y) { b.gelu(x, n, y); },
                [](double x, std::size_t) { return 0.5 * x * (1.0 + std::erf(x / std::sqrt(2.0))); });
        }
        check(
            size, 1e10f, 2e-7, 0.0, [&](float const* x, std::size_t n, float* y) { b.multiply(x, other.data(), n, y); },
            [&](double x, std::size_t i) { return x * static_cast<double>(other[i]); });
        check(
            size, 1.0f, 2e-7, 1.0,
            [&](float const* x, std::size_t n, float* y) { b.add_scaled(x, -0.7f, other.data(), n, y); },
            [&](double x, std::size_t i) { return x + static_cast<double>(-0.7f) * static_cast<double>(other[i]); });
        check(
            size, 1.0f, 1e-30, 1e-30, [&](float const* x, std::size_t n, float* y) { b.copy(x, n, y); },
            [](double x, std::size_t) { return x; });
        check(
            size, 1.0f, 1e-30, 1.0, [&](float const*, std::size_t n, float* y) { b.zero(y, n); },
            [](double, std::size_t) { return 0.0; });
    }
}

TEST_CASE_TEMPLATE("one row added to many has the bits of an addition for each", B, ALL_BACKENDS) {
    if (!B::usable()) return;
    B const b;
    for (std::size_t width : {1u, 7u, 37u, 1290u}) {
        CAPTURE(width);
        std::size_t const rows = 11;
        numbers n(width);
        std::vector<float> x = n.floats(rows * width + 1), y(rows * width + 1, 777.0f), each = y;
        std::vector<float> const f = n.floats(width);
        b.add_row(x.data() + 1, rows, width, 0.3f, f.data(), y.data());
        for (std::size_t r = 0; r < rows; ++r)
            b.add_scaled(x.data() + 1 + r * width, 0.3f, f.data(), width, each.data() + r * width);
        CHECK(same_bits(y, each));
        b.add_row(x.data() + 1, rows, width, 0.3f, f.data(), x.data() + 1);
        CHECK(same_bits({x.begin() + 1, x.end()}, {y.begin(), y.end() - 1}));
    }
}

TEST_CASE_TEMPLATE("stored values are alike if their bytes are", B, ALL_BACKENDS) {
    if (!B::usable()) return;
    B const b;
    for (lv::format type : formats) {
        CAPTURE(lv::name_of(type).data());
        std::vector<float> values = numbers(3).floats(96);
        std::copy_n(values.begin(), 32, values.begin() + 64);
        weight const w(type, 3, 32, values);
        CHECK(b.bytes_equal(w.view(), 0, 64, 32));
        CHECK_FALSE(b.bytes_equal(w.view(), 0, 32, 32));
        CHECK(b.bytes_equal(w.view(), 0, 32, 0));
    }
}

TEST_CASE_TEMPLATE("silu and gelu at the ends of the range", B, ALL_BACKENDS) {
    if (!B::usable()) return;
    B const b;
    std::vector<float> const x = {0.0f, -0.0f, 1e-30f, -1e-30f, 100.0f, -100.0f, 1e30f, -1e30f, 3e38f};
    std::vector<float> y(x.size());
    for (bool gelu : {false, true}) {
        gelu ? b.gelu(x.data(), x.size(), y.data()) : b.silu(x.data(), x.size(), y.data());
        CHECK(y[0] == 0.0f);
        CHECK(y[1] == 0.0f);
        CHECK(y[2] == doctest::Approx(5e-31));
        CHECK(y[3] == doctest::Approx(-5e-31));
        CHECK(y[4] == 100.0f);
        CHECK(std::abs(y[5]) < 1e-30f);
        CHECK(y[6] == 1e30f);
        CHECK(std::abs(y[7]) < 1e-5f);
        CHECK(y[8] == 3e38f);
    }
}

TEST_CASE_TEMPLATE("norms are within 2e-6 for every width, large and small values, in place", B, ALL_BACKENDS) {
    if (!B::usable()) return;
    B const b;
    for (std::size_t width : sizes()) {
        std::size_t const rows = width < 68 ? 3 : 2;
        numbers n(width);
        std::vector<float> const weight = n.floats(width), bias = n.floats(width);
        for (float scale : {1e-15f, 1.0f, 1e15f}) {
            CAPTURE(width);
            CAPTURE(scale);
            std::vector<float> x = n.floats(rows * width + 1, scale);
            float const eps = scale * scale * 1e-3f;
            std::vector<double> rms, layer;
            for (std::size_t r = 0; r < rows; ++r) {
                auto const at = [&](std::size_t i) { return static_cast<double>(x[1 + r * width + i]); };
                double mean = 0, square = 0, variance = 0;
                for (std::size_t i = 0; i < width; ++i) mean += at(i), square += at(i) * at(i);
                auto const count = static_cast<double>(width), e = static_cast<double>(eps);
                mean /= count;
                for (std::size_t i = 0; i < width; ++i) variance += (at(i) - mean) * (at(i) - mean);
                for (std::size_t i = 0; i < width; ++i) {
                    auto const w = static_cast<double>(weight[i]), c = static_cast<double>(bias[i]);
                    rms.push_back(at(i) / std::sqrt(square / count + e) * w);
                    layer.push_back((at(i) - mean) / std::sqrt(variance / count + e) * w + c);
                }
            }
            std::vector<float> y(rows * width);
            b.layer_norm(x.data() + 1, rows, width, weight.data(), bias.data(), eps, y.data());
            CHECK(distance(y, layer, 1.0) < 2e-6);
            b.rms_norm(x.data() + 1, rows, width, weight.data(), eps, y.data());
            CHECK(distance(y, rms, 1.0) < 2e-6);
            b.rms_norm(x.data() + 1, rows, width, weight.data(), eps, x.data() + 1);
            CHECK(same_bits(y, {x.begin() + 1, x.end()}));
            std::vector<float> z = y;
            b.layer_norm(y.data(), rows, width, weight.data(), bias.data(), 1e-5f, z.data());
            b.layer_norm(y.data(), rows, width, weight.data(), bias.data(), 1e-5f, y.data());
            CHECK(same_bits(y, z));
        }
    }
}

TEST_CASE_TEMPLATE("layer_norm does not lose a small variance beside a large mean", B, ALL_BACKENDS) {
    if (!B::usable()) return;
    B const b;
    std::vector<float> x(64), one(64, 1.0f), nought(64, 0.0f), y(64);
    for (std::size_t i = 0; i < 64; ++i) x[i] = 4096.0f + (i % 2 ? 0.5f : -0.5f);
    b.layer_norm(x.data(), 1, 64, one.data(), nought.data(), 0.0f, y.data());
    for (std::size_t i = 0; i < 64; ++i) CHECK(y[i] == doctest::Approx(i % 2 ? 1.0 : -1.0).epsilon(1e-5));
}

TEST_CASE_TEMPLATE("rope turns every pair of halves by its angle", B, ALL_BACKENDS) {
    if (!B::usable()) return;
    B const b;
    for (std::size_t head_dim : {2u, 8u, 16u, 20u, 34u, 80u, 128u, 134u})
        for (std::size_t rows : {1u, 5u, 400u}) {
            CAPTURE(head_dim);
            CAPTURE(rows);
            std::size_t const heads = 3, half = head_dim / 2;
            numbers n(head_dim);
            std::vector<float> x = n.floats(rows * heads * head_dim + 1);
            std::vector<float> const before = x, cos = n.floats(rows * half), sin = n.floats(rows * half);
            b.rope(x.data() + 1, rows, heads, head_dim, cos.data(), sin.data());
            std::vector<double> expected = {static_cast<double>(before[0])};
            for (std::size_t i = 0; i < rows * heads * head_dim; ++i) {
                std::size_t const in_head = i % head_dim, angle = i / head_dim / heads * half + in_head % half;
                bool const first = in_head < half;
                auto const own = static_cast<double>(before[1 + i]);
                auto const other = static_cast<double>(before[first ? 1 + i + half : 1 + i - half]);
                double const s = static_cast<double>(sin[angle]) * (first ? -1.0 : 1.0);
                expected.push_back(own * static_cast<double>(cos[angle]) + other * s);
            }
            CHECK(distance(x, expected, 1.0) < 3e-7);
        }
}

TEST_CASE_TEMPLATE("widening and embedding are exact", B, ALL_BACKENDS) {
    if (!B::usable()) return;
    B const b;
    for (lv::format type : formats)
        for (std::size_t some : {1u, 3u, 16u, 37u, 67u, 9001u}) {
            std::size_t const columns = whole(type, some);
            CAPTURE(lv::name_of(type).data());
            CAPTURE(columns);
            std::size_t const rows = 11;
            weight const w(type, rows, columns, numbers(columns).floats(rows * columns, 1e-3f), columns % 2);
            std::vector<std::int32_t> const ids = {7, 0, 10, 7, 3};
            std::vector<float> y(ids.size() * columns + 1, 777.0f), expected;
            b.embed(w.view(), ids.data(), ids.size(), y.data());
            for (std::int32_t id : ids)
                for (std::size_t i = 0; i < columns; ++i)
                    expected.push_back(static_cast<float>(w.at(static_cast<std::size_t>(id), i)));
            expected.push_back(777.0f);
            CHECK(same_bits(y, expected));

            std::size_t const first = columns / 2, count = rows * columns - first;
            std::vector<float> wide(count), exact;
            b.widen(w.view(), first, count, wide.data());
            for (std::size_t i = first; i < rows * columns; ++i)
                exact.push_back(static_cast<float>(w.at(i / columns, i % columns)));
            CHECK(same_bits(wide, exact));
        }
}
