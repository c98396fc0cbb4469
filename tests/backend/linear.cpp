// SPDX-License-Identifier: Apache-2.0
// Products on every backend, in every format: against sums in double, alone and in batches, fused and in parts.
#include "backends.hpp"

using namespace backends;

namespace {

/// The largest error, relative to the sum of the absolute products: what rounding is bounded by.
double product_error(weight const& w, lv::matrix const& m, std::vector<float> const& bias, float const* x,
                     std::size_t rows, float const* y) {
    double worst = 0;
    for (std::size_t r = 0; r < rows; ++r)
        for (std::size_t o = 0; o < m.rows; ++o) {
            double sum = bias.empty() ? 0.0 : static_cast<double>(bias[o]), size = std::abs(sum);
            for (std::size_t i = 0; i < m.columns; ++i) {
                double const product = static_cast<double>(x[r * m.columns + i]) * w.at(o, i);
                sum += product;
                size += std::abs(product);
            }
            double const error = std::abs(static_cast<double>(y[r * m.rows + o]) - sum) / (size + 1e-300);
            if (!(error <= worst)) worst = error;
        }
    return worst;
}

template <class B>
void check(B const& b, lv::format type, std::size_t rows, std::size_t outputs, std::size_t columns) {
    columns = whole(type, columns);
    CAPTURE(lv::name_of(type).data());
    CAPTURE(rows);
    CAPTURE(outputs);
    CAPTURE(columns);
    numbers n(rows * 7919 + outputs * 131 + columns);
    std::size_t const shift = (rows + outputs + columns) % 2; // every other case is unaligned by one element
    weight const w(type, outputs, columns, n.floats(outputs * columns), shift);
    std::vector<float> const x = n.floats(shift + rows * columns);
    std::vector<float> const bias = columns % 3 ? n.floats(outputs) : std::vector<float>();
    std::vector<float> y(shift + rows * outputs + 1, 777.0f);
    b.linear(w.view(), bias.empty() ? nullptr : bias.data(), x.data() + shift, rows, y.data() + shift);
    CHECK(product_error(w, w.view(), bias, x.data() + shift, rows, y.data() + shift) < 1e-6);
    CHECK(y.back() == 777.0f);
}

} // namespace

TEST_CASE_TEMPLATE("a product is within 1e-6 of the sum of its absolute terms, for every small size", B, ALL_BACKENDS) {
    if (!B::usable()) return;
    B const b;
    for (lv::format type : formats)
        for (std::size_t size = 1; size <= 67; ++size) {
            check(b, type, 1, size % 9 + 1, size);
            check(b, type, size, size % 5 + 1, size % 21 + 1);
            check(b, type, size % 8 + 1, size, (size * 5) % 67 + 1);
        }
}

TEST_CASE_TEMPLATE("large products cross blocks of rows, outputs and columns", B, ALL_BACKENDS) {
    if (!B::usable()) return;
    B const b;
    for (lv::format type : formats) {
        check(b, type, 1, 70, 4096);
        check(b, type, 2, 9, 14336);
        check(b, type, 9, 67, 2562);
        check(b, type, 101, 131, 1301);
    }
}

TEST_CASE_TEMPLATE("a product with nothing to do does nothing, and one without columns is the bias", B, ALL_BACKENDS) {
    if (!B::usable()) return;
    B const b;
    std::vector<float> const bias = {1.0f, -2.0f, 3.0f};
    std::vector<float> y(6, 777.0f);
    float const none[2] = {};
    b.linear({none, lv::format::f32, 3, 0}, bias.data(), none, 2, y.data());
    CHECK(same_bits(y, {1, -2, 3, 1, -2, 3}));
    b.linear({none, lv::format::bf16, 3, 1}, bias.data(), none, 0, y.data());
    CHECK(same_bits(y, {1, -2, 3, 1, -2, 3}));
}

TEST_CASE_TEMPLATE("products keep very large and very small values", B, ALL_BACKENDS) {
    if (!B::usable()) return;
    B const b;
    for (float scale : {1e-18f, 1e18f}) {
        CAPTURE(scale);
        numbers n(5);
        weight const w(lv::format::bf16, 13, 37, n.floats(13 * 37, scale));
        std::vector<float> const x = n.floats(3 * 37, scale);
        std::vector<float> y(3 * 13);
        b.linear(w.view(), nullptr, x.data(), 3, y.data());
        CHECK(product_error(w, w.view(), {}, x.data(), 3, y.data()) < 1e-6);
    }
}

TEST_CASE_TEMPLATE("a row of a product has the same bits alone and among others", B, STEADY_BACKENDS) {
    if (!B::usable()) return;
    B const b;
    for (lv::format type : formats)
        for (std::size_t columns : {whole(type, 33), whole(type, 1280), whole(type, 2563)}) {
            CAPTURE(lv::name_of(type).data());
            CAPTURE(columns);
            std::size_t const rows = 103, outputs = 75;
            numbers n(columns);
            weight const w(type, outputs, columns, n.floats(outputs * columns));
            std::vector<float> const x = n.floats(rows * columns), bias = n.floats(outputs);
            std::vector<float> batch(rows * outputs), alone(rows * outputs);
            b.linear(w.view(), bias.data(), x.data(), rows, batch.data());
            for (std::size_t r = 0; r < rows; ++r)
                b.linear(w.view(), bias.data(), x.data() + r * columns, 1, alone.data() + r * outputs);
            CHECK(same_bits(batch, alone));
        }
}

TEST_CASE_TEMPLATE("the fused kernels give the bits of their parts", B, ALL_SIMD) {
    if (!B::usable()) return;
    B const b;
    for (lv::format type : formats)
        for (std::size_t rows : {1u, 2u, 7u, 100u})
            for (std::size_t outputs : {1u, 4u, 67u, 130u}) {
                CAPTURE(lv::name_of(type).data());
                CAPTURE(rows);
                CAPTURE(outputs);
                std::size_t const columns = whole(type, 1290);
                numbers n(rows + outputs);
                weight const gate(type, outputs, columns, n.floats(outputs * columns));
                weight const up(type, outputs, columns, n.floats(outputs * columns));
                std::vector<float> const x = n.floats(rows * columns), bias = n.floats(outputs);
                std::size_t const size = rows * outputs;
                std::vector<float> g(size), u(size), fused(size);
                b.linear(gate.view(), nullptr, x.data(), rows, g.data());
                b.linear(up.view(), nullptr, x.data(), rows, u.data());
                b.silu(g.data(), size, g.data());
                b.multiply(g.data(), u.data(), size, g.data());
                b.fused_swiglu(gate.view(), up.view(), x.data(), rows, fused.data());
                CHECK(same_bits(g, fused));

                b.linear(gate.view(), bias.data(), x.data(), rows, g.data());
                b.gelu(g.data(), size, g.data());
                b.fused_linear_gelu(gate.view(), bias.data(), x.data(), rows, fused.data());
                CHECK(same_bits(g, fused));

                std::vector<float> f(size), sum = n.floats(size), fused_sum = sum;
                b.linear(gate.view(), bias.data(), x.data(), rows, f.data());
                b.add_scaled(sum.data(), 0.3f, f.data(), size, sum.data());
                b.fused_linear_add(gate.view(), bias.data(), x.data(), rows, 0.3f, fused_sum.data());
                CHECK(same_bits(sum, fused_sum));
            }
}
