// SPDX-License-Identifier: Apache-2.0
// The hand-written scanner, compared with the regular expression itself, which a small backtracking matcher runs.
#include <chrono>
#include <cstdint>
#include <doctest/doctest.h>
#include <fstream>
#include <functional>
#include <limits>
#include <llamavision/tokens/pretokenize.hpp>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace llamavision::tokens;

using text32 = std::u32string;
using predicate = std::function<bool(char32_t)>;

// One element of a branch: a class of characters, how often (greedy), or a look ahead that must fail.
struct atom {
    predicate matches;
    std::size_t least = 1, most = 1;
    bool not_ahead = false;
};
using branch = std::vector<atom>;

bool match(branch const& b, std::size_t index, text32 const& text, std::size_t at, std::size_t& end) {
    if (index == b.size()) return end = at, true;
    auto const& a = b[index];
    if (a.not_ahead) return !(at < text.size() && a.matches(text[at])) && match(b, index + 1, text, at, end);
    std::size_t count = 0;
    while (count < a.most && at + count < text.size() && a.matches(text[at + count])) ++count;
    for (;; --count) { // as many as possible first, then fewer
        if (count < a.least) return false;
        if (match(b, index + 1, text, at + count, end)) return true;
        if (count == 0) return false;
    }
}

std::vector<branch> llama3_branches() {
    constexpr auto many = std::numeric_limits<std::size_t>::max();
    auto const letter = [](char32_t c) { return search_class(c) == char_class::letter; };
    auto const number = [](char32_t c) { return search_class(c) == char_class::number; };
    auto const space = [](char32_t c) { return search_class(c) == char_class::space; };
    auto const line = [](char32_t c) { return c == U'\r' || c == U'\n'; };
    auto const either = [](char32_t a) {
        return [a](char32_t c) { return c == a || (c < 128 && a < 128 && c + 32 == a) || (a == U's' && c == 0x17F); };
    };
    std::vector<branch> branches;
    for (text32 const word : {U"s", U"t", U"re", U"ve", U"m", U"ll", U"d"}) {
        branch b{{[](char32_t c) { return c == U'\''; }}};
        for (auto const c : word) b.push_back({either(c)});
        branches.push_back(b);
    }
    auto const lead = [=](char32_t c) { return !line(c) && !letter(c) && !number(c); };
    auto const mark = [=](char32_t c) { return !space(c) && !letter(c) && !number(c); };
    auto const blank = [](char32_t c) { return c == U' '; };
    auto const visible = [=](char32_t c) { return !space(c); };
    branches.push_back({{lead, 0, 1}, {letter, 1, many}});
    branches.push_back({{number, 1, 3}});
    branches.push_back({{blank, 0, 1}, {mark, 1, many}, {line, 0, many}});
    branches.push_back({{space, 0, many}, {line, 1, many}});
    branches.push_back({{space, 1, many}, {visible, 1, 1, true}});
    branches.push_back({{space, 1, many}});
    return branches;
}

std::vector<std::string> pieces_by_regex(text32 const& text) {
    static auto const branches = llama3_branches();
    std::vector<std::string> pieces;
    for (std::size_t at = 0; at < text.size();) {
        std::size_t end = at;
        for (auto const& b : branches)
            if (match(b, 0, text, at, end)) break;
        REQUIRE(end > at);
        pieces.emplace_back();
        for (; at < end; ++at) append_utf8(pieces.back(), text[at]);
    }
    return pieces;
}

std::vector<std::string> pieces_by_scanner(std::string const& text) {
    std::vector<std::string> pieces;
    for_each_piece(text, [&](std::string_view piece) { pieces.emplace_back(piece); });
    return pieces;
}

} // namespace

TEST_CASE("the scanner is the regular expression") {
    std::mt19937 random(1);
    // Few characters, chosen so that every branch and border comes up often; and any character at all.
    text32 const close =
        U"' \t\n\r sSxXtTrReEvVmMlLdD\u017F19\u0663!.\u0301\u00E9\u4E2D\u00A0\u3000\u0085\u200B\U0001F600";
    for (int round = 0; round < 40000; ++round) {
        text32 text;
        for (auto length = random() % 14; length > 0; --length) {
            auto c = close[random() % close.size()];
            if (round % 4 == 0) do
                    c = static_cast<char32_t>(random() % 0x110000);
                while (c >= 0xD800 && c < 0xE000);
            text.push_back(c);
        }
        std::string utf8;
        for (auto const c : text) append_utf8(utf8, c);
        CAPTURE(utf8);
        REQUIRE(pieces_by_scanner(utf8) == pieces_by_regex(text));
    }
}

