// SPDX-License-Identifier: Apache-2.0
// Which chat templates are known: in any spelling, and not when they write anything else.
#include <doctest/doctest.h>

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>

#include <llamavision/tokens/chat_template.hpp>

using namespace llamavision::tokens;

namespace {

std::string bundled() {
    std::ifstream file(LLAMAVISION_SOURCE_DIR "/examples/tiny/checkpoint/chat_template.json");
    return nlohmann::json::parse(file).at("chat_template");
}

std::string replaced(std::string text, std::string const& from, std::string const& to) {
    for (auto at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
        text.replace(at, from.size(), to);
    return text;
}

} // namespace

TEST_CASE("the bundled model's template, in any spelling") {
    std::string const text = bundled();
    CHECK(recognise(text) == preset::converter);
    CHECK(recognise(replaced(text, "{%-", "\n   {%-")) == preset::converter);
    CHECK(recognise(replaced(text, " %}", "-%}\n\t")) == preset::converter);
    CHECK(recognise(replaced(text, "'", "\"")) == preset::converter);
    CHECK(recognise(replaced(text, "\\n", "\n")) == preset::converter);
    CHECK(recognise(replaced(text, " + ", "+")) == preset::converter);
    CHECK(recognise("{# written by hand: {% for ' #}\n" + text + "{#- and this, too -#}") == preset::converter);
    CHECK(recognise(replaced(text, "{%- for message in messages %}", "{%- for  message\nin messages%}"))
          == preset::converter);
}

TEST_CASE("a template that writes something else is not known") {
    std::string const text = bundled();
    for (std::string const& other :
         {text + ".", " " + text.substr(3), replaced(text, "message['content'] }}", "message['content'] | trim }}"),
          replaced(text, "\\n\\n", "\\n"), replaced(text, "<|eot_id|>", "<|eom_id|>"),
          replaced(text, "message['role']", "message['role'] | upper"),
          replaced(text, "{%- endfor %}", "{%- endfor %} x"), replaced(text, "in messages", "in messages[1:]"),
          replaced(text, "{%- for part", "x{% for part"), std::string("{{ 'You read meters.' }}") + text,
          text.substr(0, text.size() / 2), std::string(), std::string("{%"), std::string("{{ '"), std::string("{#"),
          std::string("{"), std::string("%}")})
        CHECK_MESSAGE(!recognise(other).has_value(), other);
}

TEST_CASE("text between tags is as Jinja prints it") {
    using llamavision::tokens::detail::plain_template;
    CHECK(plain_template("a {{ b }} c\n") == "a {{b}} c\n");
    CHECK(plain_template("{% if a %}\n  x\n  {% endif %}\n") == "{%if a%}  x\n{%endif%}"); // trim_blocks, lstrip_blocks
    CHECK(plain_template("{% if a %}  {% endif %}") == "{%if a%}  {%endif%}");
    CHECK(plain_template("{{ a }}\n{{- b -}} \n c") == "{{a}}{{b}}c");
    CHECK(plain_template("{% if a %}\n\n{{ b }}") == "{%if a%}\n{{b}}");
    CHECK(plain_template("x {#- {{ a }} -#} y") == "xy");
    CHECK(plain_template("{{ 'it\\'s' + \"\\\"\" }}") == "{{\"it's\"+\"\"\"}}");
    CHECK(plain_template("{{ a  if b else  c }}") == "{{a if b else c}}");
    CHECK(plain_template("{{ a }") == "{{a}}}"); // a tag that is never closed
}

TEST_CASE("what an unknown template resembles") {
    std::string const frame = "<|start_header_id|> <|eot_id|> '<|image|>' ";
    CHECK(resembles(frame + "Cutting Knowledge Date: {% if user_supplied_system_message %}") == preset::hub);
    CHECK(resembles(frame + "Cutting Knowledge Date \"Prompting with images is incompatible with system messages.\"")
          == preset::hub_original);
    CHECK(resembles(frame + "{% if loop.index0 == 0 %}{{ bos_token }}") == preset::converter);
    CHECK_FALSE(resembles("").has_value());
    CHECK_FALSE(resembles("<|start_header_id|> <|eot_id|> Cutting Knowledge Date").has_value()); // a text-only model's
    CHECK_FALSE(resembles("<|im_start|>{% if loop.index0 == 0 %}").has_value());
}

TEST_CASE("presets have names") {
    for (auto const& [form, name] : presets) {
        CHECK(preset_of(name) == form);
        CHECK(name_of(form) == name);
    }
    CHECK_FALSE(preset_of("").has_value());
}
