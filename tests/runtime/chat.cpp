// SPDX-License-Identifier: Apache-2.0
// Conversations with the bundled model: after each turn, the session holds the same ids as the whole conversation in
// the chat format; and all ways in which an answer can end.
#include <cstdint>
#include <deque>
#include <limits>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include <llamavision/config/tiny.hpp>
#include <llamavision/runtime/conversation/chat.hpp>
#include <llamavision/runtime/load.hpp>

using namespace llamavision;

namespace {

constexpr char const* checkpoint_path = LLAMAVISION_SOURCE_DIR "/examples/tiny/checkpoint";

model const& bundled() {
    static model const m = load<tiny>(checkpoint_path, {.threads = 2});
    return m;
}

/// A red square on grey, `size` pixels along a side.
image::pixels drawing(std::size_t size) {
    image::pixels p{size, size, std::vector<std::uint8_t>(size * size * 3, 128)};
    for (std::size_t y = size / 3; y < 2 * size / 3; ++y)
        for (std::size_t x = size / 3; x < 2 * size / 3; ++x) {
            p.rgb[(y * size + x) * 3] = 220;
            p.rgb[(y * size + x) * 3 + 1] = p.rgb[(y * size + x) * 3 + 2] = 30;
        }
    return p;
}

ask_options greedy(std::size_t max_tokens = 60) {
    ask_options options;
    options.sampling.temperature = 0;
    options.max_tokens = max_tokens;
    return options;
}

using dialog = std::vector<tokens::message>;

/// The ids of a conversation as the chat format writes it as a whole.
std::vector<token> written(dialog const& messages) {
    return tokens::chat_format(bundled().tokenizer(), bundled().defaults().chat).encode(messages);
}

tokens::message user(std::size_t pictures, std::string text) {
    tokens::message m{tokens::role::user, std::vector<tokens::part>(pictures, tokens::image_here)};
    m.content.emplace_back(std::move(text));
    return m;
}

std::vector<token> held(chat const& c) { return {c.state().ids().begin(), c.state().ids().end()}; }

} // namespace

TEST_CASE("pieces of an answer are its text, and its ids decode to it") {
    chat c(bundled());
    image::pixels const picture = drawing(84);
    answer const a = c.ask({&picture, 1}, "Describe this image.", greedy());
    std::string text;
    for (std::string_view const piece : a) {
        CHECK_FALSE(piece.empty());
        text += piece;
    }
    CHECK_FALSE(text.empty());
    CHECK(bundled().tokenizer().decode(a.ids(), true) == text);
    CHECK(a.reason() == ending::stop_id);
}

TEST_CASE("after several turns the session holds the ids of the whole conversation") {
    chat c(bundled());
    std::vector<image::pixels> const first{drawing(84)}, second{drawing(168), drawing(100)};
    std::string const a = c.ask(first, "Describe this image.", greedy()).text();
    std::string const b = c.ask(second, "How many shapes are there?", greedy()).text();
    (void)c.ask("What colour is the background?", greedy());
    CHECK(held(c)
          == written({user(1, "Describe this image."),
                      {tokens::role::assistant, {a}},
                      user(2, "How many shapes are there?"),
                      {tokens::role::assistant, {b}},
                      user(0, "What colour is the background?")}));
    CHECK(c.state().images() == 3);
}

TEST_CASE("a further turn is answered as if a new session had read the whole conversation") {
    std::vector<image::pixels> const picture{drawing(84)};
    chat c(bundled());
    (void)c.ask(picture, "Describe this image.", greedy()).text();
    std::string const grown = c.ask("How many shapes are there?", greedy()).text();

    session fresh = bundled().open_session();
    std::vector<session::image_ptr> const seen = c.encode(picture);
    chat again(bundled());
    std::string const a = again.ask(picture, "Describe this image.", greedy()).text();
    fresh.append(
        written(
            {user(1, "Describe this image."), {tokens::role::assistant, {a}}, user(0, "How many shapes are there?")}),
        seen);
    generation g = bundled().generate(fresh, greedy());
    std::string text;
    while (auto const piece = g.next()) text += *piece;
    CHECK(text == grown);
}

