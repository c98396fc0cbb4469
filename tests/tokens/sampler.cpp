// SPDX-License-Identifier: Apache-2.0
// Sampling: the tokens that the rules keep, the frequencies of draws, and draws that are the same on every machine.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <doctest/doctest.h>
#include <limits>
#include <llamavision/tokens/sampler.hpp>
#include <numeric>
#include <random>
#include <vector>

using namespace llamavision::tokens;
using llamavision::argument_error;
using llamavision::full_weight;
using llamavision::power_of_half;
using llamavision::random_bits;
using llamavision::token;
using llamavision::token_error;

namespace {

std::vector<float> logits_of(std::vector<double> const& probabilities) {
    std::vector<float> out;
    for (double const p : probabilities) out.push_back(static_cast<float>(std::log(p)));
    return out;
}

std::vector<token> kept(sampling const& s, std::vector<float> const& logits, std::vector<token> const& history = {}) {
    sampler choose(s);
    std::vector<token> out;
    for (auto const& c : choose.candidates(logits, history)) out.push_back(c.id);
    return out;
}

sampling with(double temperature, double top_p, std::size_t top_k = 0, double penalty = 1) {
    sampling s;
    s.temperature = temperature;
    s.top_p = top_p;
    s.top_k = top_k;
    s.repetition_penalty = penalty;
    return s;
}

constexpr float infinity = std::numeric_limits<float>::infinity();

} // namespace

TEST_CASE("2^-t in integers") {
    CHECK(power_of_half(0) == full_weight);
    CHECK(power_of_half(std::uint64_t{1} << 32) == full_weight / 2);
    CHECK(power_of_half(std::uint64_t{42} << 32) == 2);
    CHECK(power_of_half(std::uint64_t{43} << 32) == 0);
    CHECK(power_of_half(~std::uint64_t{0}) == 0);
    double worst = 0;
    std::uint64_t previous = full_weight;
    for (std::uint64_t t = 0; t < std::uint64_t{3} << 32; t += 1234567) {
        auto const w = power_of_half(t);
        CHECK(w <= previous + (full_weight >> 31)); // falling, but for the last bits
        previous = w;
        auto const exact = std::exp2(-static_cast<double>(t) / 4294967296.0) * static_cast<double>(full_weight);
        worst = std::max(worst, std::abs(static_cast<double>(w) / exact - 1));
    }
    CHECK(worst < std::exp2(-29));
    static_assert(power_of_half(std::uint64_t{1} << 31) > full_weight / 10 * 7);
}

TEST_CASE("random bits: known values, and uniform below a bound") {
    random_bits bits(0);
    CHECK(bits.next() == 0xE220A8397B1DCDAFu); // SplitMix64's first values from state 0
    CHECK(bits.next() == 0x6E789E6AA1B965F4u);
    random_bits draws(3);
    std::vector<int> counts(5);
    for (int i = 0; i < 50000; ++i) ++counts[draws.below(5)];
    for (int const c : counts) CHECK(std::abs(c - 10000) < 500);
    CHECK(draws.below(1) == 0);
}

TEST_CASE("greedy: the lowest id among the maxima") {
    sampling s;
    s.temperature = 0;
    std::vector<float> const logits{1, 3, -2, 3, 3, -infinity};
    CHECK(sampler(s)(logits) == 1);
    CHECK(sampler(s, {1})(logits) == 3);
    CHECK(sampler(with(0, 0.9))(logits) == 1);
    CHECK(sampler(with(0, 0.9), {1, 3, 4, -7, 100})(logits) == 0);
    CHECK(sampler(s)(std::vector<float>{-infinity, -1e30f}) == 1);
}

