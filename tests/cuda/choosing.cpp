// SPDX-License-Identifier: Apache-2.0
// Tokens that are chosen where the logits lie: those that the sampler chooses on the host, draw for draw.
#include <doctest/doctest.h>

#include <limits>
#include <memory>
#include <vector>

#include <llamavision/tokens/sampler.hpp>

#include "../backend/backends.hpp"

using namespace backends;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

/// Logits as models say them: many small ones, a few large ones, some equal, zeros of both signs.
std::vector<float> some_logits(std::uint64_t seed, std::size_t count) {
    numbers n(seed);
    std::vector<float> logits = n.floats(count, 6.0f);
    for (std::size_t i = 0; i < count; i += 7) logits[i] *= 4;
    for (std::size_t i = 5; i < count; i += 11) logits[i] = logits[i / 2];
    for (std::size_t i = 3; i < count; i += 13) logits[i] = i % 2 ? 0.0f : -0.0f;
    if (count > 20) logits[20] = -infinity;
    return logits;
}

/// A device's choices for one answer, beside the sampler's.
template <class B>
class answer {
  public:
    answer(B const& b, lv::tokens::sampling s, std::vector<lv::token> forbidden)
        : b_(b), sampler_(s, forbidden), forbidden_(std::move(forbidden)), random_(lv::random_bits(s.seed).state()) {}

    /// What both choose; the device's is negative where it leaves the choice to the host, which then draws for it.
    std::pair<lv::token, lv::token> next(std::vector<float> const& logits, std::vector<lv::token> const& history) {
        auto const& there = b_.backend();
        if (!room_) room_ = there.allocate(logits.size() * sizeof(float));
        there.upload(logits.data(), logits.size() * sizeof(float), room_.get());
        lv::tokens::sampling const& s = sampler_.settings();
        lv::choosing const how{s.temperature, s.top_p, s.top_k, static_cast<float>(s.repetition_penalty),
                               forbidden_,    history, random_};
        lv::chosen const c = there.choose(memory_, how, reinterpret_cast<float const*>(room_.get()), logits.size());
        lv::token const here = sampler_(logits, history);
        random_ = sampler_.random().state();
        if (c.id >= 0) CHECK(c.random == random_);
        return {c.id, here};
    }
    [[nodiscard]] lv::chosen alone(std::vector<float> const& logits) {
        auto const& there = b_.backend();
        room_ = there.allocate(logits.size() * sizeof(float));
        there.upload(logits.data(), logits.size() * sizeof(float), room_.get());
        lv::choosing how;
        how.forbidden = forbidden_;
        how.temperature = sampler_.settings().temperature;
        return there.choose(memory_, how, reinterpret_cast<float const*>(room_.get()), logits.size());
    }

  private:
    B const& b_;
    lv::tokens::sampler sampler_;
    std::vector<lv::token> forbidden_;
    std::uint64_t random_;
    std::shared_ptr<std::byte> room_;
    std::shared_ptr<void> memory_;
};

lv::tokens::sampling with(double temperature, double top_p, std::size_t top_k, double penalty) {
    lv::tokens::sampling s;
    s.temperature = temperature;
    s.top_p = top_p;
    s.top_k = top_k;
    s.repetition_penalty = penalty;
    s.seed = 7;
    return s;
}

} // namespace

TEST_CASE_TEMPLATE("a token chosen on the device is the sampler's", B, ALL_CUDA) {
    if (!B::usable()) return;
    B const b;
    for (std::size_t count : {1u, 2u, 33u, 1000u})
        for (double temperature : {0.0, 0.05, 0.6, 3.0})
            for (double top_p : {1e-9, 0.5, 0.9, 1.0})
                for (std::size_t top_k : {0u, 1u, 5u, 40u, 5000u})
                    for (double penalty : {1.0, 1.3}) {
                        CAPTURE(count);
                        CAPTURE(temperature);
                        CAPTURE(top_p);
                        CAPTURE(top_k);
                        CAPTURE(penalty);
                        std::vector<lv::token> const forbidden =
                            count > 4 ? std::vector<lv::token>{0, 3, -5, 100000} : std::vector<lv::token>{};
                        answer<B> a(b, with(temperature, top_p, top_k, penalty), forbidden);
                        std::vector<lv::token> history{1, 1, -3, 200000, 4};
                        for (std::uint64_t k = 0; k < 6; ++k) {
                            auto const [there, here] = a.next(some_logits(k % 3, count), history);
                            CHECK(there == here);
                            history.push_back(here);
                            history.push_back(static_cast<lv::token>(k));
                        }
                    }
}

TEST_CASE_TEMPLATE("what top-k and top-p leave whole is drawn in the sampler's order", B, ALL_CUDA) {
    if (!B::usable()) return;
    B const b;
    std::vector<float> const logits(100, 1.0f), two = [] {
        std::vector<float> all(100, -1000.0f);
        all[70] = all[30] = 1;
        return all;
    }();
    for (std::size_t top_k : {1u, 3u, 99u, 100u}) {
        answer<B> a(b, with(1, 1, top_k, 1), {});
        for (int k = 0; k < 20; ++k) {
            auto const [there, here] = a.next(logits, {});
            CHECK(there == here);
        }
        answer<B> few(b, with(1, 1, top_k, 1), {});
        auto const [there, here] = few.next(two, {});
        CHECK(there == here);
    }
}

TEST_CASE_TEMPLATE("what no sampler takes is left to the host, which says why", B, ALL_CUDA) {
    if (!B::usable()) return;
    B const b;
    float const nan = std::numeric_limits<float>::quiet_NaN();
    for (double temperature : {0.0, 0.7}) {
        CHECK(answer<B>(b, with(temperature, 1, 0, 1), {}).alone({1, nan, 2}).id == -1);
        CHECK(answer<B>(b, with(temperature, 1, 0, 1), {}).alone({1, infinity, 2}).id == -1);
        CHECK(answer<B>(b, with(temperature, 1, 0, 1), {1}).alone({1, infinity, 2}).id == -1);
        CHECK(answer<B>(b, with(temperature, 1, 0, 1), {}).alone({-infinity, -infinity}).id == -1);
        CHECK(answer<B>(b, with(temperature, 1, 0, 1), {0, 1}).alone({1, 2}).id == -1);
        CHECK(answer<B>(b, with(temperature, 1, 0, 1), {1}).alone({-infinity, 2, -1e30f}).id == 2);
    }
}

TEST_CASE("a workspace too small for the lists leaves the choice to the host") {
    emulated const b({2048, 4, lv::gpu::cores::bf16});
    answer<emulated> a(b, with(0.6, 0.9, 0, 1), {});
    CHECK(a.alone(some_logits(1, 1000)).id == -1);
    CHECK(answer<emulated>(b, with(0.6, 0.9, 0, 1), {}).alone(some_logits(1, 10)).id >= 0);
}
