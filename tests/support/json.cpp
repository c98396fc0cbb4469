// SPDX-License-Identifier: Apache-2.0
// Correct documents, and every fault of a document.
#include <llamavision/support/json.hpp>
#include <llamavision/support/json_view.hpp>

#include "message.hpp"

#include <doctest/doctest.h>
#include <string>

using namespace llamavision;

namespace {

std::string parse_fault(std::string const& text, json_limits limits = {}) {
    return message_of<format_error>([&] { return parse_json(text, "a.json", limits); });
}

} // namespace

TEST_CASE("a document parses to the same tree as nlohmann's own parser") {
    std::string const text =
        R"({"a": [1, -2, 3.5, true, null, "x\u00e9\n"], "b": {"c": {}, "d": []}, "e": 18446744073709551615, "": 0})";
    CHECK(parse_json(text, "a.json") == nlohmann::json::parse(text));
    CHECK(parse_json(" 7 ", "a.json") == 7);
}

TEST_CASE("what is not JSON is refused with its place") {
    CHECK(parse_fault("") == "a.json: is empty");
    CHECK(contains(parse_fault("\xef\xbb\xbf{}"), "a.json: not valid JSON at byte 0: a byte order mark"));
    CHECK(contains(parse_fault(R"({"a": NaN})"), "at byte 6: syntax error"));
    CHECK(contains(parse_fault(R"({"a": Infinity})"), "at byte 6: syntax error"));
    CHECK(contains(parse_fault("{} x"), "at byte 3: syntax error"));
    CHECK(contains(parse_fault("{} {}"), "at byte 3: syntax error"));
    CHECK(contains(parse_fault(std::string("{}\0{", 4)), "at byte 2: a zero byte"));
    CHECK(contains(parse_fault("{\"a\": \"\xff\"}"), "at byte 7: syntax error"));
    CHECK(contains(parse_fault("{\"a\": \"\xc0\xaf\"}"), "at byte 7: syntax error"));
    CHECK(contains(parse_fault(R"({"a": 1e999})"), "number overflow"));
    CHECK(contains(parse_fault(R"({"a": 1,})"), "at byte 8: syntax error"));
    CHECK(contains(parse_fault("{'a': 1}"), "at byte 1: syntax error"));
    CHECK(contains(parse_fault("/* */ {}"), "at byte 0: syntax error"));
    std::string const whole = R"({"a": [1, 2.5e3, "x\u1234"], "b": {"c": null}})";
    for (std::size_t size = 1; size < whole.size(); ++size)
        CHECK_MESSAGE(contains(parse_fault(whole.substr(0, size)), "not valid JSON at byte"), size);
}

TEST_CASE("duplicate keys are refused, at any depth") {
    CHECK(contains(parse_fault(R"({"a": 1, "a": 1})"), R"(the key "a" occurs twice)"));
    CHECK(contains(parse_fault(R"([{"b": {"c": 1, "d": 2, "c": 3}}])"), R"(the key "c" occurs twice)"));
    CHECK(contains(parse_fault(R"({"a": 1, "\u0061": 1})"), R"(the key "a" occurs twice)"));
    CHECK_NOTHROW(static_cast<void>(parse_json(R"([{"a": 1}, {"a": 2}, {"b": {"a": 3}}])", "a.json")));
}

TEST_CASE("limits hold while the document grows") {
    CHECK(contains(parse_fault(std::string(1'000'000, '[')), "nested more than 64 deep"));
    std::string deep;
    for (int i = 0; i < 100'000; ++i) deep += R"({"a":)";
    CHECK(contains(parse_fault(deep), "nested more than 64 deep"));
    CHECK_NOTHROW(static_cast<void>(parse_json(std::string(64, '[') + std::string(64, ']'), "a.json")));
    CHECK(contains(parse_fault("[1, 2, 3]", {.values = 3}), "more than 3 values"));
    CHECK_NOTHROW(static_cast<void>(parse_json("[1, 2, 3]", "a.json", {.values = 4})));
    CHECK(contains(parse_fault("[1, 2, 3]", {.bytes = 8}), "has 9 bytes, more than the limit of 8"));
}

TEST_CASE("what lies under a file's name instead of it") {
    CHECK(
        contains(parse_fault("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n"), "Git LFS pointer"));
    CHECK(contains(parse_fault("\n<!DOCTYPE html><html>"), "web page"));
    CHECK(contains(parse_fault("<HTML>"), "web page"));
}

TEST_CASE("messages hold nothing that a terminal obeys") {
    auto const fault = parse_fault("{\"\x1b[2J\": 1}");
    CHECK(fault.find('\x1b') == std::string::npos);
    CHECK(in_quotes("a\"\n\x1b\xc3\xa9") == R"("a\"\x0a\x1b\xc3\xa9")");
    CHECK(in_quotes(std::string(200, 'a'), 3) == "\"aaa...\"");
}

TEST_CASE("typed access names file, path and what was found") {
    auto const document = parse_json(
        R"({"t": {"n": "abc", "z": 0, "m": -1, "f": 2.5, "h": 1e300, "b": true, "l": [1, {"x": []}], "null": null}})",
        "config.json");
    json_view const t = json_view(document, "config.json").at("t");
    auto const fault = [](auto const& f) { return message_of<format_error>(f); };
    CHECK(fault([&] { return t.at("n").positive(); })
          == R"(config.json: t.n: expected a positive integer, found "abc")");
    CHECK(fault([&] { return t.at("z").positive(); }) == "config.json: t.z: expected a positive integer, found 0");
    CHECK(fault([&] { return t.at("m").natural(); }) == "config.json: t.m: expected a non-negative integer, found -1");
    CHECK(fault([&] { return t.at("f").natural(); }) == "config.json: t.f: expected a non-negative integer, found 2.5");
    CHECK(fault([&] { return t.at("b").number(); }) == "config.json: t.b: expected a number, found true");
    CHECK(fault([&] { return t.at("m").positive_number(); })
          == "config.json: t.m: expected a positive number, found -1");
    CHECK(fault([&] { return t.at("l").items()[1].at("x").text(); })
          == "config.json: t.l[1].x: expected text, found a list");
    CHECK(fault([&] { return t.at("nope"); }) == R"(config.json: t: the key "nope" is missing)");
    CHECK(fault([&] { return t.at("null"); }) == R"(config.json: t: the key "null" is missing)");
    CHECK(fault([&] { return t.at("z").find("x"); }) == "config.json: t.z: expected an object, found 0");
    CHECK(fault([&] { return t.at("l").items()[0].positive(0); })
          == "config.json: t.l[0]: expected at most 0, found 1");
    CHECK(fault([&] { return json_view(document, "config.json").items(); })
          == "config.json: expected a list, found an object");
    CHECK(t.at("z").natural() == 0);
    CHECK(t.at("f").number() == 2.5);
    CHECK(t.at("b").boolean());
    CHECK_FALSE(t.find("null"));
}
