// SPDX-License-Identifier: Apache-2.0
// The oracle itself, against values worked out by hand.
#include "backends.hpp"

using namespace backends;

TEST_CASE("scalar: products, embedding and widening by hand") {
    lv::scalar const b;
    for (lv::format type : {lv::format::f32, lv::format::f16, lv::format::bf16}) {
        weight const w(type, 2, 3, {1, 2, 3, -4, 0.5f, 8});
        std::vector<float> const x = {1, 10, 100, 0, -1, 2}, bias = {1000, -1};
        std::vector<float> y(4);
        b.linear(w.view(), bias.data(), x.data(), 2, y.data());
        CHECK(same_bits(y, {1321, 800, 1004, 14.5f}));
        b.linear(w.view(), nullptr, x.data(), 2, y.data());
        CHECK(same_bits(y, {321, 801, 4, 15.5f}));
        std::vector<float> rows(6);
        std::vector<std::int32_t> const ids = {1, 0};
        b.embed(w.view(), ids.data(), 2, rows.data());
        CHECK(same_bits(rows, {-4, 0.5f, 8, 1, 2, 3}));
        std::vector<float> some(3);
        b.widen(w.view(), 2, 3, some.data());
        CHECK(same_bits(some, {3, -4, 0.5f}));
    }
}

TEST_CASE("scalar: blocks by hand") {
    lv::scalar const b;
    for (lv::format type : {lv::format::q8, lv::format::q4}) {
        std::vector<float> values(2 * 64), x(64), y(2);
        values[0] = -8, values[5] = 3, values[63] = -16;                    // both blocks' scales are powers of two ...
        values[64 + 31] = -0.5f, values[64 + 32] = -4, values[64 + 33] = 1; // ... in 4 bits, and near them in 8
        x[0] = 1, x[5] = 10, x[31] = 2, x[33] = 3, x[63] = -1;
        weight const w(type, 2, 64, values);
        b.linear(w.view(), nullptr, x.data(), 1, y.data());
        float const exact = type == lv::format::q4 ? 1e-6f : 0.3f; // an eighth bit's half step is 8 / 254
        CHECK(std::abs(y[0] - 38.0f) < exact);
        CHECK(std::abs(y[1] - 2.0f) < exact);
    }
}

TEST_CASE("scalar: norms by hand") {
    lv::scalar const b;
    std::vector<float> const x = {3, 4, 0, 0}, weight = {1, 2, 3, 4};
    std::vector<float> y(4);
    b.rms_norm(x.data(), 1, 4, weight.data(), 0.0f, y.data()); // sqrt(25/4) = 2.5
    CHECK(same_bits(y, {1.2f, 3.2f, 0, 0}));
    b.rms_norm(x.data(), 1, 4, weight.data(), 18.75f, y.data()); // sqrt(6.25 + 18.75) = 5
    CHECK(same_bits(y, {0.6f, 1.6f, 0, 0}));
    std::vector<float> const z = {1, 3, 1, 3}, bias = {10, 20, 30, 40};
    b.layer_norm(z.data(), 1, 4, weight.data(), bias.data(), 0.0f, y.data()); // mean 2, variance 1
    CHECK(same_bits(y, {9, 22, 27, 44}));
    b.layer_norm(z.data(), 1, 4, weight.data(), bias.data(), 3.0f, y.data());
    CHECK(same_bits(y, {9.5f, 21, 28.5f, 42}));
}

TEST_CASE("scalar: functions of single values by hand") {
    lv::scalar const b;
    std::vector<float> const x = {0, 1, -1};
    std::vector<float> y(3);
    b.silu(x.data(), 3, y.data());
    CHECK(y[0] == 0.0f);
    CHECK(y[1] == doctest::Approx(0.7310585786300049));
    CHECK(y[2] == doctest::Approx(-0.2689414213699951));
    b.gelu(x.data(), 3, y.data());
    CHECK(y[0] == 0.0f);
    CHECK(y[1] == doctest::Approx(0.8413447460685429));
    CHECK(y[2] == doctest::Approx(-0.15865525393145707));
    std::vector<float> const a = {2, -3, 0.5f};
    b.multiply(a.data(), x.data(), 3, y.data());
    CHECK(same_bits(y, {0, -3, -0.5f}));
    b.add_scaled(a.data(), -2.0f, x.data(), 3, y.data());
    CHECK(same_bits(y, {2, -5, 2.5f}));
}

TEST_CASE("scalar: a quarter turn swaps the halves") {
    lv::scalar const b;
    std::vector<float> x = {1, 2, 3, 4, 5, 6, 7, 8};
    std::vector<float> const cos = {0, 1}, sin = {1, 0};
    b.rope(x.data(), 1, 2, 4, cos.data(), sin.data());
    CHECK(same_bits(x, {-3, 2, 1, 4, -7, 6, 5, 8}));
}

TEST_CASE("scalar: attention by hand") {
    lv::scalar const b;
    // One head of one value: scores are q k, and exp(ln n) = n makes the weights.
    float const ln2 = std::log(2.0f), ln3 = std::log(3.0f);
    std::vector<float> const keys = {0, ln2, ln3}, values = {6, 12, 24};
    std::vector<lv::key_block> blocks = {{keys.data(), values.data(), nullptr, 3}};
    std::vector<float> const q = {1, 1, 0};
    std::vector<float> y(3, 777.0f);
    lv::query_group const all = {0, 1, blocks, false};
    b.attend(q.data(), {1, 1, 1}, {&all, 1}, y.data());
    CHECK(y[0] == doctest::Approx((6 * 1 + 12 * 2 + 24 * 3) / 6.0));
    CHECK(y[1] == 777.0f);

    lv::query_group const causal = {0, 3, blocks, true};
    b.attend(q.data(), {1, 1, 1}, {&causal, 1}, y.data());
    CHECK(y[0] == 6.0f);
    CHECK(y[1] == doctest::Approx((6 * 1 + 12 * 2) / 3.0));
    CHECK(y[2] == doctest::Approx((6 + 12 + 24) / 3.0));

    std::vector<float> const bias = {ln3, 0, 0}; // the first key counts three times
    blocks[0].bias = bias.data();
    b.attend(q.data(), {1, 1, 1}, {&all, 1}, y.data());
    CHECK(y[0] == doctest::Approx((6 * 3 + 12 * 2 + 24 * 3) / 8.0));

    // Two query heads share a key head; head_dim 4 halves the scores.
    std::vector<float> const wide_keys = {0, 0, 0, 0, 2 * ln3, 0, 0, 0}, wide_values = {0, 1, 2, 3, 4, 5, 6, 7};
    std::vector<lv::key_block> const wide = {{wide_keys.data(), wide_values.data(), nullptr, 2}};
    std::vector<float> const two = {1, 9, 9, 9, 0, 9, 9, 9};
    std::vector<float> out(8);
    lv::query_group const group = {0, 1, wide, false};
    b.attend(two.data(), {2, 1, 4}, {&group, 1}, out.data());
    for (std::size_t i = 0; i < 4; ++i) {
        CHECK(out[i] == doctest::Approx(static_cast<double>(i) + 3.0)); // weights 1/4, 3/4
        CHECK(out[4 + i] == doctest::Approx(static_cast<double>(i) + 2.0));
    }
}
