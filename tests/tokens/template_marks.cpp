// SPDX-License-Identifier: Apache-2.0
// What users say stays marked through everything that a template does with it, and never becomes a special token.
#include <llamavision/tokens/special_tokens.hpp>
#include <llamavision/tokens/template/messages.hpp>
#include <llamavision/tokens/template/specials.hpp>
#include <llamavision/tokens/template/template.hpp>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

using namespace llamavision::tokens;
using json = nlohmann::ordered_json;

namespace {

rendering made_of(std::string const& source, json const& messages, json const& variables = json::object()) {
    template_inputs inputs{&messages};
    inputs.variables = &variables;
    return chat_template(source).render(inputs);
}

// The text with brackets around what is the user's.
std::string shown(std::string const& source, json const& messages = {{{"role", "user"}, {"content", "aB c"}}}) {
    auto const made = made_of(source, messages, {{"bos_token", "<s>"}});
    std::string text;
    std::size_t at = 0;
    for (auto const [begin, end] : made.from_user) {
        text += made.text.substr(at, begin - at) + "[" + made.text.substr(begin, end - begin) + "]";
        at = end;
    }
    return text + made.text.substr(at);
}

} // namespace

TEST_CASE("marks move with the bytes") {
    std::string const content = "{% set c = messages[0].content %}";
    CHECK(shown("x{{ messages[0].content }}y") == "x[aB c]y");
    CHECK(shown(content + "{{ c + '-' + c }}{{ c ~ 1 }}{{ '<' ~ c[1:] ~ '>' }}{{ c * 2 }}")
          == "[aB c]-[aB caB c]1<[B c]>[aB caB c]");
    CHECK(
        shown(content + "{{ c | upper }}{{ c.lower() }} {{ c | title }} {{ c | reverse }} {{ c | replace('B', 'x') }}")
        == "[AB Cab c] [Ab C] [c Ba] [a]x[ c]");
    CHECK(
        shown(content + "{{ ' '.join(c.split()) }} {{ c.split(' ') | join('+') }} {{ c | list | join }} {{ c | trim }}")
        == "[aB] [c] [aB]+[c] [aB c] [aB c]");
    CHECK(shown(content + "{{ c | tojson }} {{ [c] }} {{ messages | tojson }}")
          == "\"[aB c]\" ['[aB c]'] [{\"[role]\": \"user\", \"[content]\": \"[aB c]\"}]");
    CHECK(
        shown(content + "{{ '%s=%s' | format('k', c) }} {{ '%5s' % c[0] }} {{ c | indent(2, true) }} {{ c | e + '<' }}")
        == "k=[aB c]     [a]   [aB c] [aB c]&lt;");
    CHECK(shown(content + "{{ c[::-1] }}{% for x in c %}.{{ x }}{% endfor %} {{ c | first }}{{ c | last }}{{ c[0] }}")
          == "[c Ba].[a].[B].[ ].[c] [aca]");
    CHECK(shown(content
                + "{% set x %}({{ c }}){% endset %}{{ x }}{% macro m(a) %}<{{ a }}>{% endmacro %}{{ m(c) | upper }}"
                  "{% filter upper %}q{{ c }}{% endfilter %}")
          == "([aB c])<[AB C]>Q[AB C]");
    CHECK(shown(content
                + "{% set ns = namespace(t='') %}{% for w in c.split() %}{% set ns.t = ns.t + w + ';' %}{% endfor %}"
                  "{{ ns.t }}{{ {'k': c} }}{{ (c, 1) }}{{ c | default('d') }}{{ c if c else 'n' }}")
          == "[aB];[c];{'k': '[aB c]'}('[aB c]', 1)[aB caB c]");
    CHECK(shown("{{ messages[0].content | replace('a', '<s>') }}{{ '<s>' | replace('s', messages[0].content) }}")
          == "<s>[B c]<[aB c]>");
    CHECK(shown("{{ messages[0].content }}", {{{"role", "user"}, {"content", "a\"\n<é"}}}) == "[a\"\n<é]");
    CHECK(shown("{{ messages[0].content | tojson(true) }}", {{{"role", "user"}, {"content", "a\"\n<é"}}})
          == "\"[a\\\"\\n<\\u00e9]\"");
}

