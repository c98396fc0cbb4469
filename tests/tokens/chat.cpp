// SPDX-License-Identifier: Apache-2.0
// The chat formats, compared with Meta's code and the Hugging Face templates on the same conversations.
#include "support.hpp"

#include <llamavision/tokens/chat.hpp>
#include <llamavision/tokens/chat_json.hpp>

using namespace llamavision::tokens;
using namespace tokens_test;
using llamavision::token_error;

namespace {

using ids = std::vector<token>;

ids join(std::initializer_list<ids> parts) {
    ids out;
    for (auto const& p : parts) out.insert(out.end(), p.begin(), p.end());
    return out;
}

chat_options options_for(preset form, special_text content = special_text::as_text) {
    chat_options options;
    options.form = form;
    options.content = content;
    options.date = calendar_time{}; // 26 Jul 2024, the day of the vectors
    return options;
}

/// Checks the text of a vector's conversation in one preset, or the error.
void check_hub(tokenizer const& t, json const& vector, preset form, char const* name) {
    auto const& expected = vector["hub_text"];
    auto const conversation = to_dialog(vector);
    auto options = options_for(form);
    options.tools = conversation.tools;
    chat_format const format(t, options);
    CAPTURE(vector["name"].get<std::string>());
    if (expected.contains(std::string(name) + "_error")) {
        CHECK_THROWS_WITH_AS(format.render(conversation.messages),
                             expected[std::string(name) + "_error"].get<std::string>().c_str(), token_error);
        return;
    }
    CHECK(format.render(conversation.messages)
          == expected[expected.contains("both") ? "both" : name].get<std::string>());
}

std::string hub_block(std::string const& system) {
    return "<|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\n"
           "Today Date: 26 Jul 2024\n\n"
           + system + "<|eot_id|>";
}

std::string turn(std::string const& name, std::string const& text) {
    return "<|start_header_id|>" + name + "<|end_header_id|>\n\n" + text + "<|eot_id|>";
}

std::string const bos = "<|begin_of_text|>", reply = "<|start_header_id|>assistant<|end_header_id|>\n\n";

} // namespace

TEST_CASE("text of every conversation in all templates") {
    auto const t = small_tokenizer(); // the text does not depend on the vocabulary
    auto const vectors = load_json("chat_vectors.json");
    std::size_t converted = 0;
    for (auto const& v : vectors["dialogs"]) {
        check_hub(t, v, preset::hub, "relaxed");
        check_hub(t, v, preset::hub_original, "original");
        if (!v.contains("hf_template_text")) continue;
        auto const messages = to_dialog(v).messages;
        CHECK(chat_format(t, options_for(preset::converter)).render(messages)
              == v["hf_template_text"].get<std::string>());
        ++converted;
    }
    CHECK(converted == 11);
    for (auto const& v : vectors["tool_prompts"]) {
        check_hub(t, v, preset::hub, "relaxed");
        check_hub(t, v, preset::hub_original, "original");
    }
}

TEST_CASE("the real vocabulary: ids of every conversation") {
    auto const path = real_model();
    if (path.empty()) return;
    auto const t = tokenizer::open(path);
    auto const vectors = load_json("chat_vectors.json");
    for (auto const& v : vectors["dialogs"]) {
        auto const messages = to_dialog(v).messages;
        CAPTURE(v["name"].get<std::string>());
        CHECK(chat_format(t).encode(messages) == v["ids"].get<ids>());
        if (!v.contains("hf_template_text")) continue;
        auto const expected = v[v.contains("hf_ids") ? "hf_ids" : "ids"].get<ids>();
        CHECK(chat_format(t, options_for(preset::converter, special_text::recognised)).encode(messages) == expected);
    }
    for (auto const& v : vectors["base_prompts"]) {
        message const m = detail::read_message({{"role", "user"}, {"content", v["content"]}}, "base");
        CHECK(chat_format(t).encode_base(m.content) == v["ids"].get<ids>());
    }
    chat_format const hf(t, options_for(preset::hub));
    CHECK(hf.encode_base(std::vector<part>{image_here, "If I"}) == ids{128256, 128000, 2746, 358});
    CHECK(hf.encode_base(std::vector<part>{image_here, image_here, "x"}) == ids{128256, 128256, 128000, 87});
    CHECK(hf.encode_base(std::vector<part>{"Look: ", image_here}) == ids{128000, 10596, 25, 220, 128256});
}

