// SPDX-License-Identifier: Apache-2.0
// The plain words: norms, linear, activations, embedding, the rows that want logits, and rows that see an image.
#include <doctest/doctest.h>

#include <cmath>

#include <llamavision/layers/embedding.hpp>
#include <llamavision/layers/image_visibility.hpp>
#include <llamavision/layers/norm.hpp>

#include "../support/bound.hpp"
#include "../support/small.hpp"

namespace lv = llamavision;

namespace {
struct numbers {
    static constexpr std::size_t width = 4, heads = 2;
    static constexpr float norm_eps = 0.5f; // large enough to matter
};
double square(float x) { return static_cast<double>(x) * static_cast<double>(x); }
} // namespace

TEST_CASE("rms_norm: over the row, no mean taken off, eps inside the root") {
    bound const norm(lv::rms_norm<"n", numbers>, {{"n.weight", {4}, {1, 2, 3, -1}}});
    floats const x{1, -2, 3, 0.5f, 0, 0, 0, 0}, y = norm(x, 4, 4);
    double const scale = 1 / std::sqrt((1 + 4 + 9 + 0.25) / 4 + 0.5);
    CHECK(y[0] == doctest::Approx(1 * scale));
    CHECK(y[1] == doctest::Approx(-2 * scale * 2));
    CHECK(y[2] == doctest::Approx(3 * scale * 3));
    CHECK(y[3] == doctest::Approx(0.5 * scale * -1));
    for (std::size_t i = 4; i < 8; ++i) CHECK(y[i] == 0);
}

TEST_CASE("head_norm: over each head by itself, one weight for all heads") {
    bound const norm(lv::head_norm<"n", numbers, 3>, {{"n.weight", {2}, {1, 10}}});
    floats const x{1, 2, 3, 4, -5, 6}, y = norm(x, 6, 6);
    for (std::size_t h = 0; h < 3; ++h) {
        double const scale = 1 / std::sqrt((square(x[2 * h]) + square(x[2 * h + 1])) / 2 + 0.5);
        CHECK(y[2 * h] == doctest::Approx(static_cast<double>(x[2 * h]) * scale));
        CHECK(y[2 * h + 1] == doctest::Approx(static_cast<double>(x[2 * h + 1]) * scale * 10));
    }
}

TEST_CASE("layer_norm: mean off, biased variance, weight and bias; the two outer ones keep 1e-5") {
    floats const x{1, 2, 3, 6};
    std::vector<given_tensor> const list{{"n.weight", {4}, {1, 2, 1, 1}}, {"n.bias", {4}, {0, 0, 0, 100}}};
    auto const check = [&](floats const& y, double eps) {
        double const scale = 1 / std::sqrt((4 + 1 + 0 + 9) / 4.0 + eps);
        CHECK(y[0] == doctest::Approx(-2 * scale));
        CHECK(y[1] == doctest::Approx(-1 * scale * 2));
        CHECK(y[2] == doctest::Approx(0));
        CHECK(y[3] == doctest::Approx(3 * scale + 100));
    };
    check(bound(lv::layer_norm<"n", numbers>, list)(x, 4, 4), 0.5);
    check(bound(lv::layer_norm_1e_5<"n", numbers>, list)(x, 4, 4), 1e-5);
}

TEST_CASE("linear: y = x Wᵀ + b, W as (outputs, inputs)") {
    bound const f(lv::linear_with_bias<"l", 3, 2>,
                  {{"l.weight", {2, 3}, {1, 2, 3, 4, 5, 6}}, {"l.bias", {2}, {10, 20}}});
    CHECK(f({1, 0, 2, -1, 1, 1}, 3, 2) == floats{17, 36, 14, 27});
}

TEST_CASE("activations: silu and the exact gelu") {
    for (float x : {-3.0f, -0.5f, 0.0f, 0.7f, 5.0f}) {
        double const d = static_cast<double>(x);
        CHECK(bound(lv::silu, {})({x}, 1, 1)[0] == doctest::Approx(d / (1 + std::exp(-d))));
        CHECK(bound(lv::gelu, {})({x}, 1, 1)[0] == doctest::Approx(d / 2 * std::erfc(-d / std::sqrt(2.0))));
    }
}

