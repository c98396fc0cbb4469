// SPDX-License-Identifier: Apache-2.0
// Several conversations in one pass: each gives the same bits as alone, and an error of one leaves all as they were.
#include <doctest/doctest.h>

#include <string>
#include <utility>

#include "../support/message.hpp"
#include "small_network.hpp"

namespace lv = llamavision;

namespace {

using network_ptr = std::shared_ptr<lv::network const>;
using inputs = std::vector<lv::session::input>;

lv::session::image_ptr look(network_ptr const& net, std::size_t rows, std::size_t columns, std::uint64_t seed) {
    lv::encode_options options;
    options.remember_padding = true;
    return net->encode(random_tiles(rows, columns, small::vision::tile, seed), options);
}

struct conversation {
    id_list prompt;
    image_list images;
    lv::parity reading = lv::parity::usual;
};

/// Conversations with no picture, one, the same twice, another, several; of all lengths and kinds of parity.
std::vector<conversation> conversations(network_ptr const& net) {
    auto const image = static_cast<lv::token>(net->numbers().text.vocabulary);
    auto const a = look(net, 1, 2, 1), b = look(net, 2, 2, 2), c = look(net, 1, 1, 3);
    using enum lv::parity;
    return {{{1, 7, 30}, {}},
            {{2, image, 9, 4, 4, 17}, {a}},
            {{image, 5}, {a}, meta},
            {{image, 8, 8, 2, 31, 3, 3, 3, 12, 6, 1}, {a}},
            {{3, 3, image, image, 20, image, 1}, {a, b, c}, meta},
            {{9, 1, image, 4}, {b}, hugging_face},
            {{6, image, 4}, {b}, hugging_face},
            {{11}, {}, hugging_face}};
}

/// The logits of each, on a session of its own: after the prompt and after each of the tokens.
std::vector<std::vector<float>> alone(network_ptr const& net, conversation const& c, id_list const& tokens) {
    lv::session s(net, {64, 5, c.reading});
    s.append(c.prompt, c.images);
    std::vector<std::vector<float>> said{copy(s.logits())};
    for (lv::token t : tokens) {
        s.append_generated(t);
        said.push_back(copy(s.logits()));
    }
    return said;
}

id_list tokens_of(std::size_t conversation, std::size_t count) {
    id_list ids;
    for (std::size_t i = 0; i < count; ++i) ids.push_back(static_cast<lv::token>((conversation * 11 + i * 7) % 40));
    return ids;
}

/// Sessions that share a workspace, each with its input.
struct company {
    std::vector<conversation> all;
    std::vector<lv::session> sessions;

    company(network_ptr const& net, std::size_t chunk) : all(conversations(net)) {
        auto const work = std::make_shared<lv::workspace>(net);
        for (conversation const& c : all) sessions.emplace_back(net, lv::session_options{64, chunk, c.reading, work});
    }
    [[nodiscard]] inputs prompts() {
        inputs read;
        for (std::size_t i = 0; i < all.size(); ++i) read.push_back({&sessions[i], all[i].prompt, all[i].images});
        return read;
    }
    [[nodiscard]] std::vector<id_list> held() const {
        std::vector<id_list> ids;
        for (lv::session const& s : sessions) ids.emplace_back(s.ids().begin(), s.ids().end());
        return ids;
    }
    [[nodiscard]] std::vector<std::vector<float>> said() const {
        std::vector<std::vector<float>> logits;
        for (lv::session const& s : sessions) logits.push_back(copy(s.logits()));
        return logits;
    }
};

void check_same_bits(network_ptr const& net, std::size_t chunk) {
    company c(net, chunk);
    constexpr std::size_t count = 5;
    std::vector<std::vector<std::vector<float>>> wanted;
    for (std::size_t i = 0; i < c.all.size(); ++i) wanted.push_back(alone(net, c.all[i], tokens_of(i, count)));
    lv::session::append_together(c.prompts());
    for (std::size_t step = 0; step <= count; ++step) {
        for (std::size_t i = 0; i < c.all.size(); ++i) {
            CAPTURE(step);
            CAPTURE(i);
            CHECK(copy(c.sessions[i].logits()) == wanted[i][step]);
        }
        if (step == count) break;
        inputs read;
        std::vector<lv::token> next;
        for (std::size_t i = 0; i < c.all.size(); ++i) next.push_back(tokens_of(i, count)[step]);
        for (std::size_t i = 0; i < c.all.size(); ++i) read.push_back({&c.sessions[i], {&next[i], 1}, {}, true});
        lv::session::append_together(read);
    }
}

} // namespace

