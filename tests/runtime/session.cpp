// SPDX-License-Identifier: Apache-2.0
// A text may be read in one pass, in chunks, token by token or turn by turn: the numbers are the same.
#include <doctest/doctest.h>

#include "../support/message.hpp"
#include "small_network.hpp"

namespace lv = llamavision;

namespace {
id_list const prompt{1, 7, image_token, 9, 3, 3, image_token, image_token, 12, 30, 2, 5, 39, 0, 17, 8};
image_list pictures() { return {picture(1, 2, 1), picture(2, 2, 2), picture(1, 1, 3)}; }

id_list part_of(id_list const& ids, std::size_t first, std::size_t count) {
    auto const begin = ids.begin() + static_cast<std::ptrdiff_t>(first);
    return {begin, begin + static_cast<std::ptrdiff_t>(count)};
}
} // namespace

TEST_CASE("chunks of any size give the numbers of one pass") {
    for (lv::parity reading : {lv::parity::usual, lv::parity::meta, lv::parity::hugging_face}) {
        lv::session_options options;
        options.reading = reading;
        std::vector<float> const whole = logits_after(prompt, pictures(), options);
        for (std::size_t chunk : {1u, 2u, 3u, 7u, 15u, 16u, 17u}) {
            options.chunk = chunk;
            CAPTURE(chunk);
            CHECK(logits_after(prompt, pictures(), options) == whole);
        }
    }
}

TEST_CASE("token by token") {
    image_list const images = pictures();
    lv::session s(small_network());
    std::size_t next = 0;
    for (lv::token id : prompt) {
        image_list const mine = id == image_token ? image_list{images[next++]} : image_list{};
        s.append(id_list{id}, mine);
    }
    CHECK(copy(s.logits()) == logits_after(prompt, images));
    CHECK(s.length() == prompt.size());
    CHECK(s.images() == 3);
    CHECK(id_list(s.ids().begin(), s.ids().end()) == prompt);
}

TEST_CASE("further turns with images give the numbers of a new session that reads everything") {
    image_list const images = pictures();
    // The cut at 7 separates two neighbouring image tokens: they are one run nevertheless.
    for (std::size_t cut : {1u, 2u, 3u, 6u, 7u, 8u, 12u}) {
        CAPTURE(cut);
        auto const before =
            static_cast<std::size_t>(std::count(prompt.begin(), prompt.begin() + long(cut), image_token));
        lv::session s(small_network());
        s.append(part_of(prompt, 0, cut), image_list(images.begin(), images.begin() + long(before)));
        s.append(part_of(prompt, cut, prompt.size() - cut), image_list(images.begin() + long(before), images.end()));
        CHECK(copy(s.logits()) == logits_after(prompt, images));
    }
}

TEST_CASE("generated tokens are read like tokens of the prompt") {
    id_list text = prompt;
    lv::session s(small_network());
    s.append(text, pictures());
    for (lv::token id : {4, 4, 31, 0, 22}) {
        s.append_generated(id);
        text.push_back(id);
        CHECK(copy(s.logits()) == logits_after(text, pictures()));
    }
}

TEST_CASE("after a reset the session is like a new one") {
    lv::session s(small_network());
    s.append(prompt, pictures());
    s.reset();
    CHECK(s.length() == 0);
    CHECK(s.images() == 0);
    s.append(id_list{5, 6});
    CHECK(copy(s.logits()) == logits_after({5, 6}));
}

TEST_CASE("an empty segment changes nothing") {
    lv::session s(small_network());
    s.append(id_list{5, 6});
    s.append(id_list{});
    CHECK(s.length() == 2);
    CHECK(copy(s.logits()) == logits_after({5, 6}));
}

TEST_CASE("text without an image skips the cross layers; their weights do not matter") {
    std::vector<std::string> modules;
    lv::read_options options;
    options.watch = [&](std::string_view module, lv::rows const&) { modules.emplace_back(module); };
    lv::session s(small_network());
    s.append(id_list{5, 6, 7}, {}, options);
    CHECK_FALSE(modules.empty());
    for (std::string const& m : modules) CHECK_FALSE((contains(m, "layers.1") || contains(m, "layers.4")));
    s.reset();
    modules.clear();
    s.append(id_list{5, image_token, 7}, image_list{picture(1, 1)}, options);
    CHECK(std::count(modules.begin(), modules.end(), "language_model.model.layers.4") == 1);
}

TEST_CASE("a watched prompt yields the logits of every row") {
    id_list const ids{3, image_token, 8, 1, 1, 25};
    image_list const images{picture(1, 3)};
    for (auto const& net : {small_network(), small_network_simd()})
        for (std::size_t chunk : {2u, 5u, 6u, 7u, 64u}) { // a watched prompt is read in one pass, whatever the chunk
            lv::session s(net, {0, chunk, lv::parity::usual});
            lv::read_options options;
            options.watch = [](std::string_view, lv::rows const&) {};
            s.append(ids, image_list{picture_by(*net, 1, 3)}, options);
            REQUIRE(s.all_logits().size() == ids.size() * small::text::vocabulary);
            for (std::size_t n = 2; n <= ids.size(); ++n)
                CHECK(difference(s.all_logits().subspan((n - 1) * small::text::vocabulary, small::text::vocabulary),
                                 logits_after(part_of(ids, 0, n), images))
                      < 1e-5);
            std::vector<float> const last = copy(s.logits());
            s.append(id_list{9});
            CHECK(s.all_logits().size() == small::text::vocabulary);
            CHECK(copy(s.logits()) != last);
        }
}

TEST_CASE("progress rises to the number of layers of all chunks") {
    std::vector<std::size_t> seen;
    lv::read_options options;
    options.on_progress = [&](std::size_t done, std::size_t total) {
        CHECK(total == 4 * small::text::layers);
        seen.push_back(done);
    };
    lv::session s(small_network(), {0, 4, lv::parity::usual});
    s.append(prompt, pictures(), options);
    REQUIRE(seen.size() == 4 * small::text::layers);
    for (std::size_t i = 0; i < seen.size(); ++i) CHECK(seen[i] == i + 1);
}

TEST_CASE("numbers of a session, and the memory that it holds") {
    lv::session s(small_network(), {100, 8, lv::parity::hugging_face});
    CHECK(s.context() == 100);
    CHECK(s.reading() == lv::parity::hugging_face);
    CHECK(s.remembers_padding());
    CHECK_FALSE(lv::session(small_network()).remembers_padding());
    CHECK(lv::session(small_network()).context() == small::text::context);
    CHECK(s.image_id() == image_token);
    CHECK(&s.net() == small_network().get());
    std::size_t const empty = s.bytes();
    s.append(id_list{1, 2, 3});
    CHECK(s.bytes() == empty + 3 * small_network()->plan(8).cache_per_position);
}