TEST_CASE("embedding: ids to rows of the table") {
    bound const e(lv::embedding<"e", 3, 2>, {{"e.weight", {3, 2}, {1, 2, 3, 4, 5, 6}}});
    std::vector<std::int32_t> const ids{2, 0, 0, 1};
    CHECK(e.on(lv::id_rows{ids.data(), ids.size()}, 4, 2) == floats{5, 6, 1, 2, 1, 2, 3, 4});
}

TEST_CASE("the last rows want logits; none may want any") {
    lv::segment all, two[2];
    lv::text_rows now;
    now.segments = {&all, 1};
    lv::arena nowhere;
    lv::context c{nowhere};
    c.text = &now;
    bound const f(lv::linear<"l", 2, 2> | lv::wanted_rows | lv::linear<"h", 2, 1>,
                  {{"l.weight", {2, 2}, {1, 0, 0, 1}}, {"h.weight", {1, 2}, {1, 10}}});
    floats const x{1, 2, 3, 4, 5, 6};
    all.rows = 3;
    all.logit_rows = 1;
    CHECK(f(x, 2, 1, 1, c) == floats{65});
    all.logit_rows = 3;
    CHECK(f(x, 2, 1, 3, c) == floats{21, 43, 65});
    all.logit_rows = 0;
    CHECK(f.on(lv::rows{const_cast<float*>(x.data()), 3, 2}, 0, 1, c).empty());
    now.segments = two;
    two[0].rows = two[0].logit_rows = two[1].logit_rows = 1;
    two[1].rows = 2;
    CHECK(f(x, 2, 1, 2, c) == floats{21, 65});
    two[0].logit_rows = 0;
    CHECK(f(x, 2, 1, 1, c) == floats{65});
    two[0].logit_rows = 1;
    two[1].logit_rows = 0;
    CHECK(f(x, 2, 1, 1, c) == floats{21});
}

TEST_CASE("rows that see no image say nothing in a cross block; Hugging Face masks only the MLP of its unmasked rows") {
    lv::image_memory image;
    lv::image_memory const* const images[] = {&image};
    lv::image_visibility const blind{0, 1, {}, false}, leak{1, 1, images, true}, sees{2, 2, images, false};
    std::vector<lv::image_visibility> const visibility{blind, leak, sees};
    lv::text_rows now;
    now.visibility = visibility;
    lv::arena nowhere;
    lv::context c{nowhere};
    c.text = &now;
    floats const x{1, 2, 3, 4};
    bound const attention(lv::rows_seeing_image<lv::masked::attention>, {});
    bound const mlp(lv::rows_seeing_image<lv::masked::mlp>, {});
    CHECK(attention(x, 1, 1, 0, c) == floats{0, 2, 3, 4});
    CHECK(mlp(x, 1, 1, 0, c) == floats{0, 0, 3, 4});

    auto const idle = [&](std::vector<lv::image_visibility> const& list) {
        now.visibility = list;
        return std::pair(lv::layer::rows_seeing_image<lv::masked::attention>::outputs_zero(c),
                         lv::layer::rows_seeing_image<lv::masked::mlp>::outputs_zero(c));
    };
    CHECK(idle({blind}) == std::pair(true, true));
    CHECK(idle({blind, leak}) == std::pair(false, true));
    CHECK(idle({leak, sees}) == std::pair(false, false));
}

TEST_CASE("a gate is stored before its tanh") {
    lv::weights<lv::layer::tanh_gate<"g">> w;
    float const raw = -0.8f;
    w.own[0] = {&raw, lv::format::f32, 1, 1};
    CHECK(lv::layer::tanh_gate<"g">::value(w) == doctest::Approx(std::tanh(-0.8)));
}
