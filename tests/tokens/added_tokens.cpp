// SPDX-License-Identifier: Apache-2.0
// Added tokens, compared with the tokenizers package (tests/golden/added_tokens.py), and Meta's cuts of long texts.
#include "support.hpp"

#include <llamavision/tokens/chat.hpp>
#include <llamavision/tokens/meta_cuts.hpp>

#include <algorithm>

using namespace llamavision::tokens;
using namespace tokens_test;
using ids = std::vector<token>;

namespace {

json bundled() {
    std::ifstream in(LLAMAVISION_SOURCE_DIR "/examples/tiny/checkpoint/tokenizer.json");
    return json::parse(in);
}

tokenizer with(json const& added) {
    auto root = bundled();
    for (auto const& entry : added) root["added_tokens"].push_back(entry);
    scratch_folder folder;
    return tokenizer::open(folder.write("tokenizer.json", root.dump()));
}

std::vector<std::size_t> lengths(std::string const& text) {
    std::vector<std::size_t> all;
    cut_as_meta(text, [&](std::string_view some) { all.push_back(some.size()); });
    return all;
}

} // namespace

TEST_CASE("added tokens are found as the tokenizers package finds them") {
    auto const vectors = load_json("added_token_vectors.json");
    std::size_t compared = 0;
    for (auto const& set : vectors["sets"]) {
        auto const t = with(set["added"]);
        for (auto const& c : set["cases"]) {
            CAPTURE(set["name"].get<std::string>());
            CAPTURE(c["text"].get<std::string>());
            auto const text = c["text"].get<std::string>();
            auto const all = c["ids"].get<ids>();
            CHECK(t.encode(text, special_text::recognised) == all);
            CHECK(t.encode(text) == c["as_text"].get<ids>());
            CHECK(t.decode(all, true) == c["decoded"].get<std::string>());
            ++compared;
        }
    }
    CHECK(compared == 180);
}

TEST_CASE("a word is one id everywhere and kept in answers; marks of the format stay special") {
    auto root = bundled();
    auto const place = [&](char const* name) {
        return std::find_if(root["added_tokens"].begin(), root["added_tokens"].end(),
                            [&](auto const& e) { return e["content"] == name; });
    };
    auto& entry = *place("<|reserved_special_token_5|>");
    entry["content"] = "<loc_1>";
    entry["special"] = false;
    (*place("<|eot_id|>"))["special"] = false; // a file that would let users end turns
    scratch_folder folder;
    auto const t = tokenizer::open(folder.write("tokenizer.json", root.dump()));
    auto const id = entry["id"].get<token>();
    CHECK(t.encode("<loc_1>") == ids{id});
    CHECK(t.decode(ids{id, t.eot()}, true) == "<loc_1>");
    CHECK(t.is_special(t.eot()));
    CHECK(t.encode("<|eot_id|>").size() > 1);
    CHECK_FALSE(t.is_special(id));
}

TEST_CASE("a word that the vocabulary has is both") {
    auto root = bundled();
    auto const id = root["model"]["vocab"]["On"].get<token>();
    auto const t = with(json::array({json{{"id", id}, {"content", "On"}, {"special", false}, {"normalized", true}}}));
    CHECK(t.ordinary() == 512);
    auto const found = t.encode("xOny");
    CHECK(std::count(found.begin(), found.end(), id) == 1);
    CHECK(t.decode(found) == "xOny");
}

TEST_CASE("Meta's cuts: runs of 25 000 characters of one class, and 400 000 characters") {
    auto const n = meta_longest_run;
    CHECK(lengths("").empty());
    CHECK(lengths(std::string(n, 'a')) == std::vector{n});
    CHECK(lengths(std::string(n + 1, 'a')) == std::vector<std::size_t>{n, 1});
    CHECK(lengths(std::string(n, 'a') + " " + std::string(n, 'b')) == std::vector{2 * n + 1});
    CHECK(lengths("ab " + std::string(2 * n + 5, '\n') + "c") == std::vector<std::size_t>{2 + n, n, 7});
    std::string wide, words;
    for (std::size_t i = 0; i <= n; ++i) wide += "\xC3\xA9"; // counted as characters, not as bytes
    CHECK(lengths(wide) == std::vector<std::size_t>{2 * n, 2});
    while (words.size() < meta_most_characters + 3) words += "ab ";
    words.resize(meta_most_characters + 2);
    CHECK(lengths(words) == std::vector<std::size_t>{meta_most_characters, 2});
    // A run is counted anew behind such a cut.
    std::string text = words.substr(0, meta_most_characters - 10) + std::string(n + 9, 'x');
    CHECK(lengths(text) == std::vector<std::size_t>{meta_most_characters, n - 1});
    auto const t = small_tokenizer();
    std::string const run = std::string(n - 1, 'x') + "the"; // cut in "the"
    auto const cut = t.encode(run, special_text::as_text, text_cuts::as_meta);
    CHECK(t.decode(cut) == run);
    CHECK(cut.back() == t.encode("he")[0]);
    CHECK(t.encode(run).back() == t.encode("the")[0]);
}

TEST_CASE("marks that take the white space beside them do so in conversations, as in a text") {
    auto root = bundled();
    for (auto& entry : root["added_tokens"]) {
        if (entry["content"] == "<|eot_id|>") entry["lstrip"] = true;
        if (entry["content"] == "<|end_header_id|>") entry["rstrip"] = true;
    }
    scratch_folder folder;
    auto const t = tokenizer::open(folder.write("tokenizer.json", root.dump()));
    CHECK(t.takes_space_before(t.eot()));
    CHECK(!t.takes_space_after(t.eot()));
    CHECK(t.takes_space_after(t.end_header()));
    CHECK(!t.takes_space_before(t.bos()));
    std::vector<message> const said{{role::user, {std::string("  two words \n ")}},
                                    {role::assistant, {std::string(" \t ")}}};
    chat_options options;
    options.form = preset::converter;
    chat_format const frame(t, options);
    auto const as_text = t.encode(frame.render(said), special_text::recognised);
    CHECK(frame.encode(said) == as_text);
    options.own.emplace("{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n{{ m.content }}"
                        "<|eot_id|> {% endfor %}");
    chat_format const own(t, options);
    CHECK(own.encode(said, false) == t.encode(own.render(said, false), special_text::recognised));
    options.own.reset();
    options.form = preset::meta; // Meta's tokenizer has no such rules
    std::vector<token> const meta = chat_format(t, options).encode(said);
    CHECK(meta.size() > as_text.size());
}

TEST_CASE("with tools, the template for tools writes") {
    auto const t = with(json::array());
    chat_options options;
    options.own_for_tools.emplace("{{ tools | length }} tools: {{ messages[0].content }}");
    std::vector<message> const said{{role::user, {std::string("hi")}}};
    options.form = preset::converter;
    CHECK(chat_format(t, options).render(said).starts_with("<|begin_of_text|>"));
    options.tools = {R"({"name": "f"})"};
    CHECK(chat_format(t, options).render(said) == "1 tools: hi");
    options.own.emplace("without");
    CHECK(chat_format(t, options).render(said) == "1 tools: hi");
    options.tools.clear();
    CHECK(chat_format(t, options).render(said) == "without");
}