TEST_CASE("top-p keeps a token if the sum of those before it is at most p") {
    auto const logits = logits_of({0.05, 0.5, 0.15, 0.3});
    CHECK(kept(with(1, 0.4), logits) == std::vector<token>{1});
    CHECK(kept(with(1, 0.51), logits) == std::vector<token>{1, 3});
    CHECK(kept(with(1, 0.79), logits) == std::vector<token>{1, 3});
    CHECK(kept(with(1, 0.81), logits) == std::vector<token>{1, 3, 2});
    CHECK(kept(with(1, 0.96), logits) == std::vector<token>{1, 3, 2, 0});
    CHECK(kept(with(1, 1), logits) == std::vector<token>{0, 1, 2, 3});
    CHECK(kept(with(1, 1e-9), logits) == std::vector<token>{1});
    // Exactly at p: 0.5 comes before the second of two equals, and 0.5 ≤ 0.5. Equals go by id.
    CHECK(kept(with(1, 0.5), {0, 0}) == std::vector<token>{0, 1});
    CHECK(kept(with(1, 0.49), {0, 0}) == std::vector<token>{0});
    // A lower temperature makes the first more likely: 0.5² : 0.3² : 0.15² : 0.05².
    CHECK(kept(with(0.5, 0.68), logits) == std::vector<token>{1});
}

TEST_CASE("top-p of 0 keeps the most likely token") {
    sampler s(with(1, 0));
    for (int i = 0; i < 20; ++i) CHECK(s(std::vector<float>{1, 3, 2.99f, 0}) == 1);
}

TEST_CASE("top-p against the rule in floating point, over many tokens") {
    std::mt19937 random(5);
    std::normal_distribution<float> normal(0, 3);
    for (int round = 0; round < 50; ++round) {
        std::vector<float> logits(1 + random() % 3000);
        for (auto& l : logits) l = normal(random);
        double const p = static_cast<double>(1 + random() % 98) / 100, temperature = 0.3 + round * 0.05;
        auto const ids = kept(with(temperature, p), logits);
        std::vector<token> order(logits.size());
        std::iota(order.begin(), order.end(), 0);
        auto const at = [&](token id) { return static_cast<double>(logits[static_cast<std::size_t>(id)]); };
        std::stable_sort(order.begin(), order.end(), [&](token a, token b) { return at(a) > at(b); });
        double total = 0, before = 0;
        for (auto const id : order) total += std::exp((at(id) - at(order[0])) / temperature);
        std::size_t count = 0;
        double nearest = 1; // to the border, in units of the total
        for (; count < order.size(); ++count) {
            nearest = std::min(nearest, std::abs(before / total - p));
            if (before > p * total) break;
            before += std::exp((at(order[count]) - at(order[0])) / temperature);
        }
        if (nearest < 1e-7) continue; // too near to tell
        order.resize(count);
        CHECK(ids == order);
    }
}

TEST_CASE("top-k, and top-p among them") {
    auto const logits = logits_of({0.05, 0.5, 0.15, 0.3});
    CHECK(kept(with(1, 1, 2), logits) == std::vector<token>{1, 3});
    CHECK(kept(with(1, 1, 9), logits) == std::vector<token>{0, 1, 2, 3});
    CHECK(kept(with(1, 0.6, 2), logits) == std::vector<token>{1}); // 0.5 of 0.8 is more than 0.6
    CHECK(kept(with(1, 0.63, 2), logits) == std::vector<token>{1, 3});
    CHECK(kept(with(1, 1, 1), {2, 2, 2}) == std::vector<token>{0});
}

TEST_CASE("drawn as often as their probability says") {
    auto const logits = logits_of({0.05, 0.5, 0.15, 0.3});
    sampler choose(with(1, 1));
    std::vector<double> counts(4);
    constexpr int draws = 200000;
    for (int i = 0; i < draws; ++i) ++counts[static_cast<std::size_t>(choose(logits))];
    double chi = 0;
    std::vector<double> const p{0.05, 0.5, 0.15, 0.3};
    for (std::size_t i = 0; i < 4; ++i) chi += std::pow(counts[i] - p[i] * draws, 2) / (p[i] * draws);
    CHECK(chi < 16.3); // one in a thousand at three degrees of freedom
    // Among those that top-p keeps, by their share.
    sampler two(with(1, 0.6));
    int first = 0;
    for (int i = 0; i < draws; ++i) {
        auto const id = two(logits);
        CHECK((id == 1 || id == 3));
        first += id == 1;
    }
    CHECK(std::abs(first / static_cast<double>(draws) - 0.5 / 0.8) < 0.005);
}

