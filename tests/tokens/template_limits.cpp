// SPDX-License-Identifier: Apache-2.0
// Templates are bounded in time and memory, and every fault names its place: line, column, and what is not interpreted.
#include <llamavision/tokens/template/template.hpp>

#include "../support/message.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>
#include <string>

using namespace llamavision::tokens;
using json = nlohmann::ordered_json;

namespace {

json const messages = {{{"role", "user"}, {"content", "Hi"}}};

std::string render(std::string const& source, template_limits limits = {}) {
    return chat_template(source, "t.jinja", limits).render({&messages}).text;
}

std::string repeated(std::string const& text, std::size_t times) {
    std::string made;
    for (std::size_t i = 0; i < times; ++i) made += text;
    return made;
}

} // namespace

TEST_CASE("refused when parsed, with line, column and name") {
    auto const refusal = [](std::string const& source) {
        return message_of<template_error>([&] { chat_template(source, "t.jinja"); });
    };
    CHECK(refusal("a\n  {% include 'x' %}") == "t.jinja:2:6: the statement \"include\" is not interpreted");
    CHECK(refusal("é{{ x | urlize }}") == "t.jinja:1:9: the filter \"urlize\" is not interpreted");
    CHECK(refusal("{{ x|foo }}") == "t.jinja:1:6: an unknown filter \"foo\"");
    CHECK(refusal("{{ x is bar }}") == "t.jinja:1:9: an unknown test \"bar\"");
    CHECK(refusal("{% foo %}") == "t.jinja:1:4: an unknown statement \"foo\"");
    CHECK(refusal("{{ f(*x) }}") == "t.jinja:1:6: arguments unpacked with * are not interpreted");
    CHECK(refusal("{{ self }}") == "t.jinja:1:4: the variable \"self\", a template's blocks, is not interpreted");
    CHECK(refusal("\r\n\r\n{{ 'a' $ }}") == "t.jinja:3:8: an unexpected character \"$\"");
    CHECK(refusal("{% if x %}\n{% for y in z %}\n{% endif %}") == "t.jinja:3:4: an unknown statement \"endif\"");
    CHECK(refusal("{% if x %}") == "t.jinja:1:11: the end of the template where {% endif %} is expected");
    CHECK(refusal("{{ 99999999999999999999 }}") == "t.jinja:1:4: an integer beyond 64 bits");
    CHECK(refusal("{{ '\\ud83d' }}") == "t.jinja:1:5: an escape that is no character");
    CHECK(refusal("{% break %}") == "t.jinja:1:4: \"break\" outside of a loop");
    CHECK(refusal("ab\xff") == "t.jinja:1:3: a byte that is not UTF-8");
    CHECK(refusal("{{ x") == "t.jinja:1:1: a tag that does not end");
    template_position where;
    try {
        chat_template("\n {{ , }}");
    } catch (template_error const& fault) { where = fault.where; }
    CHECK(where.line == 2);
    CHECK(where.column == 5);
}

TEST_CASE("refused while rendering, with the place") {
    auto const fault = [](std::string const& source) { return message_of<rendering_error>([&] { render(source); }); };
    CHECK(fault("{{ 'a'\n + 1 }}") == "t.jinja:1:4: '+' is not defined between 'str' and 'int'");
    CHECK(fault("{{ nobody.name }}") == "t.jinja:1:10: 'nobody' is undefined");
    CHECK(fault("{{ messages[0].x.y }}") == "t.jinja:1:17: 'dict object' has no attribute \"x\"");
    CHECK(fault("{{ messages.append(1) }}").find("the sandbox forbids list.append") != std::string::npos);
    CHECK(fault("{{ 'a'.encode() }}") == "t.jinja:1:7: str.encode is not interpreted");
    CHECK(fault("{{ messages | map('upper') }}").find("generator is printed") != std::string::npos);
    CHECK(message_of<template_refusal>([] { render("{{ raise_exception('Only ' ~ 1) }}"); }) == "Only 1");
}

