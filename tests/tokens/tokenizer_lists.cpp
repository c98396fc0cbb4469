// SPDX-License-Identifier: Apache-2.0
// GGUF's lists of tokens give the same tokenizer as the model's tokenizer.json; wrong lists are refused.
#include <llamavision/tokens/tokenizer.hpp>
#include <llamavision/tokens/tokenizer_lists.hpp>

#include "../support/message.hpp"

#include <algorithm>
#include <cstddef>
#include <doctest/doctest.h>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

using namespace llamavision;
using namespace llamavision::tokens;

namespace {

constexpr char const* file = LLAMAVISION_SOURCE_DIR "/examples/tiny/checkpoint/tokenizer.json";

struct lists {
    std::vector<std::string> tokens;
    std::vector<std::size_t> types;
};

lists const& of_the_bundled_model() {
    static lists const made = [] {
        std::ifstream stream(file);
        auto const root = nlohmann::json::parse(stream);
        lists result;
        auto const put = [&](std::size_t id, std::string const& name, std::size_t type) {
            if (id >= result.tokens.size()) {
                result.tokens.resize(id + 1);
                result.types.resize(id + 1, 5);
            }
            result.tokens[id] = name;
            result.types[id] = type;
        };
        for (auto const& [name, id] : root.at("model").at("vocab").items()) put(id, name, 1);
        for (auto const& entry : root.at("added_tokens")) put(entry.at("id"), entry.at("content"), 3);
        return result;
    }();
    return made;
}

std::string fault(lists const& l) {
    return message_of<format_error>([&] { return tokenizer(tokenizer_from_lists(l.tokens, l.types, {}, "x"), "x"); });
}

} // namespace

TEST_CASE("lists and file give the same tokenizer") {
    lists const& l = of_the_bundled_model();
    tokenizer const expected = tokenizer::open(file);
    lists untyped = l;
    untyped.types.clear();
    for (lists const* const given : {&l, static_cast<lists const*>(&untyped)}) {
        tokenizer const is(tokenizer_from_lists(given->tokens, given->types, {}, "x"), "x");
        CHECK(is.ordinary() == expected.ordinary());
        CHECK(is.image() == expected.image());
        CHECK(is.size() == expected.size());
        std::string const text = "<|begin_of_text|>How many red circles are there? Ä\xff 1234 <|image|><|eot_id|>";
        CHECK(is.encode(text) == expected.encode(text));
        CHECK(is.encode(text, special_text::recognised) == expected.encode(text, special_text::recognised));
        CHECK(is.decode(is.encode(text)) == expected.decode(expected.encode(text)));
    }
}

TEST_CASE("wrong lists are refused") {
    auto const changed = [](auto const& change) {
        lists l = of_the_bundled_model();
        change(l);
        return fault(l);
    };
    CHECK(fault({}) == "x: no token for the single byte 0");
    CHECK(contains(changed([](lists& l) { l.types.pop_back(); }), "types of tokens"));
    CHECK(contains(changed([](lists& l) { l.types[7] = 2; }), "token 7 is of type 2"));
    CHECK(contains(changed([](lists& l) { l.types[7] = 3; }), "x: rank"));
    CHECK(contains(changed([](lists& l) { l.tokens[7] = l.tokens[8]; }), "are the same bytes"));
    CHECK(contains(changed([](lists& l) { l.tokens[7] = "\xe2\x82\xac"; }), "not in the byte alphabet of GPT-2"));
    CHECK(contains(changed([](lists& l) { l.tokens.back() = l.tokens[l.tokens.size() - 2]; }), "occurs twice"));
    CHECK(contains(changed([](lists& l) { l.types[l.types.size() - 250] = 5; }), "no special token"));
}

TEST_CASE("a list's merges must lead to its tokens, and user-defined tokens are words") {
    lists l = of_the_bundled_model();
    std::ifstream stream(file);
    std::vector<std::string> merges;
    auto const root = nlohmann::json::parse(stream);
    for (auto const& pair : root.at("model").at("merges"))
        merges.push_back(pair.is_string() ? pair.get<std::string>()
                                          : pair[0].get<std::string>() + " " + pair[1].get<std::string>());
    CHECK_NOTHROW(static_cast<void>(tokenizer_from_lists(l.tokens, l.types, merges, "x")));
    std::swap(merges[0], merges[200]);
    CHECK(message_of<format_error>([&] {
              static_cast<void>(tokenizer_from_lists(l.tokens, l.types, merges, "x"));
          }).find("x: merges does")
          == 0);
    auto const place = static_cast<std::size_t>(
        std::find(l.tokens.begin(), l.tokens.end(), "<|reserved_special_token_5|>") - l.tokens.begin());
    l.tokens[place] = "<loc_1>";
    l.types[place] = 4;
    tokenizer const t(tokenizer_from_lists(l.tokens, l.types, {}, "x"), "x");
    CHECK(t.encode("<loc_1>") == std::vector<token>{static_cast<token>(place)});
}