TEST_CASE("a base model's text goes on without a frame, and begins once") {
    model const base = load<tiny>(checkpoint_path, {.threads = 2, .chat = tokens::preset::base});
    tokens::tokenizer const& tokenizer = base.tokenizer();
    chat c(base);
    image::pixels const picture = drawing(84);
    answer const a = c.ask({&picture, 1}, "On a grey", greedy(4));
    static_cast<void>(a.text());
    std::vector<token> all{tokenizer.bos(), tokenizer.image()};
    auto const add = [&](std::vector<token> const& ids) { all.insert(all.end(), ids.begin(), ids.end()); };
    add(tokenizer.encode("On a grey"));
    add(a.ids());
    static_cast<void>(c.ask(" and", greedy(1)));
    add(tokenizer.encode(" and"));
    CHECK(held(c) == all);
}

TEST_CASE("an answer that was cut short is closed before the next turn") {
    chat c(bundled());
    answer const a = c.ask("Describe this image.", greedy(3));
    std::string const cut = a.text();
    CHECK(a.reason() == ending::length);
    CHECK(a.ids().size() == 3);
    std::vector<token> const ids = a.ids();
    (void)c.ask("And now?", greedy());
    std::vector<token> expected = written({user(0, "Describe this image.")});
    expected.insert(expected.end(), ids.begin(), ids.end());
    expected.push_back(bundled().tokenizer().eot());
    std::vector<token> const turn =
        tokens::chat_format(bundled().tokenizer(), bundled().defaults().chat).encode_turn(user(0, "And now?"), false);
    expected.insert(expected.end(), turn.begin(), turn.end());
    CHECK(held(c) == expected);
}

TEST_CASE("a stop token ends an answer, and the conversation goes on") {
    chat c(bundled());
    std::stop_source stop;
    ask_options options = greedy();
    options.stop = stop.get_token();
    answer const a = c.ask("Describe this image.", options);
    std::size_t pieces = 0;
    for (std::string_view const piece : a) {
        (void)piece;
        if (++pieces == 2) std::thread([&] { stop.request_stop(); }).join();
    }
    CHECK(pieces == 2);
    CHECK(a.reason() == ending::cancelled);
    CHECK_FALSE(c.ask("Describe this image.").text().empty());
}

TEST_CASE("a question that is stopped, or does not fit, leaves the conversation as it was") {
    chat c(bundled(), {.session = {.context = 96}});
    (void)c.ask("Describe this image.", greedy()).text();
    std::vector<token> const before = held(c);
    SUBCASE("stopped") {
        std::stop_source stop;
        stop.request_stop();
        ask_options options = greedy();
        options.stop = stop.get_token();
        CHECK_THROWS_AS((void)c.ask("And now?", options), cancelled);
    }
    SUBCASE("too long") { CHECK_THROWS_AS((void)c.ask(std::string(400, 'x')), context_error); }
    SUBCASE("no temperature") {
        ask_options options;
        options.sampling = {.temperature = std::numeric_limits<double>::quiet_NaN()};
        CHECK_THROWS_AS((void)c.ask("And now?", options), argument_error);
    }
    SUBCASE("an empty stop string") {
        ask_options options = greedy();
        options.stop_strings = {"x", ""};
        CHECK_THROWS_AS((void)c.ask("And now?", options), argument_error);
    }
    SUBCASE("a picture without its bytes") {
        CHECK_THROWS_AS((void)c.ask(image::pixels{84, 84, {1, 2, 3}}, "And now?"), image_error);
    }
    CHECK(held(c) == before);
    CHECK_FALSE(c.ask("Why?").text().empty());
}

TEST_CASE("a full context ends the answer") {
    chat c(bundled(), {.session = {.context = 24}});
    ask_options options = greedy();
    options.stop_ids.emplace();
    answer const a = c.ask("Hi", options);
    (void)a.text();
    CHECK(a.reason() == ending::context);
    CHECK(c.state().length() == 24);
}

TEST_CASE("a stop string ends the answer before itself") {
    chat c(bundled());
    std::string const whole = c.ask("Describe this image.").text();
    REQUIRE(whole.size() > 4);
    c.reset();
    ask_options options = greedy();
    options.stop_strings = {whole.substr(3, 2)};
    answer const a = c.ask("Describe this image.", options);
    CHECK(a.text() == whole.substr(0, whole.find(whole.substr(3, 2))));
    CHECK(a.reason() == ending::stop_string);
}

