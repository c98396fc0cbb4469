// SPDX-License-Identifier: Apache-2.0
// Stop tokens, and stop strings that begin and end inside pieces.
#include "support.hpp"

#include <llamavision/tokens/stop.hpp>

using namespace tokens_test;
using llamavision::tokens::stop_tokens;
using llamavision::tokens::stop_watch;

namespace {

/// The text that a watcher shows after each piece.
std::vector<std::string> shown(std::vector<std::string> const& stops, std::vector<std::string> const& pieces) {
    stop_watch watch({}, stops);
    std::vector<std::string> out;
    for (auto const& p : pieces) out.push_back(watch.push(p));
    out.push_back(watch.finish());
    return out;
}

using texts = std::vector<std::string>;

} // namespace

TEST_CASE("stop tokens") {
    auto const t = small_tokenizer();
    stop_watch const watch(stop_tokens(t));
    for (auto const id : {t.eot(), t.eom(), t.end_of_text()}) CHECK(watch.ends(id));
    CHECK_FALSE(watch.ends(t.bos()));
    stop_watch const base(stop_tokens(t, false));
    CHECK(base.ends(t.end_of_text()));
    CHECK_FALSE(base.ends(t.eot()));
}

TEST_CASE("text that may begin a stop string waits until that is decided") {
    CHECK(shown({"STOP"}, {"a S", "T", "OP b", "c"}) == texts{"a ", "", "", "", ""});
    CHECK(shown({"STOP"}, {"a S", "T", "x"}) == texts{"a ", "", "STx", ""});
    CHECK(shown({"STOP"}, {"STO"}) == texts{"", "STO"});
    CHECK(shown({"STOP"}, {"SSTOPS"}) == texts{"S", ""});
    CHECK(shown({"aab"}, {"a", "a", "a", "b"}) == texts{"", "", "a", "", ""});
    CHECK(shown({}, {"x", "y"}) == texts{"x", "y", ""});
    CHECK(shown({"\n\nUser:", "\n"}, {"yes\n", "\nUser:"}) == texts{"yes", "", ""});
    CHECK(shown({"bc", "abcd"}, {"xab", "cd"}) == texts{"x", "a", ""}); // the one complete first
    CHECK(shown({"bc", "abc"}, {"xab", "cd"}) == texts{"x", "", ""});   // of two the longer
    CHECK(shown({"\xC3\xA9"}, {"caf\xC3\xA9!"}) == texts{"caf", ""});
    CHECK_THROWS_AS(stop_watch({}, {""}), llamavision::argument_error);
}

TEST_CASE("a watcher starts again") {
    stop_watch watch({}, {"X"});
    CHECK(watch.push("aXb") == "a");
    CHECK(watch.stopped());
    CHECK(watch.push("more").empty());
    watch.reset();
    CHECK_FALSE(watch.stopped());
    CHECK(watch.push("more") == "more");
}

TEST_CASE("random texts in random pieces: all before the first stop string, and none of it") {
    std::mt19937 random(3);
    for (int round = 0; round < 5000; ++round) {
        auto const word = [&](std::size_t most) {
            std::string s;
            for (auto n = 1 + random() % most; n > 0; --n) s += "abc"[random() % 3];
            return s;
        };
        texts const stops{word(4) + "a", word(3) + "b"};
        auto const text = word(40);
        stop_watch watch({}, stops);
        std::string out;
        std::size_t at = 0;
        while (at < text.size() && !watch.stopped()) {
            auto const size = std::min(text.size() - at, std::size_t{1 + random() % 5});
            out += watch.push(text.substr(at, size));
            at += size;
            // No shown text may become part of a stop string.
            CHECK(text.substr(0, out.size()) == out);
        }
        out += watch.finish();
        // The rule, letter by letter: the answer ends before the stop string that is complete first; of two, the
        // longer.
        std::string expected = text;
        bool stopped = false;
        for (std::size_t end = 1; end <= text.size() && !stopped; ++end)
            for (auto const& s : stops)
                if (std::string_view(text).substr(0, end).ends_with(s)) {
                    expected.resize(std::min(expected.size(), end - s.size()));
                    stopped = true;
                }
        CHECK(watch.stopped() == stopped);
        CHECK(out == expected);
    }
}