TEST_CASE("base: no frame, and one begin-of-text token") {
    auto const t = small_tokenizer();
    chat_format const format(t, options_for(preset::base, special_text::as_text));
    std::vector<message> said{{role::user, {image_here, "th", "e"}}, {role::assistant, {" end"}}};
    auto const first = join({{t.bos(), t.image()}, t.encode("th"), t.encode("e")});
    CHECK(format.encode({said.data(), 1}) == first);
    CHECK(format.encode({said.data(), 1}) == format.encode_base(said[0].content));
    CHECK(format.encode(said) == join({first, t.encode(" end")}));
    CHECK(format.encode({}) == ids{t.bos()});
    CHECK(format.encode_turn(said[1], false) == t.encode(" end"));
    CHECK_FALSE(format.turn_end());
    CHECK(chat_format(t).turn_end() == t.eot());
    CHECK_THROWS_AS(format.encode(std::vector<message>{{role::system, {"the"}}}), llamavision::token_error);
}

TEST_CASE("presets by name") {
    CHECK(preset_of("hub-original") == preset::hub_original);
    CHECK(preset_of("base") == preset::base);
    CHECK_FALSE(preset_of("hub original"));
}

TEST_CASE("base prompts in Hugging Face's manner") {
    auto const t = small_tokenizer();
    auto const hf = chat_format(t, options_for(preset::converter, special_text::recognised));
    CHECK(hf.encode_base(std::vector<part>{"the<|begin_of_text|>"}) == join({t.encode("the"), {t.bos()}}));
    CHECK(hf.encode_base(std::vector<part>{"the"}) == join({{t.bos()}, t.encode("the")}));
    CHECK(hf.encode_base(std::vector<part>{"<|image|>"}) == ids{t.bos(), t.image()});
    // Hugging Face encodes neighbouring texts as one, Meta as two.
    CHECK(hf.encode_base(std::vector<part>{"th", "e"}) == join({{t.bos()}, t.encode("the")}));
    CHECK(chat_format(t).encode_base(std::vector<part>{"th", "e"}) == join({{t.bos()}, t.encode("th"), t.encode("e")}));
    CHECK(chat_format(t).encode_base(std::vector<part>{}).empty());
}

TEST_CASE("Meta: tools, context, and what ends a message") {
    auto const t = small_tokenizer();
    chat_format const format(t);
    auto const text = [&](std::string_view json) { return format.render(read_dialog(json).messages); };
    CHECK(text(R"({"messages": [{"role": "assistant", "content": "x", "stop": "eom"}]})")
          == bos + "<|start_header_id|>assistant<|end_header_id|>\n\nx<|eom_id|>" + reply);
    CHECK(text(R"({"messages": [{"role": "assistant", "content": "", "stop_reason": "end_of_message",
                   "tool_calls": [{"name": "code_interpreter", "arguments": {"code": "print 1"}}]}]})")
          == bos + "<|start_header_id|>assistant<|end_header_id|>\n\n<|python_tag|>print 1<|eom_id|>" + reply);
    CHECK(text(R"({"messages": [{"role": "assistant", "content": "",
                   "tool_calls": [{"function": {"name": "brave_search", "arguments": {"query": "ünï"}}}]}]})")
          == bos + turn("assistant", "brave_search.call(query=\"ünï\")") + reply);
    CHECK(text(R"({"messages": [{"role": "assistant", "content": "see ", "tool_calls": [
                   {"name": "b\"c", "arguments": {"z": "é😀", "a": [1, 1.5, 1e20, 1e-7, 100.0, null, true, {}, []]}}]}]})")
          == bos
                 + turn("assistant",
                        R"(see {"type": "function", "name": "b\"c", "parameters": {"z": "\u00e9\ud83d\ude00", )"
                        R"("a": [1, 1.5, 1e+20, 1e-07, 100.0, null, true, {}, []]}})")
                 + reply);
    CHECK(text(R"({"messages": [{"role": "user", "content": "why", "context": "page"}]})")
          == bos + turn("user", "why\n\npage") + reply);
    CHECK(text(R"({"messages": [{"role": "ipython", "content": "18"}]})") == bos + turn("ipython", "18") + reply);
    CHECK_THROWS_AS(text(R"({"messages": [{"role": "tool", "content": {"temp": 18}}]})"), token_error);
    CHECK_THROWS_AS(text(R"({"messages": [{"role": "assistant", "content": "",
                             "tool_calls": [{"name": "photogen", "arguments": {"q": "x"}}]}]})"),
                    token_error);
    // The context is encoded by itself, as every item is.
    message m{role::user, {"th", "e"}};
    m.context = {{"us", "er"}};
    CHECK(format.encode(std::vector{m}, false)
          == join({{t.bos(), t.start_header()},
                   t.encode("user"),
                   {t.end_header()},
                   t.encode("\n\n"),
                   t.encode("th"),
                   t.encode("e"),
                   t.encode("\n\n"),
                   t.encode("us"),
                   t.encode("er"),
                   {t.eot()}}));
    CHECK_THROWS_AS(chat_format(t,
                                [] {
                                    chat_options o;
                                    o.tools = {"{}"};
                                    return o;
                                }()),
                    llamavision::argument_error);
}