TEST_CASE("bounded") {
    template_limits small;
    small.steps = 100'000;
    small.output = 10'000;
    small.memory = 1'000'000;
    auto const fault = [&](std::string const& source) {
        return message_of<rendering_error>([&] { render(source, small); });
    };
    auto const has = [](std::string const& text, char const* part) { return text.find(part) != std::string::npos; };
    std::string const loop = "{% for i in range(99999) %}";
    CHECK(has(fault(loop + loop + "{% endfor %}{% endfor %}"), "steps"));
    CHECK(has(fault(loop + "xxxxxxxx{% endfor %}"), "bytes of output"));
    CHECK(
        has(fault("{% set n = namespace(t='abcdefgh') %}" + loop + "{% set n.t = n.t + n.t %}{% endfor %}"), "bytes"));
    CHECK(has(fault("{% set n = namespace(t=[]) %}" + loop + "{% set n.t = [n.t] %}{% endfor %}"), "nested more than"));
    CHECK(has(fault("{% set n = namespace(t=[]) %}" + loop + "{% set n.t = n.t | map('first') %}{% endfor %}"),
              "nested more than"));
    CHECK(has(
        fault("{% set n = namespace(t=[1]) %}{% for i in range(90) %}{% set n.t = [n.t, n.t] %}{% endfor %}{{ n.t }}"),
        "t.jinja"));
    CHECK(has(fault("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"), "inside one another"));
    CHECK(has(fault("{{ 'a' * 1000000000 }}"), "too long"));
    CHECK(has(fault("{{ [1] * 1000000000 }}"), "too long"));
    CHECK(has(fault("{{ 'a'.ljust(1000000000) }}"), "too large"));
    CHECK(has(fault("{{ range(1000000) | list }}"), "100000"));
    CHECK(has(fault("{{ '%999999d' % 1 }}"), "width"));
    CHECK(has(fault("{% set n = namespace() %}{% set n.n = n %}{{ n }}"), "inside one another"));
    CHECK(has(fault("{% for x in [[]] recursive %}{{ loop([[]]) }}{% endfor %}"), "inside one another"));
    CHECK(has(fault("{{ ('a' * 9999) | replace('', 'b' * 9999) }}"), "t.jinja"));
    CHECK(render("{% set n = namespace(t='') %}{% for i in range(200) %}{% set n.t = n.t + 'ab' %}{% endfor %}{{ n.t | "
                 "length }}",
                 small)
          == "400");
}

TEST_CASE("nesting of the text is bounded") {
    auto const refused = [](std::string const& source) { CHECK_THROWS_AS(chat_template{source}, template_error); };
    refused("{{ " + repeated("(", 5000) + "1" + repeated(")", 5000) + " }}");
    refused("{{ " + repeated("[", 5000) + repeated("]", 5000) + " }}");
    refused("{{ " + repeated("not ", 5000) + "1 }}");
    refused("{{ " + repeated("-", 5000) + "1 }}");
    refused("{{ 1" + repeated(" + 1", 5000) + " }}");
    refused("{{ x" + repeated(".a", 5000) + " }}");
    refused("{{ x" + repeated("|list", 5000) + " }}");
    refused("{{ 1" + repeated(" if 1 else 1", 5000) + " }}");
    refused(repeated("{% if 1 %}", 5000) + repeated("{% endif %}", 5000));
    refused(repeated("{% for (", 300));
    CHECK(render("{{ " + repeated("(", 50) + "1" + repeated(")", 50) + " }}") == "1");
    CHECK(render("{{ 1" + repeated(" + 1", 150) + " }}") == "151");
    CHECK(render(repeated("{% if 1 %}", 50) + "x" + repeated("{% endif %}", 50)) == "x");
}

TEST_CASE(
    "a namespace that holds itself, a macro that sees its own scope: nothing is left behind") { // for the sanitizers
    CHECK(
        render(
            "{% set n = namespace() %}{% set n.n = n %}{% set n.l = [n] %}{% for x in [1] %}{% set n.loop = loop %}"
            "{{ loop.changed(n.l) }}{% endfor %}{% macro m() %}{% macro k() %}{{ n.x }}{% endmacro %}{% set n.k = k %}"
            "{{ k() }}{% endmacro %}{{ m() }}{{ n.k() }}{{ n.loop.changed(n.loop) }}ok")
        == "TrueTrueok");
}

TEST_CASE("conversations that are no JSON of templates") {
    json deep = 1;
    for (int i = 0; i < 200; ++i) deep = json::array({deep});
    template_inputs inputs{&deep};
    chat_template const t("{{ messages }}");
    CHECK_THROWS_AS((void)t.render(inputs), rendering_error);
    json const large = {18446744073709551615u};
    inputs.messages = &large;
    CHECK_THROWS_AS((void)t.render(inputs), rendering_error);
    json const broken = {"\xff"};
    inputs.messages = &broken;
    CHECK(t.render(inputs).text == "['\xEF\xBF\xBD']");
    json const dict = {{"role", 1}};
    inputs.messages = &dict;
    CHECK(chat_template("{{ messages.role }}").render(inputs).text == "1");
}

TEST_CASE("a long conversation takes the steps of the text that it copies, and no more") {
    json many = json::array();
    for (int i = 0; i < 600; ++i)
        many.push_back({{"role", i % 2 ? "assistant" : "user"}, {"content", std::string(500, 'x')}});
    // Each message copies all of the text before it, as in jinja2: 90 MB, 64 bytes a step, and as much for its parts.
    template_limits few;
    few.steps = 5'000'000;
    chat_template const t(
        "{% set n = namespace(t='') %}{% for m in messages %}{% if loop.last or messages[loop.index].role != m.role %}"
        "{% set n.t = n.t + '<|' + m.role + '|>' + m.content | trim %}{% endif %}{% endfor %}{{ n.t }}",
        "t.jinja", few);
    CHECK(t.render({&many}).text.size() > 300'000);
}
