// SPDX-License-Identifier: Apache-2.0
// What loading promises is kept: what the model is loaded for fits, to the byte; what takes more than is left is
// refused with the figures, and takes nothing.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <llamavision/runtime/images/cache.hpp>
#include <llamavision/runtime/network/memory_budget.hpp>
#include <llamavision/support/size_text.hpp>

#include "../support/message.hpp"
#include "small_network.hpp"

namespace lv = llamavision;

namespace {

using network_ptr = std::shared_ptr<lv::network const>;
constexpr std::size_t vocabulary = small::text::vocabulary;

/// Bytes that the small network takes with all that `use` says.
std::size_t bytes_for(lv::planned_use use) {
    use = lv::settled(use, small_network()->numbers().text);
    lv::memory_plan const plan = small_network()->plan(256, use.conversations);
    return plan.own(use.context, use.pictures) + plan.weights.mapped;
}

network_ptr loaded(std::size_t budget, lv::planned_use const& use, bool beyond = false) {
    return small_network_with({.memory_budget = budget, .beyond_memory = beyond, .planned = use});
}

lv::session::image_ptr full_picture(lv::network const& net) { return picture_by(net, 2, 2); }

std::string refused(network_ptr const& net, lv::session_options const& options) {
    std::size_t const left = net->memory_left();
    std::string const message = message_of<lv::memory_error>([&] { return lv::session(net, options).context(); });
    CHECK(net->memory_left() == left);
    return message;
}

} // namespace

TEST_CASE("what a model is loaded for fits to the byte, and runs") {
    for (lv::planned_use const& use : {lv::planned_use{}, {64}, {33, 2}, {40, 3, 2}, {600, 1, 5}}) {
        CAPTURE(use.context);
        std::size_t const need = bytes_for(use);
        std::string const message =
            message_of<lv::memory_error>([&] { return loaded(need - 1, use)->planned().context; });
        CHECK(contains(message, "of " + std::to_string(lv::settled(use, small_network()->numbers().text).context)
                                    + " positions"));
        CHECK(contains(message, lv::size_text(need) + " of memory"));
        network_ptr const net = loaded(need, use);
        auto const work = std::make_shared<lv::workspace>(net);
        work->reserve(256, use.conversations);
        std::vector<lv::session> sessions;
        for (std::size_t i = 0; i < use.conversations; ++i)
            sessions.emplace_back(net, lv::session_options{.work = work});
        CHECK(sessions.front().context() == (use.context == 0 ? small::text::context : use.context));
        image_list pictures;
        for (std::size_t i = 0; i < use.pictures; ++i) pictures.push_back(full_picture(*net));
        for (lv::session& s : sessions) {
            id_list ids(s.context() - 1, 1);
            std::fill_n(ids.begin(), pictures.size(), image_token);
            s.append(ids, pictures);
            s.append_generated(2);
            CHECK(s.length() == s.context());
        }
        CHECK(copy(sessions.front().logits()).size() == vocabulary);
    }
}

TEST_CASE("a session that takes more than is left is refused before it takes anything") {
    lv::planned_use const use{64};
    network_ptr const net = loaded(bytes_for(use), use);
    std::size_t const all = net->memory_left();
    std::string const message = refused(net, {.context = 600});
    CHECK(contains(message, "a session of 600 positions takes "));
    CHECK(contains(message, lv::size_text(all) + " are left"));
    CHECK(contains(message, "--context"));
    {
        lv::session const first(net);
        CHECK(first.context() == 64);
        CHECK(net->memory_left() < all);
        static_cast<void>(full_picture(*net)); // which was planned, and is gone at once
        std::vector<lv::session> more;
        CHECK(contains(message_of<lv::memory_error>([&] {
                           while (more.size() < 1000) more.emplace_back(net);
                           return more.size();
                       }),
                       "a session of 64 positions"));
    }
    CHECK(net->memory_left() == all); // all was given back
    CHECK(lv::session(net).context() == 64);
}

TEST_CASE("a picture that takes more than is left is refused, and room is made when another goes") {
    lv::planned_use const use{32, 2};
    network_ptr const net = loaded(bytes_for(use), use);
    lv::session const talk(net);
    std::vector<lv::session::image_ptr> kept;
    std::string const message = message_of<lv::memory_error>([&] {
        while (kept.size() < 1000) kept.push_back(full_picture(*net));
        return kept.size();
    });
    CHECK(contains(message, " are left of the "));
    CHECK(kept.size() >= 2);
    kept.pop_back();
    CHECK_NOTHROW(kept.push_back(full_picture(*net)));
}

