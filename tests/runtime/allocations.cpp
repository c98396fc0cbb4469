// SPDX-License-Identifier: Apache-2.0
// Nothing is allocated for a token: after the first decoded token, `append_generated` never asks for memory. And what
// the system refuses is a memory_error, which leaves everything as it was.
#include <doctest/doctest.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include <llamavision/support/aligned_bytes.hpp>

#include "../support/message.hpp"
#include "small_network.hpp"

namespace {
std::atomic<std::size_t> allocations = 0;
std::atomic<std::size_t> largest = SIZE_MAX; ///< what takes more bytes is refused

void* allocate(std::size_t size) {
    ++allocations;
    void* const memory = size > largest ? nullptr : std::malloc(size ? size : 1);
    if (!memory) throw std::bad_alloc();
    return memory;
}
} // namespace

// The whole program's, so that all threads' allocations are counted.
void* operator new(std::size_t size) { return allocate(size); }
void* operator new[](std::size_t size) { return allocate(size); }
void* operator new(std::size_t size, std::align_val_t at, std::nothrow_t const&) noexcept { // of aligned_bytes
    ++allocations;
    auto const alignment = static_cast<std::size_t>(at);
    return size > largest ? nullptr : std::aligned_alloc(alignment, (size / alignment + 1) * alignment);
}
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }

namespace lv = llamavision;

namespace {
/// How many allocations 200 tokens take after the prompt and the first of them.
std::size_t allocations_of(lv::session& s) {
    s.append_generated(3);
    std::size_t const before = allocations;
    for (int i = 0; i < 200; ++i) s.append_generated(static_cast<lv::token>(i % 40));
    return allocations - before;
}

/// The same for six sessions that read together.
std::size_t allocations_together(std::shared_ptr<lv::network const> const& net, lv::parity reading) {
    lv::session_options options{0, 64, reading, std::make_shared<lv::workspace>(net)};
    std::deque<lv::session> sessions;
    std::vector<lv::session::input> prompts, tokens;
    id_list const prompt{1, image_token, 2};
    image_list const images{picture_by(*net, 1, 2)};
    lv::token now = 0;
    for (int i = 0; i < 6; ++i) {
        lv::session& s = sessions.emplace_back(net, options);
        prompts.push_back({&s, prompt, images});
        tokens.push_back({&s, {&now, 1}, {}, true});
    }
    lv::session::append_together(prompts);
    lv::session::append_together(tokens);
    std::size_t const before = allocations;
    for (now = 0; now < 40; ++now) lv::session::append_together(tokens);
    return allocations - before;
}
} // namespace

TEST_CASE("decoding allocates nothing") {
    auto* const counted = new int(0);
    CHECK(allocations > 0); // the counter counts
    delete counted;
    // A thread makes the working memory of its attention once: the caller here, with 500 tokens; the one that the pool
    // of the simd backend adds whenever it first gets some of the work.
    for (auto const& net : {small_network(), small_network_simd()}) {
        CAPTURE(std::string(net->backend_name()));
        lv::session(net).append(id_list(500, 1));
        std::size_t sum = 0;
        for (lv::parity reading : {lv::parity::usual, lv::parity::meta, lv::parity::hugging_face}) {
            lv::session text(net, {0, 8, reading});
            text.append(id_list{1, 2, 3, 4, 5});
            sum += allocations_of(text);
            lv::session images(net, {0, 8, reading});
            images.append(id_list{1, image_token, 2, image_token, image_token, 3},
                          image_list{picture_by(*net, 1, 1), picture_by(*net, 1, 2), picture_by(*net, 2, 2)});
            sum += allocations_of(images);
            sum += allocations_together(net, reading);
        }
        CHECK(sum <= (net->backend_name() == "simd" ? 1 : 0)); // of 1320 passes
    }
}

namespace {
/// Refuses what takes more than so many bytes, as long as it lives.
struct scarcity {
    explicit scarcity(std::size_t bytes) { largest = bytes; }
    scarcity(scarcity const&) = delete;
    scarcity& operator=(scarcity const&) = delete;
    ~scarcity() { largest = SIZE_MAX; }
};
} // namespace

TEST_CASE("a session whose memory the system refuses is a memory_error") {
    auto const net = small_network();
    lv::session usual(net, {600, 256, lv::parity::usual});
    std::size_t opened = 0;
    // With limits from one at which only small allocations succeed to one at which all do.
    for (std::size_t bytes = 1024; bytes < std::size_t{1} << 20; bytes *= 2) {
        bool refused = false;
        {
            scarcity const now(bytes);
            try {
                lv::session const s(net, {600, 256, lv::parity::usual});
                ++opened;
            } catch (lv::memory_error const&) { refused = true; }
        }
        CHECK((refused || opened > 0));
    }
    CHECK(opened > 0);
    CHECK(opened < 10);
}

TEST_CASE("reading that the system refuses memory is a memory_error, and leaves the session as it was") {
    auto const net = small_network();
    id_list const first{1, 2, 3}, second(400, 4);
    lv::session s(net, {600, 16, lv::parity::usual});
    s.append(first);
    std::vector<float> const before = copy(s.logits());
    lv::read_options watched; // keeps the logits of all rows, in a pass of all rows
    watched.watch = [](std::string_view, lv::rows const&) {};
    std::string const message = message_of<lv::memory_error>([&] {
        scarcity const now(20'000);
        s.append(second, {}, watched);
        return 0;
    });
    CHECK(contains(message, "memory"));
    CHECK(s.length() == first.size());
    CHECK(copy(s.logits()) == before);
    s.append(second);
    CHECK(s.length() == first.size() + second.size());
}

TEST_CASE("a picture whose memory the system refuses is a memory_error") {
    auto const net = small_network();
    CHECK_THROWS_AS(
        [&] {
            scarcity const now(200);
            static_cast<void>(picture_by(*net, 2, 2));
        }(),
        std::exception);
    CHECK(contains(message_of<lv::memory_error>([] {
                       scarcity const now(1000);
                       return lv::aligned_bytes(1001) != nullptr;
                   }),
                   "1001 bytes"));
}
