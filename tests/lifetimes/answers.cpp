// SPDX-License-Identifier: Apache-2.0
// Answers, chats and sessions in every order of their ends: none refers to memory that is gone. The sanitizers watch
// this program (CMakePresets.json: sanitize); without them it checks what is said.
#include <doctest/doctest.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <llamavision/backend/scalar/scalar.hpp>
#include <llamavision/config/tiny.hpp>
#include <llamavision/model/random_weights.hpp>
#include <llamavision/runtime/conversation/chat.hpp>
#include <llamavision/runtime/network/compiled_network.hpp>

using namespace llamavision;

static_assert(!std::is_copy_constructible_v<session> && !std::is_copy_assignable_v<session>);
static_assert(std::is_nothrow_move_constructible_v<session> && std::is_nothrow_move_assignable_v<session>);
static_assert(!std::is_copy_constructible_v<chat> && !std::is_copy_assignable_v<chat>);
static_assert(std::is_nothrow_move_constructible_v<chat> && std::is_nothrow_move_assignable_v<chat>);
static_assert(!std::is_constructible_v<generation, session, tokens::tokenizer, answer_defaults, generate_options>);

namespace {

/// The bundled model's tokenizer and numbers, with random weights: what it says is nonsense, and always the same.
model opened() {
    static auto const net = std::make_shared<network_of<tiny, scalar> const>(random_weights<tiny>(3), scalar{});
    static auto const tokenizer = tokens::tokenizer::open(LLAMAVISION_SOURCE_DIR "/examples/tiny/checkpoint");
    model_defaults defaults;
    defaults.pictures = {tiny::vision::tile, tiny::vision::tiles};
    defaults.answers.greedy = true;
    return {net, tokenizer, defaults};
}

ask_options short_answer() { return {{.max_tokens = 6}}; }
image::pixels grey() { return {40, 40, std::vector<std::uint8_t>(40 * 40 * 3, 128)}; }

std::string answered(model const& m, std::string const& question) {
    chat c = m.chat();
    return c.ask(question, short_answer()).text();
}

std::string rest(answer const& a) {
    std::string text;
    for (std::string_view const piece : a) text += piece;
    return text;
}

/// What a conversation of two questions answers to the second one when the first answer is read as far as `pieces`.
std::string second_answer(int pieces) {
    chat c = opened().chat();
    answer const first = c.ask("One?", short_answer());
    for (int i = 0; i < pieces; ++i) static_cast<void>(first.next());
    return c.ask("Two?", short_answer()).text();
}

} // namespace

TEST_CASE("a loop over the answer of a chat that nobody keeps") {
    std::string text, about;
    for (std::string_view const piece : opened().chat().ask("Hello", short_answer())) text += piece;
    CHECK_FALSE(text.empty());
    CHECK(text == answered(opened(), "Hello"));
    for (std::string_view const piece : opened().chat().ask(grey(), "What is it?", short_answer())) about += piece;
    CHECK_FALSE(about.empty());
    std::size_t ids = 0;
    for (token const id : opened().chat().ask("Hello", short_answer()).ids()) ids += id >= 0;
    CHECK(ids == 0); // nothing was generated yet
}

TEST_CASE("an answer outlives its chat, the model, and the answer that an iterator came from") {
    std::optional<answer> a;
    {
        model const m = opened();
        chat c = m.chat();
        a = c.ask("Hello", short_answer());
        static_cast<void>(a->next());
    }
    std::string const text = rest(*a);
    CHECK(a->reason() == ending::length);
    CHECK(a->ids().size() == 6);
    chat c = opened().chat();
    auto at = c.ask("Hello", short_answer()).begin();
    std::string all(*at);
    while (++at != std::default_sentinel) all += *at;
    CHECK(all == answered(opened(), "Hello"));
    CHECK(all.ends_with(text));
}

TEST_CASE("the next question ends an answer, and never changes it") {
    chat c = opened().chat();
    answer const first = c.ask("One?", short_answer());
    static_cast<void>(first.next());
    std::vector<token> const ids = first.ids();
    answer const second = c.ask("Two?", short_answer());
    CHECK(first.ids() == ids);
    CHECK(first.reason() == ending::none);
    CHECK_THROWS_AS(static_cast<void>(first.next()), argument_error);
    CHECK_THROWS_AS(static_cast<void>(first.text()), argument_error);
    CHECK_THROWS_AS(answer_together(std::vector{second, first}, {}), argument_error);
    CHECK(second.text() == second_answer(1));
    CHECK(first.ids() == ids);
    CHECK(second.ids().size() == 6);
}

TEST_CASE("an answer that was complete stays as it is") {
    chat c = opened().chat();
    answer const first = c.ask("One?", short_answer());
    std::string const text = first.text();
    std::vector<token> const ids = first.ids();
    answer const second = c.ask("Two?", short_answer());
    CHECK(first.text().empty()); // its rest
    CHECK_FALSE(first.next());
    CHECK(first.reason() == ending::length);
    CHECK(second.text() == second_answer(10));
    c.reset();
    CHECK(first.ids() == ids);
    CHECK(second.reason() == ending::length);
    CHECK(text == answered(opened(), "One?"));
}