TEST_CASE("pictures that a cache keeps give way to new ones") {
    lv::planned_use const use{32, 2};
    network_ptr const net = loaded(bytes_for(use), use);
    lv::image_cache cache;
    for (std::uint64_t seed = 0; seed < 50; ++seed)
        CHECK_NOTHROW(
            static_cast<void>(cache.encode(*net, random_tiles(2, 2, small::vision::tile, seed), lv::encode_options{})));
    CHECK(cache.counts().encoded == 50);
    std::vector<lv::session::image_ptr> kept; // by the caller: these cannot give way
    CHECK_THROWS_AS(
        [&] {
            for (std::uint64_t seed = 0; seed < 1000; ++seed)
                kept.push_back(cache.encode(*net, random_tiles(2, 2, small::vision::tile, seed), {}));
        }(),
        lv::memory_error);
}

TEST_CASE("beyond memory, sessions still keep to what the weights leave") {
    std::size_t const need = bytes_for({32});
    network_ptr const net = loaded(need, {600}, true);
    CHECK(net->memory_left() < bytes_for({600}));
    CHECK(contains(refused(net, {}), "a session of 600 positions"));
    CHECK(lv::session(net, {.context = 32}).context() == 32);
}

TEST_CASE("a context beyond the model's is refused when it is loaded") {
    CHECK(contains(message_of<lv::argument_error>([] { return loaded(0, {601})->planned().context; }),
                   "a context of 601 positions: the model has 600"));
    CHECK(loaded(0, {64})->planned().context == 64);
    CHECK(loaded(0, {64})->memory_left() == SIZE_MAX);
    CHECK(lv::session(loaded(0, {64}), {.context = 600}).context() == 600); // no budget: nothing is counted
}

TEST_CASE("what kernels borrow and keep is within what the plan counts for them") {
    using enum lv::weight_format;
    for (lv::weight_format f : {stored, bf16, i8, q8, q4}) {
        CAPTURE(lv::name_of(f));
        auto const pool = std::make_shared<lv::thread_pool>(2);
        auto const net = wide_network_on(lv::best_tier(), f, pool);
        lv::session s(net, {64, 32});
        s.append(id_list(40, 3));
        s.append(id_list{s.image_id(), 5}, image_list{picture_by(*net, 2, 2)});
        std::size_t const planned = net->plan(32).kernels;
        CHECK(pool->memory().kept() > 0);
        CHECK(pool->memory().kept() <= planned);
        CHECK(net->plan(32).beside_weights(64) > planned);
    }
}

TEST_CASE("several threads take and give back at the same time") {
    auto const ledger = std::make_shared<lv::memory_ledger>(1000);
    std::vector<std::thread> threads;
    std::atomic<std::size_t> taken = 0, refused = 0;
    for (int i = 0; i < 4; ++i)
        threads.emplace_back([&] {
            for (int n = 0; n < 2000; ++n) try {
                    auto const memory =
                        lv::memory_ledger::take(ledger, 300, [] { return std::make_shared<std::byte>(); });
                    if (ledger->left() > 700) refused += 1'000'000; // some of it is counted wrongly
                    ++taken;
                } catch (lv::memory_error const&) { ++refused; }
        });
    for (std::thread& t : threads) t.join();
    CHECK(taken + refused == 8000);
    CHECK(taken > 0);
    CHECK(ledger->left() == 1000);
    CHECK_THROWS_AS(static_cast<void>(lv::memory_ledger::take(
                        ledger, 10, []() -> std::shared_ptr<std::byte> { throw lv::memory_error("none"); })),
                    lv::memory_error);
    CHECK(ledger->left() == 1000);
}

TEST_CASE("amounts of memory in messages") {
    CHECK(lv::size_text(1) == "1 byte");
    CHECK(lv::size_text(99'999) == "99999 bytes");
    CHECK(lv::size_text(100'000) == "0.1 MB");
    CHECK(lv::size_text(4'250'000) == "4.3 MB");
    CHECK(lv::size_text(99'949'999) == "99.9 MB");
    CHECK(lv::size_text(21'349'999'999) == "21.3 GB");
    CHECK(lv::size_text(SIZE_MAX) == "18446744073.7 GB");
}
