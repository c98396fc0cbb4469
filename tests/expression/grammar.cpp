// SPDX-License-Identifier: Apache-2.0
// The grammar, run on expressions small enough to compute by hand.
#include <doctest/doctest.h>

#include <cmath>

#include "../support/bound.hpp"

namespace lv = llamavision;

namespace {
constexpr auto twice = lv::linear<"twice", 2, 2>;
given_tensor const twice_weight{"twice.weight", {2, 2}, {2, 0, 0, 2}};
constexpr auto swap = lv::linear<"swap", 2, 2>;
given_tensor const swap_weight{"swap.weight", {2, 2}, {0, 1, 1, 0}};
constexpr auto widen = lv::linear_with_bias<"widen", 2, 3>;
std::vector<given_tensor> const widen_weights{{"widen.weight", {3, 2}, {1, 0, 0, 1, 1, 1}},
                                              {"widen.bias", {3}, {10, 20, 30}}};

/// A layer of the test's own that changes the number of rows: it keeps every other one.
struct every_other : lv::expression_base {
    static constexpr std::size_t in = lv::any_width;
    static std::size_t rows_after(lv::context const&, std::size_t n) { return n / 2; }
    template <class B>
    static void run(B const& backend, lv::weights<every_other> const&, lv::context&, lv::rows x, lv::rows y) {
        for (std::size_t r = 0; r < y.count; ++r) backend.copy(x.data + 2 * r * x.width, x.width, y.data + r * y.width);
    }
};
/// Outputs zero, and says so: its residual need not be computed.
struct nothing : lv::expression_base {
    static constexpr std::size_t in = 2, out = 2;
    static bool outputs_zero(lv::context const&) { return true; }
    template <class B>
    static void run(B const&, lv::weights<nothing> const&, lv::context&, lv::rows, lv::rows) {
        FAIL("what outputs zero is not run");
    }
};
} // namespace

TEST_CASE("a chain: first the left, then the right") {
    bound const f(twice | swap, {twice_weight, swap_weight});
    CHECK(f({1, 2, 3, 4}, 2, 2) == floats{4, 2, 8, 6});
    CHECK(f.peaks_equal);
    bound const g(swap | widen, {swap_weight, widen_weights[0], widen_weights[1]});
    CHECK(g({1, 2}, 2, 3) == floats{12, 21, 33});
}

TEST_CASE("a chain whose right side works in place takes no memory") {
    bound const f(twice | lv::silu | lv::silu, {twice_weight});
    auto const silu = [](float x) { return x / (1.0f + std::exp(-x)); };
    CHECK(f({1, -2}, 2, 2) == floats{silu(silu(2)), silu(silu(-4))});
    lv::arena measure;
    lv::context c{measure};
    run(lv::scalar{}, twice | lv::silu | lv::silu, f.weights(), c, lv::rows{nullptr, 5, 2}, lv::rows{nullptr, 5, 2});
    CHECK(measure.peak() == 0);
}

TEST_CASE("a product: both read the same rows") {
    bound const f(twice * swap, {twice_weight, swap_weight});
    CHECK(f({1, 2, 3, 4}, 2, 2) == floats{2 * 2, 4 * 1, 6 * 4, 8 * 3});
    CHECK(f.peaks_equal);
    bound const g((twice | lv::gelu) * (twice | swap) | widen,
                  {twice_weight, swap_weight, widen_weights[0], widen_weights[1]});
    auto const gelu = [](float x) { return 0.5f * x * (1.0f + std::erf(x * 0.70710678f)); };
    floats const y = g({1, 2}, 2, 3);
    CHECK(y[0] == doctest::Approx(gelu(2) * 4 + 10));
    CHECK(y[1] == doctest::Approx(gelu(4) * 2 + 20));
    CHECK(y[2] == doctest::Approx(gelu(2) * 4 + gelu(4) * 2 + 30));
}