TEST_CASE("a seed draws the same answer again") {
    auto const draw = [](std::uint64_t seed) {
        chat c(bundled());
        ask_options options;
        options.sampling = {.temperature = 3.0, .top_p = 1.0, .seed = seed};
        options.max_tokens = 20;
        return c.ask("Describe this image.", options).text();
    };
    CHECK(draw(1) == draw(1));
    CHECK(draw(1) != draw(2));
}

TEST_CASE("a system prompt stands first, and progress is reported") {
    chat c(bundled(), {.session = {}, .system = "Answer briefly."});
    ask_options options = greedy();
    std::vector<std::size_t> image_steps, prompt_steps;
    options.on_image = [&](std::size_t done, std::size_t total) {
        image_steps.push_back(done);
        CHECK(total == 2 * (tiny::vision::layers + tiny::vision::global_layers));
    };
    options.on_prompt = [&](std::size_t done, std::size_t total) {
        prompt_steps.push_back(done);
        CHECK(total == tiny::text::layers);
    };
    std::vector<image::pixels> const two{drawing(84), drawing(84)};
    (void)c.ask(two, "Describe this image.", options);
    CHECK(image_steps.size() == 12);
    CHECK(image_steps.back() == 12);
    CHECK(prompt_steps.size() == tiny::text::layers);
    CHECK(held(c) == written({{tokens::role::system, {"Answer briefly."}}, user(2, "Describe this image.")}));
}

TEST_CASE("the scalar backend gives the same greedy answer") {
    model const plain = load<tiny, scalar>(checkpoint_path);
    std::vector<image::pixels> const picture{drawing(168)};
    chat a(bundled()), b(plain);
    CHECK(a.ask(picture, "Describe this image.", greedy()).text()
          == b.ask(picture, "Describe this image.", greedy()).text());
    CHECK(plain.net().backend_name() == "scalar");
}

TEST_CASE("load says which number differs, load_any which configuration is nearest") {
    CHECK(load_any(configurations<tiny>{}, checkpoint_path).net().name() == "tiny");
    auto const message = [](auto f) {
        try {
            f();
        } catch (mismatch_error const& e) { return std::string(e.what()); }
        return std::string();
    };
    std::string const one = message([] { (void)load<llama_3_2_11b_vision>(checkpoint_path); });
    CHECK(one.find("is not a llama-3.2-11b-vision") != std::string::npos);
    CHECK(one.find("text.width") != std::string::npos);
    CHECK(one.find("4096") != std::string::npos);
    std::string const any = message([] { (void)load_any(configurations<llama_3_2_11b_vision>{}, checkpoint_path); });
    CHECK(any.find("nearest is llama-3.2-11b-vision") != std::string::npos);
    CHECK_THROWS_AS((void)load<tiny>("nowhere"), file_error);
}

namespace {

/// Several chats that share a workspace, and a question for each.
struct several_chats {
    std::vector<image::pixels> pictures{drawing(84), drawing(168)};
    std::vector<session::image_ptr> seen;
    std::deque<chat> chats;
    std::vector<question> questions;

    /// Answers that end as the checkpoint says, by the number of tokens, drawn, by a stop string, and by a full
    /// context.
    explicit several_chats(std::shared_ptr<workspace> const& work = bundled().make_workspace()) {
        for (image::pixels const& p : pictures) seen.push_back(bundled().encode(p));
        auto const ask = [&](std::size_t picture, std::string const& text, std::size_t context) -> question& {
            chat& c =
                chats.emplace_back(bundled(), conversation_options{.session = {.context = context, .work = work}});
            std::span<session::image_ptr const> const shown = std::span(seen).subspan(picture % 2, picture < 2 ? 1 : 0);
            return questions.emplace_back(question{&c, chat::turn_of(shown.size(), text), shown, greedy()});
        };
        ask(0, "Describe this image.", 0);
        ask(0, "How many shapes are there?", 0).answer.max_tokens = 2;
        ask(1, "Describe this image.", 0).answer.sampling = {.temperature = 3.0, .top_p = 1.0, .seed = 5};
        ask(0, "Describe this image.", 0).answer.stop_strings = {"re"};
        ask(2, "Hi", 24).answer.stop_ids.emplace();
        questions.back().answer.sampling = {.temperature = 0.6, .top_p = 0.9};
    }
};

struct outcome {
    std::string text;
    std::vector<token> ids;
    ending reason;
    bool operator==(outcome const&) const = default;
};

outcome ask_alone(question const& q) {
    std::vector<answer> const one = ask_together({&q, 1});
    std::string text = one.front().text();
    return {std::move(text), one.front().ids(), one.front().reason()};
}

} // namespace