TEST_CASE("the words of the frame are the template's, all else is the user's") {
    CHECK(shown("{{ '<|' + messages[0].role + '|>' }}") == "<|user|>");
    CHECK(shown("{{ messages[0].role }}", {{{"role", "eot_id"}, {"content", ""}}}) == "[eot_id]");
    CHECK(shown("{{ messages[0].content[0].type }}{{ messages[0].content[1].type }}",
                {{{"role", "user"}, {"content", {{{"type", "image"}}, {{"type", "eot_id"}}}}}})
          == "image[eot_id]");
    CHECK(shown("{{ messages[0].name }}{{ messages[0] | list | join }}{{ messages[0].n }}{{ loop }}{{ bos_token }}",
                {{{"role", "user"}, {"name", "system"}, {"n", 5}}})
          == "[systemrolenamen]5<s>");
    json const tools = {{{"name", "f"}}}, documents = {{{"text", "d"}}};
    template_inputs inputs{nullptr, &tools, &documents};
    auto const made = chat_template("{{ tools[0].name }}-{{ documents[0].text }}{{ messages }}").render(inputs);
    CHECK(made.text == "f-d[]");
    CHECK(made.from_user == std::vector<text_range>{{0, 1}, {2, 3}});
}

TEST_CASE("special tokens are cut out of the template's own text alone") {
    special_tokens const specials({{"<|a|>", 1}, {"<|a|><|b|>", 2}, {"<|b|>", 3}}, "test");
    auto const pieces = [&](std::string const& source, std::string const& content) {
        auto const made = made_of(source, {{{"role", "user"}, {"content", content}}});
        std::string text;
        for (auto const &p :
             cut_at_specials(made, [&](std::string_view t, std::size_t from) { return specials.next(t, from); }))
            text += p.special ? "{" + std::to_string(*p.special) + "}" : "(" + std::string(p.text) + ")";
        return text;
    };
    std::string const say = "{{ messages[0].content }}";
    CHECK(pieces("<|a|>x" + say + "y<|b|>", "<|a|>") == "{1}(x<|a|>y){3}");
    CHECK(pieces("<|a|>" + say + "<|b|>", "<|b|>") == "{1}(<|b|>){3}");
    CHECK(pieces("<|a|><|b|>" + say, "") == "{2}");
    CHECK(pieces("<|a" + say, "|>") == "(<|a|>)");              // the user ends what the template began
    CHECK(pieces(say + "a|>", "<|") == "(<|a|>)");              // and the other way round
    CHECK(pieces("<" + say + "a|><|b|>", "|") == "(<|a|>){3}"); // a shorter one that is whole is still found
    CHECK(pieces("{{ messages[0].content | replace('-', '') }}", "<|-a-|>") == "(<|a|>)");
    CHECK(pieces("{{ messages[0].content | replace('-', '<|a|>') }}", "x-y") == "(x){1}(y)");
    CHECK(pieces("{{ '<|' + messages[0].content + '|>' }}", "a") == "(<|a|>)");
    CHECK(pieces("", "") == "");
}

TEST_CASE("messages as templates want them") {
    std::vector<message> conversation(4);
    conversation[0].content = {"Look"};
    conversation[1] = {role::user, {image_here, "What is it?"}};
    conversation[2].speaker = role::assistant;
    conversation[2].tool_calls = {{"f", R"({"b": 1, "a": [true]})"}};
    conversation[3].speaker = role::tool;
    conversation[3].json = R"({"z": 1, "y": null})";
    CHECK(
        template_messages(conversation).dump()
        == R"([{"role":"user","content":"Look"},)"
           R"({"role":"user","content":[{"type":"image"},{"type":"text","text":"What is it?"}]},)"
           R"({"role":"assistant","tool_calls":[{"type":"function","function":{"name":"f","arguments":{"b":1,"a":[true]}}}]},)"
           R"({"role":"tool","content":{"z":1,"y":null}}])");
    conversation[2].tool_calls[0].arguments = "{";
    CHECK_THROWS_AS((void)template_messages(conversation), llamavision::token_error);
}