TEST_CASE("a residual adds; its gate scales what is added") {
    bound const f(residual(swap), {swap_weight});
    CHECK(f({1, 2}, 2, 2) == floats{3, 3});
    bound const g(residual(swap, lv::tanh_gate<"gate">), {swap_weight, {"gate", {1}, {0.5f}}});
    float const t = std::tanh(0.5f);
    CHECK(g({1, 2}, 2, 2) == floats{1 + t * 2, 2 + t * 1});
    CHECK(g.peaks_equal);
    bound const shut(residual(swap, lv::tanh_gate<"gate">), {swap_weight, {"gate", {1}, {0}}});
    CHECK(shut({1, 2}, 2, 2) == floats{1, 2});
}

TEST_CASE("a residual of what outputs zero leaves the rows alone, and computes nothing") {
    bound const f(residual(nothing{}), {});
    CHECK(f({1, 2}, 2, 2) == floats{1, 2});
    bound const g(twice | residual(swap | nothing{}), {twice_weight, swap_weight});
    CHECK(g({1, 2}, 2, 2) == floats{2, 4});
}

TEST_CASE("a scope puts its name before all others") {
    constexpr auto e = lv::scope<"a">(lv::scope<"b">(twice) | swap) | twice;
    bound const f(e, {{"a.b.twice.weight", {2, 2}, {1, 1, 0, 0}},
                      {"a.swap.weight", {2, 2}, {0, 1, 1, 0}},
                      {"twice.weight", {2, 2}, {5, 0, 0, 7}}});
    CHECK(f({1, 2}, 2, 2) == floats{0, 21});
}

TEST_CASE("words that change the number of rows, at the end, in the middle and inside a scope") {
    floats const x{1, 2, 3, 4, 5, 6, 7, 8}; // four rows
    bound const last(twice | every_other{}, {twice_weight});
    CHECK(last(x, 2, 2, 2) == floats{2, 4, 10, 12});
    bound const middle(twice | every_other{} | swap | every_other{}, {twice_weight, swap_weight});
    CHECK(middle(x, 2, 2, 1) == floats{4, 2});
    CHECK(middle.peaks_equal);
    bound const scoped(twice | lv::scope<"s">(every_other{}) | swap | every_other{}, {twice_weight, swap_weight});
    CHECK(scoped(x, 2, 2, 1) == floats{4, 2});
    bound const any(lv::silu | every_other{}, {}); // the width is x's: nobody else says it
    CHECK(any({0, 0, 0, 1, 1, 1}, 3, 3, 1) == floats{0, 0, 0});
    CHECK(any.peaks_equal);
}

namespace {
/// x + swap(x), with a weight for each layer: [0 a; a 0].
constexpr auto block = residual(swap);
given_tensor swap_of(std::string const& layer, float a) { return {layer + ".swap.weight", {2, 2}, {0, a, a, 0}}; }
struct third_layer {
    static constexpr std::array<std::size_t, 1> layers{2};
};
} // namespace

TEST_CASE("repeat: weights of its own for every block, and the inputs of those that are tapped") {
    constexpr auto e = lv::repeat<3>(block, lv::tap<0, 2>);
    bound const f(e, {swap_of("0", 1), swap_of("1", 10), swap_of("2", 100)});
    // (1, 2) -> (3, 3) -> (33, 33) -> (3333, 3333)
    std::vector<floats> kept(2, floats(2));
    std::vector<float*> taps{kept[0].data(), kept[1].data()};
    lv::vision_rows plan;
    plan.taps = taps;
    lv::arena nowhere;
    lv::context c{nowhere};
    c.vision = &plan;
    std::size_t layers = 0;
    lv::layer_done const count = [&] { ++layers; };
    c.on_layer = &count;
    CHECK(f({1, 2}, 2, 2, 1, c) == floats{3333, 3333});
    CHECK(kept[0] == floats{1, 2});
    CHECK(kept[1] == floats{33, 33});
    CHECK(layers == 3);
    CHECK(f.peaks_equal);

    plan.tap_shift = 1; // their outputs, the last layer's included
    CHECK(f({1, 2}, 2, 2, 1, c) == floats{3333, 3333});
    CHECK(kept[0] == floats{3, 3});
    CHECK(kept[1] == floats{3333, 3333});
}

