// SPDX-License-Identifier: Apache-2.0
// What a caller does not say is the checkpoint's: sampling, stop ids, the chat format; and what is odd about a
// checkpoint is said, and kept.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include <llamavision/config/tiny.hpp>
#include <llamavision/runtime/conversation/chat.hpp>
#include <llamavision/runtime/conversation/chat_choice.hpp>
#include <llamavision/runtime/load.hpp>

#include "../checkpoint/temporary_folder.hpp"
#include "../support/message.hpp"

using namespace llamavision;
namespace fs = std::filesystem;

namespace {

constexpr char const* checkpoint_path = LLAMAVISION_SOURCE_DIR "/examples/tiny/checkpoint";
constexpr char const* how_many = "How many shapes are there?";

std::shared_ptr<thread_pool> const& pool() { // of all models here
    static auto const p = std::make_shared<thread_pool>(2);
    return p;
}
model opened(fs::path const& path, load_options options = {}) {
    options.pool = pool();
    return load<tiny>(path, options);
}
model const& bundled() {
    static model const m = opened(checkpoint_path);
    return m;
}

struct reply {
    std::string text;
    ending reason;
    bool operator==(reply const&) const = default;
};
reply ask(model const& m, ask_options const& options) {
    chat c = m.chat();
    answer const a = c.ask(how_many, options);
    std::string text = a.text();
    return {std::move(text), a.reason()};
}

/// The bundled checkpoint with another file in it.
fs::path changed(temporary_folder const& folder, std::string const& name, std::string const& text) {
    fs::copy(checkpoint_path, folder.path(), fs::copy_options::recursive);
    std::ofstream(folder.path() / name, std::ios::trunc) << text;
    return folder.path();
}

} // namespace

TEST_CASE("hand-built options have the checkpoint's stop ids and sampling") {
    answer_defaults const& d = bundled().defaults().answers;
    REQUIRE(d.greedy);
    REQUIRE(d.stop_ids.size() == 3);
    reply const usual = ask(bundled(), {});
    CHECK(usual.reason == ending::stop_id);
    ask_options greedy, one;
    greedy.sampling.temperature = 0;
    one.sampling.top_k = 1;
    CHECK(ask(bundled(), greedy) == usual);
    CHECK(ask(bundled(), one) == usual);

    chat c = bundled().chat();
    question const asked{&c, chat::turn_of(0, how_many)};
    std::vector<answer> const answers = ask_together({&asked, 1});
    CHECK(answers.front().text() == usual.text);
    CHECK(answers.front().reason() == ending::stop_id);

    session s = bundled().open_session();
    tokens::message turn = chat::turn_of(0, how_many);
    s.append(tokens::chat_format(bundled().tokenizer(), bundled().defaults().chat).encode({&turn, 1}));
    generation g = bundled().generate(s);
    std::string text;
    while (auto const piece = g.next()) text += *piece;
    CHECK(text == usual.text);
    CHECK(g.reason() == ending::stop_id);
}

TEST_CASE("what is said counts: other stop ids, and none") {
    ask_options none;
    none.stop_ids.emplace();
    none.max_tokens = 40;
    CHECK(ask(bundled(), none).reason == ending::length);
    ask_options one = none;
    one.stop_ids = {bundled().tokenizer().eot()};
    CHECK(ask(bundled(), one) == ask(bundled(), {}));
}

