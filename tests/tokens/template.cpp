// SPDX-License-Identifier: Apache-2.0
// Chat templates against jinja2 with transformers' settings (template_vectors.py): every rendering the same bytes,
// every error an error.
#include <llamavision/tokens/template/template.hpp>

#include <doctest/doctest.h>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

using namespace llamavision::tokens;
using json = nlohmann::ordered_json;

namespace {

std::filesystem::path const data = LLAMAVISION_TEST_DATA;

std::string text_of(std::filesystem::path const& path) {
    std::ifstream in(path, std::ios::binary);
    REQUIRE(in);
    return {std::istreambuf_iterator<char>(in), {}};
}

json const& vectors() {
    static auto const made = json::parse(text_of(data / "tokens/template_vectors.json"));
    return made;
}

json const* member(json const& object, char const* name) {
    auto const found = object.find(name);
    return found == object.end() || found->is_null() ? nullptr : &*found;
}

// As template_vectors.py writes it.
json result_of(std::string const& source, json const& dialog) {
    auto variables = vectors().at("tokens");
    if (auto const* const more = member(dialog, "variables")) variables.update(*more);
    auto const now = vectors().at("now").get<std::vector<int>>();
    template_inputs inputs{&dialog.at("messages"),
                           member(dialog, "tools"),
                           member(dialog, "documents"),
                           dialog.at("add_generation_prompt").get<bool>(),
                           &variables,
                           calendar_time{now[0], now[1], now[2], now[3], now[4], now[5]}};
    try {
        return chat_template(source).render(inputs).text;
    } catch (template_refusal const& said) {
        return {{"raised", said.what()}};
    } catch (llamavision::error const& fault) { return {{"error", fault.what()}}; }
}

void check(json const& got, json const& expected) {
    if (expected.contains("error"))
        CHECK_MESSAGE(got.contains("error"), got.dump());
    else
        CHECK(got == expected);
}

} // namespace

TEST_CASE("templates like those of published models, with every dialog") {
    auto const dialogs = json::parse(text_of(data / "tokens/template_dialogs.json"));
    auto const& templates = vectors().at("templates");
    CHECK(templates.size() >= 60);
    CHECK(dialogs.size() >= 20);
    for (auto const& entry : templates.items()) {
        std::string const& name = entry.key();
        json const& expected = entry.value();
        auto const source = text_of(data / "template" / (name + ".jinja"));
        REQUIRE(expected.size() == dialogs.size());
        for (std::size_t i = 0; i < dialogs.size(); ++i) {
            CAPTURE(name);
            CAPTURE(dialogs[i].at("name").get<std::string>());
            check(result_of(source, dialogs[i]), expected[i]);
        }
    }
}

TEST_CASE("constructs, one by one") {
    std::ifstream lines(data / "tokens/template_constructs.txt");
    std::size_t count = 0;
    for (std::string line; std::getline(lines, line); ++count) {
        CAPTURE(line);
        check(result_of(line, vectors().at("dialog")), vectors().at("constructs").at(count));
    }
    CHECK(count == vectors().at("constructs").size());
}

TEST_CASE("what the variables are called that a template reads") {
    chat_template const t("{% set system = 'x' %}{% for m in messages %}{{ m.role ~ system ~ bos_token }}{% endfor %}"
                          "{% macro f(a) %}{{ a ~ strftime_now('%Y') }}{% endmacro %}");
    CHECK(t.inputs() == std::vector<std::string>{"bos_token", "messages", "strftime_now"});
    CHECK(t.reads("bos_token"));
    CHECK_FALSE(t.reads("system"));
    CHECK_FALSE(t.reads("m"));
}

TEST_CASE("dates") {
    template_inputs inputs;
    auto const shown = [&](calendar_time when, std::string const& format) {
        inputs.now = when;
        return chat_template("{{ strftime_now('" + format + "') }}").render(inputs).text;
    };
    CHECK(shown({2024, 7, 26}, "%d %b %Y") == "26 Jul 2024");
    CHECK(shown({2024, 2, 29}, "%A %j %u %w") == "Thursday 060 4 4");
    CHECK(shown({2000, 12, 31, 23, 59, 58}, "%a %B %-d %e %I:%M:%S %p %y %j")
          == "Sun December 31 31 11:59:58 PM 00 366");
    CHECK(shown({1900, 3, 1}, "%A") == "Thursday");
    CHECK(shown({2025, 1, 5, 0, 4, 0}, "%-d.%-m. %-I:%M %D %F %R %T %e%%%n%t%Z")
          == "5.1. 12:04 01/05/25 2025-01-05 00:04 00:04:00  5%\n\t");
    CHECK_THROWS_WITH_AS(shown({}, "%Q"), "chat template:1:16: the code %Q of strftime_now is not interpreted",
                         rendering_error);
    inputs.now.reset();
    CHECK(chat_template("{{ strftime_now('%Y') | int > 2024 }}").render(inputs).text == "True");
}