TEST_CASE("hub: images, system prompts and refusals") {
    auto const t = small_tokenizer();
    message const system{role::system, {" \n be kind\t"}};
    message const picture{role::user, {image_here, "what?"}};
    auto const relaxed = chat_format(t, options_for(preset::hub));
    auto const original = chat_format(t, options_for(preset::hub_original));
    CHECK(relaxed.render(std::vector{picture}) == bos + turn("user", "<|image|>what?") + reply);
    CHECK(original.render(std::vector{picture}) == bos + turn("user", "<|image|>what?") + reply);
    CHECK(relaxed.render(std::vector{system, picture})
          == bos + hub_block("be kind") + turn("user", "<|image|>what?") + reply);
    CHECK_THROWS_WITH_AS(original.render(std::vector{system, picture}),
                         "Prompting with images is incompatible with system messages.", token_error);
    message const nothing{role::system, {"  "}};
    CHECK(original.render(std::vector{nothing, picture}) == bos + turn("user", "<|image|>what?") + reply);
    CHECK(relaxed.render(std::vector{nothing, picture})
          == bos + hub_block("") + turn("user", "<|image|>what?") + reply);
    message list = system;
    list.content = {"it's \"so\"\n\xC2\xA0\xF0\x9F\x98\x80"};
    list.listed = true;
    CHECK(relaxed.render(std::vector{list})
          == bos + hub_block("[{'type': 'text', 'text': 'it\\'s \"so\"\\n\\xa0\xF0\x9F\x98\x80'}]") + reply);
    message two{role::assistant, {""}};
    two.tool_calls = {{"a"}, {"b"}};
    CHECK_THROWS_WITH_AS(relaxed.render(std::vector{two}), "This model only supports single tool-calls at once!",
                         token_error);
    chat_options options = options_for(preset::hub);
    options.tools = {"{}"};
    CHECK_THROWS_AS(chat_format(t, options).render(std::vector{system}), token_error);
    options.tools_in_user_message = false;
    options.date = day_of("2030-01-01");
    CHECK(chat_format(t, options).render(std::vector{message{role::user, {"hi"}}}, false)
          == bos
                 + turn("system",
                        "Environment: ipython\nCutting Knowledge Date: December 2023\nToday Date: 01 Jan 2030\n\n"
                        "You have access to the following functions. To call a function, please respond with JSON for "
                        "a function call.Respond in the format {\"name\": function name, \"parameters\": dictionary of "
                        "argument name and its value}.Do not use variables.\n\n{}\n\n")
                 + turn("user", "hi"));
}

TEST_CASE("special tokens in the content stay text, unless they are asked for") {
    auto const t = small_tokenizer();
    message const m{role::user, {"<|eot_id|><|image|>"}};
    for (auto const form : {preset::meta, preset::hub, preset::converter}) {
        auto const safe = chat_format(t, options_for(form)).encode(std::vector{m});
        CHECK(std::count(safe.begin(), safe.end(), t.image()) == 0);
        auto const open = chat_format(t, options_for(form, special_text::recognised)).encode(std::vector{m});
        CHECK(std::count(open.begin(), open.end(), t.image()) == 1);
        CHECK(std::count(open.begin(), open.end(), t.eot()) == std::count(safe.begin(), safe.end(), t.eot()) + 1);
        CHECK(std::count(open.begin(), open.end(), *t.special("<|image|>")) == 0); // models do not take n + 11
    }
}

TEST_CASE("a further turn appended is the whole conversation encoded") {
    auto const t = small_tokenizer();
    message const first{role::user, {image_here, "the user"}}, answer{role::assistant, {"a"}},
        next{role::user, {"\n\nin"}};
    for (auto const form : {preset::meta, preset::hub, preset::hub_original, preset::converter}) {
        chat_format const format(t, options_for(form));
        auto const begun = format.encode_turn(first, true);
        CHECK(begun == format.encode(std::vector{first}));
        CHECK(join({begun, t.encode("a"), {t.eot()}, format.encode_turn(next, false)})
              == format.encode(std::vector{first, answer, next}));
    }
}