TEST_CASE("interleave: the second block where the set says so") {
    constexpr auto other = residual(lv::linear<"other", 2, 2>);
    constexpr auto e = lv::interleave<4, third_layer>(block, other);
    static_assert(e.copies[0] == 3 && e.copies[1] == 1);
    static_assert(e.block_of(2) == 1 && e.block_of(3) == 0 && e.ordinal(3) == 2 && e.ordinal(2) == 0);
    bound const f(e, {swap_of("0", 1), swap_of("1", 2), {"2.other.weight", {2, 2}, {1, 0, 0, 0}}, swap_of("3", 1)});
    // (1, 0) -> (1, 1) -> (3, 3) -> (6, 3) -> (9, 9)
    CHECK(f({1, 0}, 2, 2) == floats{9, 9});
    CHECK(f.peaks_equal);
}

TEST_CASE("an exception from the layer callback ends the run") {
    bound const f(lv::repeat<3>(block), {swap_of("0", 1), swap_of("1", 10), swap_of("2", 100)});
    lv::arena nowhere;
    lv::context c{nowhere};
    lv::layer_done const stop = [] { throw lv::argument_error("stop"); };
    c.on_layer = &stop;
    CHECK_THROWS_AS(static_cast<void>(f({1, 2}, 2, 2, 1, c)), lv::argument_error);
}

TEST_CASE("a watcher sees every named part once, in order, with its output") {
    constexpr auto e = lv::scope<"m">(lv::scope<"layers">(lv::repeat<2>(block)) | twice) | lv::silu | swap;
    bound const f(
        e, {swap_of("m.layers.0", 1), swap_of("m.layers.1", 2), {"m.twice.weight", {2, 2}, {2, 0, 0, 2}}, swap_weight});
    std::vector<std::pair<std::string, floats>> seen;
    lv::observer const watch = [&](std::string_view module, lv::rows const& y) {
        seen.emplace_back(module, floats(y.data, y.data + y.size()));
    };
    lv::arena nowhere;
    lv::context c{nowhere};
    c.watch = &watch;
    static_cast<void>(f({1, 0}, 2, 2, 1, c));
    REQUIRE(seen.size() == 7);
    CHECK(seen[0] == std::pair{std::string("m.layers.0.swap"), floats{0, 1}});
    CHECK(seen[1] == std::pair{std::string("m.layers.0"), floats{1, 1}});
    CHECK(seen[2] == std::pair{std::string("m.layers.1.swap"), floats{2, 2}});
    CHECK(seen[3] == std::pair{std::string("m.layers.1"), floats{3, 3}});
    CHECK(seen[4] == std::pair{std::string("m.twice"), floats{6, 6}});
    CHECK(seen[5] == std::pair{std::string("m"), floats{6, 6}});
    CHECK(seen[6].first == "swap");
}

TEST_CASE("walk visits every node with its path") {
    constexpr auto e = lv::scope<"m">(lv::interleave<3, third_layer>(block, residual(twice)) | widen);
    lv::weights<std::remove_const_t<decltype(e)>> w;
    std::vector<std::string> paths;
    walk(e, &w, [&](auto node, auto* weights, lv::node_place const& place) {
        static_assert(std::is_same_v<decltype(weights), lv::weights<decltype(node)>*>);
        CHECK(weights != nullptr);
        if constexpr (decltype(node)::parameters.size() > 0) paths.push_back(place.path);
    });
    CHECK(paths == std::vector<std::string>{"m.0.swap", "m.1.swap", "m.2.twice", "m.widen"});
    std::vector<std::string> names, without_weights;
    for_each_weight(e, w, [&](lv::weight_facts const& facts, lv::matrix& to) {
        to.rows = names.size(); // which of them it is
        names.push_back(facts.name);
    });
    for_each_weight(e, [&](lv::weight_facts const& facts) { without_weights.push_back(facts.name); });
    CHECK(names
          == std::vector<std::string>{"m.0.swap.weight", "m.1.swap.weight", "m.2.twice.weight", "m.widen.weight",
                                      "m.widen.bias"});
    CHECK(without_weights == names);
    auto const& chain = std::get<0>(w.parts);
    auto const& stack = std::get<0>(chain.parts);
    CHECK(std::get<0>(std::get<0>(stack.parts)[1].parts).own[0].rows == 1); // the second of the first kind
    CHECK(std::get<0>(std::get<1>(stack.parts)[0].parts).own[0].rows == 2);
}
