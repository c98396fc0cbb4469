// SPDX-License-Identifier: Apache-2.0
// Errors of a session; a failure or a cancellation leaves it as it was.
#include <doctest/doctest.h>

#include <atomic>
#include <thread>

#include "../support/message.hpp"
#include "small_network.hpp"

namespace lv = llamavision;

namespace {
std::string refused(lv::session& s, id_list const& ids, image_list const& images = {}) {
    return message_of<lv::argument_error>([&] {
        s.append(ids, images);
        return 0;
    });
}

id_list const first{4, image_token, 9, 2};
id_list const second{11, image_token, image_token, 8, 1, 6, 6, 20};

/// A session that has read `first`, in chunks of three.
struct fixture {
    lv::session s{small_network(), {64, 3, lv::parity::usual}};
    std::vector<float> logits;

    fixture() {
        s.append(first, image_list{picture(1, 2, 5)});
        logits = copy(s.logits());
    }
    void check_unchanged() {
        CHECK(s.length() == first.size());
        CHECK(s.images() == 1);
        CHECK(copy(s.logits()) == logits);
        id_list all = first;
        all.insert(all.end(), second.begin(), second.end());
        s.append(second, image_list{picture(2, 1, 6), picture(1, 1, 7)});
        CHECK(copy(s.logits()) == logits_after(all, {picture(1, 2, 5), picture(2, 1, 6), picture(1, 1, 7)}));
    }
};
} // namespace

TEST_CASE_FIXTURE(fixture, "ids outside the vocabulary") {
    CHECK(contains(refused(s, {1, -1}), "token id -1 is outside the vocabulary of 40"));
    CHECK(contains(refused(s, {48}), "token id 48"));
    CHECK_THROWS_AS(s.append_generated(48), lv::argument_error);
    CHECK_THROWS_AS(s.append_generated(-7), lv::argument_error);
    check_unchanged();
    s.append_generated(47); // the last of the eight extra rows of the embedding
}

TEST_CASE_FIXTURE(fixture, "images and their places differ in number") {
    CHECK(contains(refused(s, {1, image_token}), "places for images in the text: 1, images given: 0"));
    CHECK(contains(refused(s, {1, 2}, {picture(1, 1)}), "places for images in the text: 0, images given: 1"));
    CHECK_THROWS_AS(s.append_generated(image_token), lv::argument_error);
    check_unchanged();
}

TEST_CASE_FIXTURE(fixture, "images of another model, and none at all") {
    auto const foreign = other_network()->encode(random_tiles(1, 1, small::vision::tile), {});
    CHECK(contains(refused(s, {image_token}, {foreign}), "not encoded by this session's model"));
    CHECK(contains(refused(s, {image_token}, {nullptr}), "not encoded by this session's model"));
    auto const tuned = network_with_fine_tuned_tables()->encode(random_tiles(1, 1, small::vision::tile), {});
    CHECK(contains(refused(s, {image_token}, {tuned}), "not encoded by this session's model"));
    auto const elsewhere = small_network_simd()->encode(random_tiles(1, 1, small::vision::tile), {});
    CHECK(contains(refused(s, {image_token}, {elsewhere}), "not encoded by this session's model"));
    check_unchanged();
}

TEST_CASE("an image may be used by networks with the same configuration, weights, formats and backend") {
    auto const seen = wide_network(1)->encode(random_tiles(1, 1, small::vision::tile), {});
    id_list const ids{static_cast<lv::token>(wide_network(1)->numbers().text.vocabulary)};
    lv::session same(wide_network(1), {64, 8, lv::parity::usual});
    same.append(ids, image_list{seen}); // another object
    CHECK(same.images() == 1);
    lv::session trained(wide_network(2), {64, 8, lv::parity::usual});
    CHECK_THROWS_AS(trained.append(ids, image_list{seen}), lv::argument_error);
    lv::session stored(wide_network_on(lv::all_tiers[0], lv::weight_format::stored), {64, 8, lv::parity::usual});
    CHECK_THROWS_AS(stored.append(ids, image_list{seen}), lv::argument_error);
}