TEST_CASE("asked together, each chat answers as alone, however it ends") {
    std::vector<outcome> wanted;
    several_chats alone;
    for (question const& q : alone.questions) wanted.push_back(ask_alone(q));
    CHECK(wanted[0].reason == ending::stop_id);
    CHECK(wanted[1].reason == ending::length);
    CHECK(wanted[3].reason == ending::stop_string);
    CHECK(wanted[4].reason == ending::context);
    several_chats together;
    std::vector<answer> const answers = ask_together(together.questions);
    std::vector<std::string> texts(answers.size());
    answer_together(answers, [&](std::size_t i, std::string_view piece) {
        CHECK_FALSE(piece.empty());
        texts[i] += piece;
    });
    for (std::size_t i = 0; i < answers.size(); ++i)
        CHECK(outcome{texts[i], answers[i].ids(), answers[i].reason()} == wanted[i]);
    // Each conversation goes on by itself.
    for (std::size_t i = 0; i < 4; ++i)
        CHECK(together.chats[i].ask("How many shapes are there?").text()
              == alone.chats[i].ask("How many shapes are there?").text());
}

TEST_CASE("a stop ends one of several answers, and the others go on") {
    several_chats alone, together;
    std::stop_source stop, never;
    for (question& q : together.questions) q.answer.stop = never.get_token();
    together.questions[0].answer.stop = stop.get_token();
    std::vector<answer> const answers = ask_together(together.questions);
    std::vector<std::string> texts(answers.size());
    answer_together(answers, [&](std::size_t i, std::string_view piece) {
        texts[i] += piece;
        stop.request_stop();
    });
    CHECK(answers[0].reason() == ending::cancelled);
    CHECK(answers[0].ids().size() == 1);
    for (std::size_t i = 1; i < answers.size(); ++i)
        CHECK(outcome{texts[i], answers[i].ids(), answers[i].reason()} == ask_alone(alone.questions[i]));
    CHECK_FALSE(together.chats[0].ask("Why?").text().empty());
}

TEST_CASE("questions of which one does not fit leave all conversations as they were") {
    several_chats c;
    static_cast<void>(c.chats[0].ask("Describe this image.").text());
    std::vector<token> const before = held(c.chats[0]);
    c.questions[4].turn = chat::turn_of(0, std::string(400, 'x'));
    CHECK_THROWS_AS(static_cast<void>(ask_together(c.questions)), context_error);
    CHECK(held(c.chats[0]) == before);
    for (std::size_t i = 1; i < c.chats.size(); ++i) CHECK(held(c.chats[i]).empty());
    c.questions[4].turn = c.questions[3].turn;
    c.questions[4].pictures = c.questions[3].pictures;
    c.questions[4].to = c.questions[3].to;
    CHECK_THROWS_AS(static_cast<void>(ask_together(c.questions)), argument_error);
    CHECK(held(c.chats[0]) == before);
}

TEST_CASE("questions of which one has wrong options, or names no chat, leave all conversations as they were") {
    several_chats c;
    answer const first = c.chats[0].ask("Describe this image.");
    static_cast<void>(first.text());
    std::vector<token> const before = held(c.chats[0]), ids = first.ids();
    question& last = c.questions[4];
    SUBCASE("sampling") { last.answer.sampling.top_p = 2; }
    SUBCASE("stop strings") { last.answer.stop_strings = {""}; }
    SUBCASE("no chat") { last.to = nullptr; }
    CHECK_THROWS_AS(static_cast<void>(ask_together(c.questions)), argument_error);
    CHECK(held(c.chats[0]) == before);
    CHECK(first.ids() == ids); // the answer before is unchanged
    for (std::size_t i = 1; i < c.chats.size(); ++i) CHECK(held(c.chats[i]).empty());
}

TEST_CASE("without a function for the pieces, the answers' ids hold the tokens") {
    several_chats alone, together;
    std::vector<answer> const answers = ask_together(together.questions);
    answer_together(answers, {});
    for (std::size_t i = 0; i < answers.size(); ++i) CHECK(answers[i].ids() == ask_alone(alone.questions[i]).ids);
}