TEST_CASE("the same seed gives these tokens on every machine") {
    std::vector<float> logits;
    for (int i = 0; i < 1000; ++i) logits.push_back(static_cast<float>((i * 7919) % 1000) / 100.0f);
    sampling s = with(0.8, 0.95);
    s.seed = 42;
    sampler a(s), b(s);
    std::vector<token> drawn;
    for (int i = 0; i < 8; ++i) drawn.push_back(a(logits));
    for (auto const id : drawn) CHECK(b(logits) == id);
    CHECK(drawn == std::vector<token>{77, 704, 25, 247, 198, 87, 383, 840});
    s.seed = 43;
    sampler c(s);
    std::vector<token> other;
    for (int i = 0; i < 8; ++i) other.push_back(c(logits));
    CHECK(other != drawn);
}

TEST_CASE("repetition penalty: each token of the history once; ids without a logit do not matter") {
    std::vector<float> const logits{2, 1.5f, -1, -1.2f};
    sampling s = with(1, 1, 0, 2);
    s.temperature = 0;
    CHECK(sampler(s)(logits) == 0);
    CHECK(sampler(s)(logits, std::vector<token>{0, 0, 0}) == 1); // 1, 1.5, …
    CHECK(sampler(s)(logits, std::vector<token>{0, 1, -3, 260, 1}) == 0);
    auto const weights = [&](std::vector<token> const& history) {
        sampler choose(with(1, 1, 0, 2));
        std::vector<double> out;
        for (auto const& c : choose.candidates(logits, history))
            out.push_back(static_cast<double>(c.weight) / static_cast<double>(full_weight));
        return out;
    };
    auto const w = weights({2, 2});
    REQUIRE(w.size() == 4);
    CHECK(w[2] == doctest::Approx(std::exp(-4.0)).epsilon(1e-7)); // −1 · 2
    CHECK(w[3] == doctest::Approx(std::exp(-3.2)).epsilon(1e-7));
}

TEST_CASE("forbidden tokens are never chosen") {
    std::vector<float> const logits{5, 1, 4, 1};
    sampler choose(with(2, 1), {0, 2, 9, -1});
    for (int i = 0; i < 1000; ++i) {
        auto const id = choose(logits);
        CHECK((id == 1 || id == 3));
    }
    CHECK_THROWS_AS(sampler(with(1, 1), {0, 1, 2, 3})(logits), token_error);
}

TEST_CASE("settings and logits that are refused") {
    auto const nan = std::numeric_limits<float>::quiet_NaN();
    CHECK_THROWS_AS(sampler()(std::vector<float>{0, nan}), token_error);
    CHECK_THROWS_AS(sampler()(std::vector<float>{0, infinity}), token_error);
    CHECK_THROWS_AS(sampler()(std::vector<float>{-infinity}), token_error);
    CHECK_THROWS_AS(sampler()(std::vector<float>{}), token_error);
    CHECK_THROWS_AS(sampler({}, {1})(std::vector<float>{0, nan}), token_error);
    for (double const bad : {-1.0, std::nan(""), 1.0 / 0.0}) {
        CHECK_THROWS_AS(sampler(with(bad, 0.9)), argument_error);
        CHECK_THROWS_AS(sampler(with(1, bad)), argument_error);
        CHECK_THROWS_AS(sampler(with(1, 1, 0, bad)), argument_error);
    }
    CHECK_THROWS_AS(sampler(with(1, -0.01)), argument_error);
    CHECK_THROWS_AS(sampler(with(1, 1.01)), argument_error);
    CHECK_THROWS_AS(sampler(with(1, 1, 0, 0)), argument_error);
    CHECK(sampler(with(1e-300, 0.5))(std::vector<float>{1, 2}) == 1);
}