TEST_CASE("Hugging Face's reading needs the padded tiles") {
    lv::session s(small_network(), {0, 256, lv::parity::hugging_face});
    auto const encode = [](std::size_t columns) {
        return small_network()->encode(random_tiles(1, columns, small::vision::tile), {});
    };
    CHECK(contains(refused(s, {1, image_token}, {encode(3)}), "remember_padding"));
    s.append(id_list{1, image_token}, image_list{encode(4)}); // no padded tiles in it
    CHECK(s.length() == 2);
}

TEST_CASE("the context overflows") {
    lv::session s(small_network(), {6, 256, lv::parity::usual});
    auto const overflow = [&](id_list const& ids) {
        return message_of<lv::context_error>([&] {
            s.append(ids);
            return 0;
        });
    };
    CHECK(contains(overflow(id_list(7, 1)), "holds 6 tokens; 0 are in it and 7 more do not fit"));
    s.append(id_list{1, 2, 3, 4});
    CHECK(contains(overflow({5, 6, 7}), "4 are in it and 3 more"));
    s.append(id_list{5});
    s.append_generated(6);
    CHECK_THROWS_AS(s.append_generated(7), lv::context_error);
    CHECK(s.length() == 6);
    CHECK(copy(s.logits()) == logits_after({1, 2, 3, 4, 5, 6}));
}

TEST_CASE("options out of range") {
    CHECK_THROWS_AS(lv::session(small_network(), {0, 0, lv::parity::usual}), lv::argument_error);
    CHECK_THROWS_AS(lv::session(small_network(), {601, 8, lv::parity::usual}), lv::argument_error);
    CHECK(lv::session(small_network(), {600, 8, lv::parity::usual}).context() == 600);
}

TEST_CASE_FIXTURE(fixture, "cancelled by its own progress, in the second chunk") {
    image_list const images{picture(2, 1, 6), picture(1, 1, 7)};
    for (std::size_t layer : {1u, 5u, 6u, 9u, 15u}) { // 15: after the last layer of the last chunk
        std::stop_source stop;
        lv::read_options options;
        options.stop = stop.get_token();
        options.on_progress = [&](std::size_t done, std::size_t) {
            if (done == layer) stop.request_stop();
        };
        CHECK_THROWS_AS(s.append(second, images, options), lv::cancelled);
    }
    check_unchanged();
}

TEST_CASE_FIXTURE(fixture, "cancelled while watched") {
    std::stop_source stop;
    lv::read_options options;
    options.stop = stop.get_token();
    options.watch = [&](std::string_view, lv::rows const&) { stop.request_stop(); };
    CHECK_THROWS_AS(s.append(id_list{1, 2, 3}, {}, options), lv::cancelled);
    CHECK(s.logits().size() == small::text::vocabulary);
    check_unchanged();
}

TEST_CASE_FIXTURE(fixture, "cancelled from another thread") {
    std::stop_source stop;
    std::atomic<bool> running = false;
    std::thread other([&] {
        running.wait(false);
        stop.request_stop();
    });
    lv::read_options options;
    options.stop = stop.get_token();
    options.on_progress = [&](std::size_t, std::size_t) {
        running = true;
        running.notify_one();
        while (!stop.stop_requested()) std::this_thread::yield();
    };
    CHECK_THROWS_AS(s.append_generated(3, options), lv::cancelled);
    other.join();
    check_unchanged();
}

TEST_CASE_FIXTURE(fixture, "an exception of the host program's own") {
    struct mine {};
    lv::read_options options;
    options.on_progress = [](std::size_t done, std::size_t) {
        if (done == 7) throw mine{};
    };
    CHECK_THROWS_AS(s.append(second, image_list{picture(2, 1, 6), picture(1, 1, 7)}, options), mine);
    check_unchanged();
}