TEST_CASE("borders between pieces") {
    using pieces = std::vector<std::string>;
    CHECK(pieces_by_scanner("we'Ll'x 's") == pieces{"we", "'Ll", "'x", " '", "s"});
    CHECK(pieces_by_scanner("1234567") == pieces{"123", "456", "7"});
    CHECK(pieces_by_scanner("a  b") == pieces{"a", " ", " b"});
    CHECK(pieces_by_scanner("a  1") == pieces{"a", " ", " ", "1"});
    CHECK(pieces_by_scanner("a \n\n  b") == pieces{"a", " \n\n", " ", " b"});
    CHECK(pieces_by_scanner("a  ") == pieces{"a", "  "});
    CHECK(pieces_by_scanner("!?\r\n\n x") == pieces{"!?\r\n\n", " x"});
    CHECK(pieces_by_scanner("x\u0301y") == pieces{"x", "\u0301y"}); // a combining mark is no letter
    CHECK(pieces_by_scanner("'\u017F") == pieces{"'\u017F"});
    CHECK(pieces_by_scanner("").empty());
}

TEST_CASE("time is linear: a megabyte of white space, of marks, of apostrophes") {
    for (std::string const unit : {" ", "\n", " \n", "  !", "'", "a ", "\xC2\xA0"}) {
        std::string text;
        while (text.size() < 1'000'000) text += unit;
        auto const begin = std::chrono::steady_clock::now();
        std::size_t covered = 0;
        for_each_piece(text, [&](std::string_view piece) { covered += piece.size(); });
        std::chrono::duration<double> const taken = std::chrono::steady_clock::now() - begin;
        CHECK(covered == text.size());
        CHECK(taken.count() < 5);
    }
}

TEST_CASE("classes of all code points are those of the reference tokenizers") {
    std::ifstream in(std::string(LLAMAVISION_TEST_DATA) + "/tokens/unicode_classes.json");
    auto const data = nlohmann::json::parse(in);
    std::vector<char_class> expected(0x110000, char_class::other);
    auto const fill = [&](char const* name, char_class kind) {
        std::size_t count = 0;
        for (auto const& range : data[name])
            for (auto c = range[0].get<std::size_t>(); c <= range[1].get<std::size_t>(); ++c, ++count)
                expected[c] = kind;
        return count;
    };
    CHECK(fill("L", char_class::letter) == 141028);
    CHECK(fill("N", char_class::number) == 1911);
    CHECK(fill("White_Space", char_class::space) == 25);
    std::size_t wrong = 0;
    for (std::size_t c = 0; c < expected.size(); ++c)
        wrong +=
            classify(static_cast<char32_t>(c)) != expected[c] || search_class(static_cast<char32_t>(c)) != expected[c];
    CHECK(wrong == 0);
}

TEST_CASE("UTF-8: every scalar value there and back; one U+FFFD for each maximal invalid prefix") {
    std::size_t wrong = 0;
    for (char32_t c = 0; c < 0x110000; ++c) {
        std::string bytes;
        append_utf8(bytes, c);
        auto const step = next_character(bytes, 0);
        bool const scalar = c < 0xD800 || c > 0xDFFF;
        wrong += (step.state == utf8_state::valid) != scalar;
        wrong += scalar && (step.code != c || step.length != bytes.size());
    }
    CHECK(wrong == 0);
    std::string const mark(replacement_character);
    CHECK(repaired("\xF0\x9F\x98") == mark);
    CHECK(repaired("\xF0\x9F\x98\x80\x80") == "\xF0\x9F\x98\x80" + mark);
    CHECK(repaired("\xE0\x80\x80") == mark + mark + mark);
    CHECK(repaired("\xF4\x90\x80\x80") == mark + mark + mark + mark);
    CHECK(repaired("a\xE2\x82z") == "a" + mark + "z");
    CHECK(next_character("\xE2\x82", 0).state == utf8_state::incomplete);
    CHECK(next_character("\xE2\x28", 0).state == utf8_state::invalid);
}