TEST_CASE("sampling: what is absent is the checkpoint's, and whoever asks for draws gets them") {
    answer_defaults d{true, {.temperature = 0.7, .top_p = 0.8, .top_k = 5, .repetition_penalty = 1.1}, {}};
    auto const is = [](tokens::sampling const& s, double temperature, double top_p, std::size_t top_k, double penalty) {
        CHECK(s.temperature == temperature);
        CHECK(s.top_p == top_p);
        CHECK(s.top_k == top_k);
        CHECK(s.repetition_penalty == penalty);
    };
    is(sampling_options{}.with(d), 0, 0.8, 5, 1.1);
    is(sampling_options{.temperature = 2}.with(d), 2, 0.8, 5, 1.1);
    is(sampling_options{.top_p = 0.5}.with(d), 0.7, 0.5, 5, 1.1);
    is(sampling_options{.top_k = 0}.with(d), 0.7, 0.8, 0, 1.1);
    is(sampling_options{.repetition_penalty = 1}.with(d), 0, 0.8, 5, 1);
    is(sampling_options{.temperature = 0, .top_k = 7}.with(d), 0, 0.8, 7, 1.1);
    CHECK(sampling_options{.seed = 9}.with(d).seed == 9);
    d.greedy = false;
    is(sampling_options{}.with(d), 0.7, 0.8, 5, 1.1);
    is(sampling_options{.temperature = 0}.with(d), 0, 0.8, 5, 1.1);
}

TEST_CASE("the checkpoint's own sampling is used") {
    temporary_folder const folder;
    auto const path = changed(folder, "generation_config.json",
                              R"({"do_sample": true, "temperature": 3.5, "top_k": 400, "eos_token_id": 513})");
    model const m = opened(path);
    CHECK_FALSE(m.defaults().answers.greedy);
    CHECK(m.defaults().answers.stop_ids == std::vector<token>{513});
    ask_options first, second, greedy;
    first.max_tokens = second.max_tokens = greedy.max_tokens = 20;
    second.sampling.seed = 1;
    greedy.sampling.temperature = 0;
    CHECK(ask(m, first) == ask(m, first));
    CHECK(ask(m, first) != ask(m, second));
    CHECK(ask(m, first) != ask(m, greedy));
}

TEST_CASE("a chat template that cannot be interpreted is said to the callback, and kept by the model") {
    CHECK(bundled().warnings().empty());
    CHECK(bundled().defaults().chat.form == tokens::preset::converter);
    temporary_folder const folder;
    nlohmann::json const file{{"chat_template", "{% for m in messages %}\n{% include m %}{% endfor %}"}};
    auto const path = changed(folder, "chat_template.json", file.dump());
    std::vector<std::string> said;
    load_options options;
    options.on_warning = [&](std::string const& warning) { said.push_back(warning); };
    model const m = opened(path, options);
    REQUIRE(said.size() == 1);
    CHECK(contains(said[0], (path / "chat_template.json").string() + ":2:"));
    CHECK(contains(said[0], "\"meta\""));
    CHECK(m.warnings() == said);
    CHECK(m.defaults().chat.form == tokens::preset::meta);
    CHECK(opened(path).warnings() == said); // though nobody listened
    said.clear();
    options.chat = tokens::preset::converter;
    CHECK(opened(path, options).warnings().empty()); // the caller knows
    CHECK(said.empty());
}

TEST_CASE("several chat templates without a default, and one for tools") {
    checkpoint::template_source source;
    source.fault = "tokenizer_config.json: none of its chat templates (\"rag\") has the name \"default\"";
    chat_choice const none = choose_chat(source);
    CHECK(none.form == tokens::preset::meta);
    CHECK(contains(none.warning, "tokenizer_config.json: none of its chat templates"));
    CHECK(contains(none.warning, "\"meta\""));

    source = {};
    source.text = "{{ messages[0].content }}";
    source.for_tools = "{{ tools | length }}";
    chat_choice const both = choose_chat(source);
    CHECK(both.own.has_value());
    CHECK(both.own_for_tools.has_value());
    CHECK(both.warning.empty());

    // A known text as well, since the one without tools may be another.
    auto const known = nlohmann::json::parse(std::ifstream(fs::path(checkpoint_path) / "chat_template.json"));
    source.for_tools = known.at("chat_template").get<std::string>();
    REQUIRE(tokens::recognise(source.for_tools).has_value());
    CHECK(choose_chat(source).own_for_tools.has_value());

    source.for_tools = "{% include 'x' %}";
    source.for_tools_file = "tool_use.jinja";
    chat_choice const one = choose_chat(source);
    CHECK(one.own.has_value());
    CHECK(!one.own_for_tools.has_value());
    CHECK(contains(one.warning, "tool_use.jinja:1:"));
    CHECK(contains(one.warning, "conversations with tools"));
}