namespace {

chat_options with_template(std::string_view source) {
    chat_options options;
    options.own.emplace(source, "chat_template.jinja");
    options.words["bos_token"] = bos;
    return options;
}

} // namespace

TEST_CASE("a template of its own writes the conversation, and users' text holds no special tokens") {
    auto const t = small_tokenizer();
    constexpr std::string_view frame =
        "{%- for m in messages %}{{- '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' }}"
        "{%- if m['content'] is string %}{{- m['content'] | trim }}{%- else %}{%- for p in m['content'] %}"
        "{{- '<|image|>' if p['type'] == 'image' else p['text'] }}{%- endfor %}{%- endif %}{{- '<|eot_id|>' }}"
        "{%- endfor %}{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}"
        "{%- endif %}";
    chat_format const own(t, with_template("{{- bos_token }}" + std::string(frame)));
    message const asked{role::user, {image_here, "the <|eot_id|> user"}}, said{role::assistant, {"\n as "}},
        next{role::user, {"in<|image|>"}};
    CHECK(own.render(std::vector{asked}) == bos + turn("user", "<|image|>the <|eot_id|> user") + reply);
    auto const ids = own.encode(std::vector{asked});
    CHECK(ids
          == join({{t.bos(), t.start_header()},
                   t.encode("user"),
                   {t.end_header()},
                   t.encode("\n\n"),
                   {t.image()},
                   t.encode("the <|eot_id|> user"),
                   {t.eot(), t.start_header()},
                   t.encode("assistant"),
                   {t.end_header()},
                   t.encode("\n\n")}));
    // What follows the answer, whether the template trims it or not.
    CHECK(own.encode_next(std::vector{asked, said}, next)
          == join({{t.eot(), t.start_header()},
                   t.encode("user"),
                   {t.end_header()},
                   t.encode("\n\nin<|image|>"),
                   {t.eot(), t.start_header()},
                   t.encode("assistant"),
                   {t.end_header()},
                   t.encode("\n\n")}));
    auto open = with_template(frame);
    open.content = special_text::recognised;
    auto const recognised = chat_format(t, open).encode(std::vector{asked});
    CHECK(std::count(recognised.begin(), recognised.end(), t.eot()) == 2);
}

TEST_CASE("a template that drops answers, and one that refuses") {
    auto const t = small_tokenizer();
    message const asked{role::user, {"the"}}, said{role::assistant, {"as"}};
    chat_format const last_only(t, with_template("{{ messages[-1]['content'] }}"));
    CHECK_THROWS_WITH_AS(last_only.encode_next(std::vector{asked, said}, asked),
                         doctest::Contains("does not write the last answer"), token_error);
    chat_format const refuses(t, with_template("{{ raise_exception('Only pictures.') }}"));
    CHECK_THROWS_WITH_AS(refuses.encode(std::vector{asked}), "Only pictures.", token_error);
    chat_format const faulty(t, with_template("\n{{ messages[0].content + 1 }}"));
    CHECK_THROWS_WITH_AS(faulty.encode(std::vector{asked}), doctest::Contains("chat_template.jinja:2:"), token_error);
}

TEST_CASE("dates: today's, or the one that is fixed") {
    auto const t = small_tokenizer();
    auto options = with_template("{{ strftime_now('%d %b %Y') }}{{ ' ' + date_string if date_string is defined }}");
    message const asked{role::user, {"the"}};
    std::string unknown;
    auto const today = [&] { return strftime(local_time(), "%d %b %Y", unknown).value(); };
    auto const before = today();
    auto const written = chat_format(t, options).render(std::vector{asked});
    CHECK((written == before || written == today())); // at midnight
    options.date = day_of("2024-02-29");
    CHECK(chat_format(t, options).render(std::vector{asked}) == "29 Feb 2024 29 Feb 2024");
    chat_options hub = options_for(preset::hub);
    hub.date.reset();
    auto const first = today(), text = chat_format(t, hub).render(std::vector{asked});
    CHECK((text.find("Today Date: " + first) != std::string::npos
           || text.find("Today Date: " + today()) != std::string::npos));
    for (char const* wrong : {"", "2024-2-29", "2023-02-29", "2024-13-01", "2024-00-10", "2024-04-31", "0000-01-01",
                              "2024-01-0x", "24 Jul 2024", "2024/01/01"})
        CHECK_MESSAGE(!day_of(wrong), wrong);
}

