// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <thread>
#include <vector>

#include <llamavision/support/thread_pool.hpp>

#include "message.hpp"

#if defined(__GLIBC__)
#include <pthread.h>
#endif

using llamavision::thread_pool;

TEST_CASE("every chunk runs exactly once, whatever the threads") {
    for (std::size_t threads : {1u, 2u, 3u, 7u}) {
        thread_pool pool(threads);
        CHECK(pool.threads() == threads);
        for (std::size_t chunks : {0u, 1u, 2u, 5u, 1000u}) {
            std::vector<std::atomic<int>> calls(chunks);
            pool.run(chunks, [&](std::size_t i) { ++calls[i]; });
            for (std::atomic<int> const& n : calls) CHECK(n == 1);
        }
    }
}

TEST_CASE("thousands of short calls, some after a pause long enough to sleep") {
    thread_pool pool(3);
    std::atomic<std::size_t> sum = 0;
    for (std::size_t round = 0; round < 5000; ++round) {
        pool.run(round % 7, [&](std::size_t i) { sum += i + 1; });
        if (round % 1000 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    std::size_t expected = 0;
    for (std::size_t round = 0; round < 5000; ++round) expected += round % 7 * (round % 7 + 1) / 2;
    CHECK(sum == expected);
}

TEST_CASE("what is written in the chunks is seen after run") {
    thread_pool pool(4);
    std::vector<std::size_t> squares(513);
    for (int round = 0; round < 50; ++round) {
        pool.run(squares.size(), [&](std::size_t i) { squares[i] = i * i; });
        for (std::size_t i = 0; i < squares.size(); ++i) REQUIRE(squares[i] == i * i);
        pool.run(squares.size(), [&](std::size_t i) { squares[i] = 0; });
    }
}

TEST_CASE("calls within calls, and from several threads, finish") {
    thread_pool pool(3);
    std::atomic<int> count = 0;
    std::vector<std::thread> users;
    for (int u = 0; u < 4; ++u)
        users.emplace_back([&] {
            for (int round = 0; round < 100; ++round)
                pool.run(5, [&](std::size_t) { pool.run(3, [&](std::size_t) { ++count; }); });
        });
    for (std::thread& user : users) user.join();
    CHECK(count == 4 * 100 * 5 * 3);
}

TEST_CASE("a second caller gets workers, too") {
    thread_pool pool(4); // three workers: two may do the first call while its caller waits
    auto const until = [](std::atomic<int> const& n, int wanted) { // seconds at most, so that a fault does not hang
        for (int i = 0; i < 10000 && n < wanted; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
        return n >= wanted;
    };
    std::atomic<int> first = 0, second = 0, over = 0, met = 0;
    std::thread other([&] {
        pool.run(2, [&](std::size_t) {
            ++first;
            until(over, 1);
        });
    });
    REQUIRE(until(first, 2));
    pool.run(2, [&](std::size_t) { // one chunk waits for the other: only two threads at once get through
        ++second;
        met += until(second, 2);
    });
    ++over;
    other.join();
    CHECK(met == 2);
}

TEST_CASE("callers share the workers evenly") {
    thread_pool pool(2); // one worker
    std::atomic<int> begun = 0;
    auto const share = [&](std::atomic<int>& helped) {
        ++begun;
        while (begun < 2) std::this_thread::yield();
        auto const self = std::this_thread::get_id();
        pool.run(400, [&](std::size_t) {
            helped += std::this_thread::get_id() != self;
            std::this_thread::sleep_for(std::chrono::microseconds(200));
        });
    };
    std::atomic<int> a = 0, b = 0;
    std::thread other([&] { share(a); });
    share(b);
    other.join();
    CHECK(a > 40); // of about 133 each
    CHECK(b > 40);
}

TEST_CASE("more callers than the pool takes at a time") {
    thread_pool pool(2);
    std::atomic<int> count = 0;
    std::vector<std::thread> users;
    for (int u = 0; u < 20; ++u)
        users.emplace_back([&] {
            for (int round = 0; round < 50; ++round) pool.run(7, [&](std::size_t) { ++count; });
        });
    for (std::thread& user : users) user.join();
    CHECK(count == 20 * 50 * 7);
}

TEST_CASE("an exception comes out of run, and the pool works on") {
    for (std::size_t threads : {1u, 3u}) {
        thread_pool pool(threads);
        for (int round = 0; round < 100; ++round) {
            CHECK_THROWS_WITH_AS(pool.run(64,
                                          [](std::size_t i) {
                                              if (i >= 40) throw std::runtime_error("chunk");
                                          }),
                                 "chunk", std::runtime_error);
            std::atomic<int> count = 0;
            pool.run(64, [&](std::size_t) { ++count; });
            CHECK(count == 64);
        }
    }
}

TEST_CASE("memory that a call gave back serves the next one, and no more is kept than the limit") {
    thread_pool pool(1);
    std::byte* first = nullptr;
    {
        auto const a = pool.lend(1000), b = pool.lend(5000);
        first = a.data();
        CHECK(a.data() != b.data());
        CHECK(reinterpret_cast<std::uintptr_t>(a.data()) % 64 == 0);
        CHECK(pool.memory().kept() == 0);
    }
    CHECK(pool.memory().kept() == 6000);
    CHECK(pool.lend(900).data() == first); // the smallest that suffices
    CHECK(pool.memory().kept() == 6000);
    std::size_t const most = llamavision::memory_lender::most_kept;
    { auto const all = pool.lend(most - 2000); }
    CHECK(pool.memory().kept() == most - 1000); // in place of the one that was too small
    { auto const more = pool.lend(most + 1); }
    CHECK(pool.memory().kept() == most - 1000); // too large to be kept
    {
        auto const moved = [&] { return pool.lend(most - 2000); }();
    }
    CHECK(pool.memory().kept() == most - 1000);
    { auto const a = pool.lend(most / 2), b = pool.lend(most / 2), c = pool.lend(most / 2); }
    CHECK(pool.memory().kept() <= most);
}

TEST_CASE("threads that call a backend one after another leave no memory of their own for each call") {
    thread_pool pool(2);
    for (int i = 0; i < 64; ++i) std::thread([&] { auto const mine = pool.lend(std::size_t{1} << 20); }).join();
    CHECK(pool.memory().kept() == std::size_t{1} << 20);
}

TEST_CASE("a pool that is never used, or used once, ends") {
    for (int round = 0; round < 50; ++round) {
        thread_pool idle(4);
        thread_pool used(4);
        used.run(8, [](std::size_t) {});
    }
}

#if defined(__GLIBC__)
TEST_CASE("threads that the system does not start are counted in the error") {
    pthread_attr_t usual, large;
    REQUIRE(pthread_getattr_default_np(&usual) == 0);
    REQUIRE(pthread_getattr_default_np(&large) == 0);
    REQUIRE(pthread_attr_setstacksize(&large, std::size_t{1} << 50) == 0); // more than there are addresses
    REQUIRE(pthread_setattr_default_np(&large) == 0);
    std::string const said = message_of<llamavision::error>([] { return thread_pool(3).threads(); });
    REQUIRE(pthread_setattr_default_np(&usual) == 0);
    pthread_attr_destroy(&large);
    pthread_attr_destroy(&usual);
    CHECK(contains(said, "of the 3 threads that were asked for, only 1 can be started"));
}
#endif