TEST_CASE("together as alone, bit for bit: scalar, and memory of its own") {
    for (std::size_t chunk : {1u, 3u, 8u, 64u}) {
        CAPTURE(chunk);
        check_same_bits(small_network(), chunk);
        check_same_bits(apart_network(), chunk);
    }
}

TEST_CASE("together as alone, bit for bit: every tier of simd that this machine has, in every format") {
    using enum lv::weight_format;
    for (lv::tier const level : lv::all_tiers) {
        if (!lv::available(level)) continue;
        for (lv::weight_format const f : {stored, bf16, q8, q4}) {
            CAPTURE(std::string(lv::name_of(level)));
            CAPTURE(std::string(lv::name_of(f)));
            check_same_bits(wide_network_on(level, f), 6);
            check_same_bits(wide_network_on(level, f), 64);
        }
    }
}

TEST_CASE("sessions join and leave; a prompt is read beside generated tokens") {
    for (network_ptr const& net : {small_network(), small_network_simd()}) {
        company c(net, 8);
        std::vector<lv::session>& s = c.sessions;
        id_list const a = tokens_of(0, 3), b = tokens_of(1, 2);
        auto const one = [](id_list const& ids, std::size_t i) { return std::span(ids).subspan(i, 1); };
        lv::session::append_together(inputs{{&s[0], c.all[0].prompt, c.all[0].images}});
        lv::session::append_together(inputs{{&s[1], c.all[1].prompt, c.all[1].images}, {&s[0], one(a, 0), {}, true}});
        lv::session::append_together(inputs{
            {&s[0], one(a, 1), {}, true}, {&s[3], c.all[3].prompt, c.all[3].images}, {&s[1], one(b, 0), {}, true}});
        lv::session::append_together(inputs{{&s[1], one(b, 1), {}, true}});
        s[0].append_generated(a[2]);
        CHECK(copy(s[0].logits()) == alone(net, c.all[0], a).back());
        CHECK(copy(s[1].logits()) == alone(net, c.all[1], b).back());
        CHECK(copy(s[3].logits()) == alone(net, c.all[3], {}).back());
    }
}

TEST_CASE("nothing to read: no session, and empty inputs") {
    lv::session::append_together({});
    company c(small_network(), 8);
    lv::session::append_together(c.prompts());
    auto const before = c.said();
    lv::session::append_together(inputs{{&c.sessions[0], {}}, {&c.sessions[1], {}}});
    CHECK(c.said() == before);
}

TEST_CASE("a watched pass shows the rows of all, in order, and keeps every row's logits") {
    company c(small_network(), 4);
    std::size_t rows = 0, embedded = 0;
    for (conversation const& each : c.all) rows += each.prompt.size();
    lv::read_options options;
    options.watch = [&](std::string_view module, lv::rows const& y) {
        if (module == "language_model.model.embed_tokens") embedded = y.count;
    };
    lv::session::append_together(c.prompts(), options);
    CHECK(embedded == rows);
    for (std::size_t i = 0; i < c.all.size(); ++i) {
        lv::session s(small_network(), {64, 5, c.all[i].reading});
        s.append(c.all[i].prompt, c.all[i].images, options);
        CHECK(copy(c.sessions[i].all_logits()) == copy(s.all_logits()));
    }
}

TEST_CASE("progress rises to the number of layers of all passes") {
    company c(small_network(), 10);
    std::size_t rows = 0, last = 0;
    for (conversation const& each : c.all) rows += each.prompt.size();
    lv::read_options options;
    options.on_progress = [&](std::size_t done, std::size_t total) {
        CHECK(total == (rows + 9) / 10 * small::text::layers);
        CHECK(done == ++last);
    };
    lv::session::append_together(c.prompts(), options);
    CHECK(last == (rows + 9) / 10 * small::text::layers);
}