TEST_CASE("a reset ends an answer, and the chat begins anew") {
    chat c = opened().chat();
    answer const a = c.ask("One?", short_answer());
    static_cast<void>(a.next());
    std::vector<token> const ids = a.ids();
    c.reset();
    CHECK(a.ids() == ids);
    CHECK_THROWS_AS(static_cast<void>(a.next()), argument_error);
    CHECK(c.state().length() == 0);
    CHECK(c.ask("Hello", short_answer()).text() == answered(opened(), "Hello"));
    CHECK_THROWS_AS(static_cast<void>(a.next()), argument_error);
}

TEST_CASE("a question that was stopped leaves the answer before it as it was") {
    chat c = opened().chat();
    answer const first = c.ask("One?", short_answer());
    std::string text = first.next().value_or("");
    std::stop_source stop;
    stop.request_stop();
    ask_options stopped;
    stopped.stop = stop.get_token();
    CHECK_THROWS_AS(static_cast<void>(c.ask("Two?", stopped)), cancelled);
    text += rest(first);
    CHECK(text == answered(opened(), "One?"));
}

TEST_CASE("every way to ask, with options and without") {
    model const m = opened();
    image::pixels const photo = grey();
    session::image_ptr const seen = m.encode(photo);
    std::vector<image::pixels> const photos{photo};
    std::vector<session::image_ptr> const encoded{seen};
    std::string const text = "What is it?";
    auto const ids_of = [&](auto const& ask) {
        chat c = m.chat({.session = {.context = 100}});
        answer const a = ask(c);
        for (int i = 0; i < 3; ++i) static_cast<void>(a.next());
        return a.ids();
    };
    std::vector<token> const about = ids_of([&](chat& c) { return c.ask(photo, text, short_answer()); });
    CHECK(about.size() >= 3);
    CHECK(ids_of([&](chat& c) { return c.ask(photo, "What is it?"); }) == about);
    CHECK(ids_of([&](chat& c) { return c.ask(photos, text); }) == about);
    CHECK(ids_of([&](chat& c) { return c.ask(photos, text, short_answer()); }) == about);
    CHECK(ids_of([&](chat& c) { return c.ask({&photo, 1}, text); }) == about);
    CHECK(ids_of([&](chat& c) { return c.ask(encoded, text); }) == about);
    CHECK(ids_of([&](chat& c) { return c.ask(encoded, text, {{.max_tokens = 9}}); }) == about);
    CHECK(ids_of([&](chat& c) { return c.ask(chat::turn_of(1, text), encoded); }) == about);
    CHECK(ids_of([&](chat& c) { return c.ask(chat::turn_of(1, text), {&seen, 1}, short_answer()); }) == about);
    std::vector<token> const alone = ids_of([&](chat& c) { return c.ask(text); });
    CHECK(ids_of([&](chat& c) { return c.ask("What is it?", {}); }) == alone);
    CHECK(ids_of([&](chat& c) { return c.ask(std::string_view(text), {{.max_tokens = 9}}); }) == alone);
    CHECK(ids_of([&](chat& c) { return c.ask(chat::turn_of(0, text), {}); }) == alone);
    CHECK(ids_of([&](chat& c) { return c.ask(std::vector<image::pixels>(), text); }) == alone);
}

TEST_CASE("chats are moved, with an answer in the making") {
    model const m = opened();
    std::vector<chat> chats;
    std::vector<answer> answers;
    for (int i = 0; i < 5; ++i) { // the vector grows, and moves what it holds
        chats.push_back(m.chat());
        answers.push_back(chats.back().ask("Hello", short_answer()));
        static_cast<void>(answers.back().next());
    }
    chat moved = std::move(chats.front());
    chats.front() = m.chat();
    for (answer const& a : answers) {
        static_cast<void>(a.text());
        CHECK(a.ids().size() == 6);
    }
    CHECK(answers.front().ids() == answers.back().ids());
    CHECK_FALSE(moved.ask("And now?", short_answer()).text().empty());
    CHECK_FALSE(chats.front().ask("And now?", short_answer()).text().empty());
}

TEST_CASE("sessions are moved, and read on") {
    model const m = opened();
    std::vector<token> const ids = m.tokenizer().encode("Hello, world");
    session whole = m.open_session({.context = 64});
    whole.append(ids);
    std::vector<session> sessions;
    for (std::size_t i = 0; i < 3; ++i) {
        sessions.push_back(m.open_session({.context = 64}));
        sessions.back().append(std::span(ids).first(i + 1));
    }
    for (std::size_t i = 0; i < 3; ++i) {
        session s = m.open_session({.context = 8});
        s = std::move(sessions[i]);
        s.append(std::span(ids).subspan(i + 1));
        CHECK(std::equal(s.logits().begin(), s.logits().end(), whole.logits().begin(), whole.logits().end()));
    }
}