TEST_CASE("a chat template of its own is what chats are asked and answered in") {
    temporary_folder const folder;
    std::string const source =
        "{%- for m in messages %}{{- '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' }}{{- m['content'] }}"
        "{{- '<|eot_id|>' }}{%- endfor %}{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant"
        "<|end_header_id|>\n\n' }}{%- endif %}";
    auto const path = changed(folder, "chat_template.json", nlohmann::json{{"chat_template", source}}.dump());
    model const m = opened(path);
    CHECK(m.warnings().empty());
    REQUIRE(m.defaults().chat.own.has_value());
    chat own = m.chat(), usual = bundled().chat();
    for (char const* const question : {how_many, "What is at the top left?", how_many}) {
        answer const a = own.ask(question), b = usual.ask(question);
        CHECK(a.text() == b.text()); // the same prompts: the processor adds <|begin_of_text|>
        CHECK(own.state().length() == usual.state().length());
    }
    own.reset();
    CHECK(own.ask(how_many).text() == bundled().chat().ask(how_many).text());
}

TEST_CASE("another max_position_embeddings is another limit, not another model") {
    for (std::size_t const positions : {1024, 4096}) {
        temporary_folder const folder;
        std::ifstream file(std::filesystem::path(checkpoint_path) / "config.json");
        auto config = nlohmann::json::parse(file);
        config["text_config"]["max_position_embeddings"] = positions;
        model const m = opened(changed(folder, "config.json", config.dump()));
        chat const asked = m.chat();
        CHECK(asked.state().context() == positions);
        CHECK(m.chat().ask(how_many).text() == bundled().chat().ask(how_many).text());
        CHECK_THROWS_AS(static_cast<void>(m.chat({.session = {.context = positions + 1}})), argument_error);
    }
}

TEST_CASE("the checkpoint's own limit and stop strings are used, and what is said counts") {
    temporary_folder const folder;
    auto const path = changed(folder, "generation_config.json",
                              R"({"eos_token_id": [513, 521], "max_new_tokens": 6, "stop_strings": ["<|eom_id|>"]})");
    model const m = opened(path);
    CHECK(m.defaults().answers.stop_strings.empty()); // the name of a special token is its id
    CHECK(m.defaults().answers.stop_ids.back() == m.tokenizer().eom());
    auto const ids = [&](ask_options options) { return m.chat().ask("Describe it.", std::move(options)).text(); };
    chat c = m.chat();
    answer const limited = c.ask("Name every colour that there is, one after the other, please.");
    static_cast<void>(limited.text());
    CHECK(limited.ids().size() <= 6);
    ask_options none;
    none.max_tokens = 0;
    CHECK(ids(none).empty());
}

TEST_CASE("a model is loaded for a context, and its chats have it") {
    model const m = opened(checkpoint_path, {.context = 96});
    CHECK(m.chat().ask("Hi", {{.max_tokens = 0}}).ids().empty());
    chat const usual = m.chat(), longer = m.chat({.session = {.context = 200}}), first = bundled().chat();
    CHECK(usual.state().context() == 96);
    CHECK(longer.state().context() == 200);
    CHECK(first.state().context() == tiny::text::context);
    CHECK(contains(message_of<argument_error>([] { return opened(checkpoint_path, {.context = 4096}).net().name(); }),
                   "4096 positions"));
    CHECK(contains(message_of<memory_error>(
                       [] { return opened(checkpoint_path, {.pictures = std::size_t{1} << 40}).net().name(); }),
                   "1099511627776 pictures and a conversation of 2048 positions"));
}