TEST_CASE("a session that cannot read leaves all as they were") {
    company c(small_network(), 8);
    lv::session::append_together(c.prompts());
    auto const said = c.said();
    auto const held = c.held();
    lv::token const next = 4;
    inputs read;
    for (lv::session& s : c.sessions) read.push_back({&s, {&next, 1}, {}, true});
    id_list const long_one(64, 1), odd{1, 99}, image{image_token};
    auto const refused = [&](auto kind, inputs const& all) {
        return message_of<decltype(kind)>([&] {
            lv::session::append_together(all);
            return 0;
        });
    };
    inputs wrong = read;
    wrong[5].ids = long_one;
    CHECK(contains(refused(lv::context_error(""), wrong), "holds 64 tokens; 4 are in it and 64 more do not fit"));
    wrong[5].ids = odd;
    CHECK(contains(refused(lv::argument_error(""), wrong), "token id 99"));
    wrong[5].ids = image;
    CHECK(contains(refused(lv::argument_error(""), wrong), "images given: 0"));
    wrong = read;
    wrong[7].to = wrong[2].to;
    CHECK(contains(refused(lv::argument_error(""), wrong), "a session reads one input at a time"));
    lv::session other(other_network(), {64, 8, lv::parity::usual});
    wrong[7].to = &other;
    CHECK(contains(refused(lv::argument_error(""), wrong), "sessions of different models"));
    CHECK(other.length() == 0);
    CHECK(c.said() == said);
    CHECK(c.held() == held);
    lv::session::append_together(read);
    for (std::size_t i = 0; i < c.all.size(); ++i)
        CHECK(copy(c.sessions[i].logits()) == alone(small_network(), c.all[i], {next}).back());
}

TEST_CASE("cancelled in any pass, all are as they were, also those that were complete") {
    company c(small_network(), 8);
    lv::session::append_together(c.prompts());
    auto const said = c.said();
    auto const held = c.held();
    std::vector<conversation> const more = conversations(small_network());
    inputs read;
    for (std::size_t i = 0; i < more.size(); ++i) read.push_back({&c.sessions[i], more[i].prompt, more[i].images});
    for (std::size_t const layer : {1u, 5u, 6u, 12u, 25u}) {
        std::stop_source stop;
        lv::read_options options;
        options.stop = stop.get_token();
        options.on_progress = [&](std::size_t done, std::size_t) {
            if (done == layer) stop.request_stop();
        };
        CHECK_THROWS_AS(lv::session::append_together(read, options), lv::cancelled);
        CHECK(c.said() == said);
        CHECK(c.held() == held);
        for (std::size_t i = 0; i < more.size(); ++i) CHECK(c.sessions[i].images() == c.all[i].images.size());
    }
    lv::session::append_together(read);
    for (std::size_t i = 0; i < more.size(); ++i) {
        conversation whole = c.all[i];
        whole.prompt.insert(whole.prompt.end(), more[i].prompt.begin(), more[i].prompt.end());
        whole.images.insert(whole.images.end(), more[i].images.begin(), more[i].images.end());
        if (whole.reading == lv::parity::hugging_face) continue; // reads a prompt otherwise if images come later in it
        CHECK(copy(c.sessions[i].logits()) == alone(small_network(), whole, {}).back());
    }
}

TEST_CASE("a workspace is shared, and belongs to one model") {
    auto const work = std::make_shared<lv::workspace>(small_network());
    lv::session a(small_network(), {64, 8, lv::parity::usual, work}),
        b(small_network(), {64, 8, lv::parity::usual, work});
    std::size_t const before = work->bytes();
    CHECK(before > 0);
    a.append(id_list{1, 2, 3}); // in turn
    b.append(id_list{4, 5});
    a.append_generated(6);
    CHECK(work->bytes() == before);
    CHECK(copy(a.logits()) == logits_after({1, 2, 3, 6}));
    CHECK(copy(b.logits()) == logits_after({4, 5}));
    CHECK(contains(message_of<lv::argument_error>([&] {
                       return lv::session(other_network(), {64, 8, lv::parity::usual, work}).length();
                   }),
                   "another model's"));
}

TEST_CASE("the memory of several conversations is planned") {
    auto const net = small_network();
    lv::memory_plan const one = net->plan(16), many = net->plan(16, 16);
    CHECK(many.read_scratch == net->read_scratch(16, 16, false) * sizeof(float));
    CHECK(many.read_scratch >= one.read_scratch);
    std::size_t const one_talk = 128 * one.cache_per_position + one.logits; // in steps of 32 positions
    CHECK(one.own(100) == one.weights.own + one.encode_scratch + one.read_scratch + one.image + one_talk);
    CHECK(many.own(100, 3)
          == many.weights.own + many.encode_scratch + many.read_scratch + 3 * many.image + 16 * one_talk);
    // A pass of a row for each of eight takes no more than the plan says: what was reserved is not made anew.
    auto const work = std::make_shared<lv::workspace>(net);
    work->reserve(8, 8);
    std::vector<lv::session> all;
    for (int i = 0; i < 8; ++i) all.emplace_back(net, lv::session_options{64, 8, lv::parity::usual, work});
    std::size_t const scratch = work->bytes();
    lv::token const id = 3;
    inputs read;
    for (lv::session& s : all) read.push_back({&s, {&id, 1}});
    lv::session::append_together(read);
    CHECK(work->bytes() == scratch);
}