TEST_CASE("a long list of objects is read in time that grows with its length") {
    std::string text = "[{}"; // with time that grows with the square, this would take minutes
    for (int i = 0; i < 300'000; ++i) text += ",{}";
    CHECK(parse_ordered_json(text + "]").size() == 300'001);
}

TEST_CASE("conversations from JSON that are wrong") {
    auto const complaint = [](std::string const& text) {
        try {
            read_dialog(text);
        } catch (token_error const& problem) { return std::string(problem.what()); }
        return std::string();
    };
    auto const says = [&](std::string const& text, char const* word) {
        CAPTURE(text);
        CHECK(complaint(text).find(word) != std::string::npos);
    };
    auto const one = [](std::string const& m) { return "{\"messages\": [" + m + "]}"; };
    CHECK(complaint(one(R"({"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "x"}]})")).empty());
    CHECK(complaint(one(R"({"role": "assistant", "content": null, "tool_calls": [{"name": "f", "arguments": {}}]})"))
              .empty());
    says("", "JSON");
    says("{\"messages\": [", "JSON");
    says("[]", "messages");
    says("{\"messages\": {}}", "messages");
    says(one("3"), "message 1: no string \"role\"");
    says(one(R"({"role": "wizard", "content": ""})"), "wizard");
    says(one(R"({"role": "user"})"), "no content");
    says(one(R"({"role": "user", "content": 3})"), "neither");
    says(one(R"({"role": "user", "content": {"temp": 3}})"), "neither");
    says(one(R"({"role": "user", "content": ["x"]})"), "type");
    says(one(R"({"role": "user", "content": [{"type": "video"}]})"), "video");
    says(one(R"({"role": "user", "content": [{"type": "text"}]})"), "text");
    says(one(R"({"role": "user", "content": "x"}, {"role": "assistant", "content": "", "tool_calls": 1})"),
         "message 2");
    says(one(R"({"role": "assistant", "content": "", "tool_calls": [{"name": "f", "arguments": "{}"}]})"), "arguments");
    says(R"({"messages": [], "tools": 3})", "tools");
    says("{\"messages\": " + std::string(100000, '['), "deep");
    says(one("1e999"), "range");
    std::string many = "{\"a0\": 0";
    for (int i = 1; i < 2000; ++i) many += ", \"a" + std::to_string(i) + "\": 0";
    says(one(many + "}"), "1000 members");
}

TEST_CASE("JSON as Python writes it") {
    auto const again = [](std::string_view text, int indent = -1) {
        return python_json(parse_ordered_json(text), indent);
    };
    CHECK(again(R"({"b":1,"a":[true,null,"é\u0001\"\\\n/"]})") == R"({"b": 1, "a": [true, null, "é\u0001\"\\\n/"]})");
    CHECK(again("[1e15,1e16,123456789012345680.0,0.0001,0.00001,-0.0,2.5,1E2]")
          == "[1000000000000000.0, 1e+16, 1.2345678901234568e+17, 0.0001, 1e-05, -0.0, 2.5, 100.0]");
    CHECK(again("{\"a\":[],\"b\":{},\"c\":[1,2]}", 4)
          == "{\n    \"a\": [],\n    \"b\": {},\n    \"c\": [\n        1,\n        2\n    ]\n}");
    // A pair of surrogates is one character, a lone one becomes U+FFFD, an escaped backslash begins no escape.
    CHECK(parse_ordered_json(R"("\ud83d\ude00")").get<std::string>() == "\xF0\x9F\x98\x80");
    CHECK(parse_ordered_json(R"("\ud83dx\udE00\\ud83d\ud83d\ud83d\ude00")").get<std::string>()
          == "\xEF\xBF\xBDx\xEF\xBF\xBD\\ud83d\xEF\xBF\xBD\xF0\x9F\x98\x80");
    CHECK(python::ascii_json("\"\x7F\xC3\xA9\"") == "\"\\u007f\\u00e9\"");
    CHECK(python::repr("a'b") == "\"a'b\"");
    CHECK(python::repr("a'b\"\\") == "'a\\'b\"\\\\'");
    CHECK(python::repr("\xE2\x80\x8B\x01\xF3\xA0\x81\xA7") == "'\\u200b\\x01\\U000e0067'");
    CHECK(python::strip("\x1C\xC2\x85 a b\xE3\x80\x80\n") == "a b");
    CHECK(python::strip(" \n").empty());
}
