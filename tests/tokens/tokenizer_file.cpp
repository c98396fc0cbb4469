// SPDX-License-Identifier: Apache-2.0
// Damaged or foreign tokenizer files: each gives an error that names the file, and none a crash.
#include "support.hpp"

#include <functional>

using namespace tokens_test;

namespace {

/// The message of the error that opening this text throws; empty if it throws none of the library's.
std::string complaint(std::string_view text, std::string const& name = "tokenizer.model") {
    scratch_folder folder;
    auto const path = folder.write(name, text);
    try {
        tokenizer::open(path);
    } catch (llamavision::error const& problem) {
        std::string const message = problem.what();
        CHECK(message.find(path.string()) == 0);
        return message.substr(std::min(path.string().size(), message.size()));
    }
    return {};
}

std::string json_complaint(std::function<void(json&)> const& spoil) {
    auto root = hugging_face(small_tokens());
    spoil(root);
    return complaint(root.dump(), "tokenizer.json");
}

bool says(std::string const& message, std::string_view word) { return message.find(word) != std::string::npos; }

} // namespace

TEST_CASE("tokenizer.model: files of another kind") {
    CHECK(says(complaint(""), "empty"));
    CHECK(says(complaint("\n\n"), "empty"));
    CHECK(
        says(complaint("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 2183982\n"), "Git LFS pointer"));
    CHECK(says(complaint("<!DOCTYPE html><html>"), "web page"));
    CHECK(says(complaint(std::string(1000, '\0')), "line 1"));
    CHECK(says(complaint("\xFF\xFE\x00\x01"), "line 1"));
    CHECK(says(complaint("not base64 0\n"), "line 1"));
}

TEST_CASE("tokenizer.model: lines that are wrong") {
    auto const good = tiktoken_text(small_tokens());
    REQUIRE(complaint(good).empty());
    auto const n = std::to_string(small_tokens().size());
    CHECK(says(complaint(good + "YWJj\n"), "no rank"));
    CHECK(says(complaint(good + "YWJj -1\n"), "no rank"));
    CHECK(says(complaint(good + "YWJj 99999999999999999999999\n"), "no rank"));
    CHECK(says(complaint(good + "YWJj " + n + " 3\n"), "no rank"));
    CHECK(says(complaint(good + "YWJj 18446744073709551615\n"), "missing"));
    CHECK(says(complaint(good + "YWJj 4000000000\n"), "missing"));
    CHECK(says(complaint(good + "YWJj 3\n"), "twice"));
    CHECK(says(complaint(good + "YWJ " + n + "\n"), "base64"));
    CHECK(says(complaint(good + "YW=j " + n + "\n"), "base64"));
    CHECK(says(complaint(good + "YX== " + n + "\n"), "base64")); // bits that no byte holds
    CHECK(says(complaint(good + " " + n + "\n"), "base64"));
    CHECK(says(complaint(good + "IHRoZQ== " + n + "\n"), "same bytes"));
    CHECK(complaint(good + "YWJj " + n).empty()); // the last line break may be missing
    CHECK(says(complaint(good.substr(0, good.rfind('\n', 1000) + 1)), "single byte"));
    CHECK(says(complaint(good.substr(0, good.find('\n') - 1)), "no rank"));
    for (std::size_t size = 0; size < 2000; size += 7) CHECK_FALSE(complaint(good.substr(0, size)).empty());
    CHECK(says(complaint(good.substr(good.find('\n') + 1)), "missing"));
}

TEST_CASE("tokenizer.json: wrong in every part") {
    REQUIRE(json_complaint([](json&) {}).empty());
    CHECK(says(complaint("{\"model\": {\"vocab\": {\"a\": 0", "tokenizer.json"), "JSON"));
    CHECK(says(complaint("{\"model\": {\"vocab\": {\"\xFF\": 0}}}", "tokenizer.json"), "JSON"));
    CHECK(says(complaint("{\"a\": 1e999}", "tokenizer.json"), "number overflow"));
    CHECK(says(complaint("{}", "tokenizer.json"), "the key \"model\" is missing"));
    CHECK(says(complaint("[]", "tokenizer.json"), "holds a JSON list"));
    CHECK(says(complaint("\n[1, 2]", "tokenizer.json"), "holds a JSON list"));
    CHECK(says(complaint("{\"a\": " + std::string(100000, '['), "tokenizer.json"), "nested"));
    CHECK(says(complaint("{\"a\": " + std::string(100000, '[') + std::string(100000, ']') + "}", "tokenizer.json"),
               "nested"));
    CHECK(says(json_complaint([](json& r) { r["model"]["type"] = "Unigram"; }), "byte-pair"));
    CHECK(says(json_complaint([](json& r) { r["model"] = 3; }), "byte-pair"));
    CHECK(says(json_complaint([](json& r) { r["model"]["byte_fallback"] = true; }), "byte_fallback"));
    CHECK(says(json_complaint([](json& r) { r["normalizer"] = {{"type", "NFC"}}; }), "normalizer"));
    CHECK(says(json_complaint([](json& r) { r.erase("pre_tokenizer"); }), "the key \"pre_tokenizer\" is missing"));
    CHECK(says(json_complaint([](json& r) {
                   r["pre_tokenizer"] = {{"type", "ByteLevel"}, {"use_regex", true}};
               }),
               "split"));
    CHECK(says(json_complaint([](json& r) { r["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "\\s+"; }),
               "split"));
    auto const step = [](std::size_t i, char const* key, json const& value) {
        return json_complaint([&](json& r) { r["pre_tokenizer"]["pretokenizers"][i][key] = value; });
    };
    CHECK(says(step(0, "behavior", "Removed"), "does not split"));
    CHECK(says(step(0, "invert", true), "does not split"));
    CHECK(says(step(1, "add_prefix_space", true), "add_prefix_space"));
    CHECK(says(step(1, "use_regex", true), "use_regex"));
    CHECK(says(step(1, "type", "Digits"), "no ByteLevel"));
    CHECK(says(json_complaint([](json& r) { r["pre_tokenizer"] = json(r["pre_tokenizer"]["pretokenizers"][0]); }),
               "no ByteLevel"));
    CHECK(says(json_complaint([](json& r) {
                   r["pre_tokenizer"]["pretokenizers"].push_back({{"type", "Digits"}, {"individual_digits", true}});
               }),
               "\"Digits\" is a step that Llama 3 does not have"));
    CHECK(says(json_complaint([](json& r) { r["model"]["dropout"] = 0.1; }), "model.dropout"));
    CHECK(says(json_complaint([](json& r) { r["model"]["end_of_word_suffix"] = "</w>"; }), "end_of_word_suffix"));
    CHECK(says(json_complaint([](json& r) { r["model"]["continuing_subword_prefix"] = "##"; }), "subword_prefix"));
    CHECK(says(json_complaint([](json& r) { r["model"]["ignore_merges"] = false; }), "ignore_merges"));
    CHECK(says(json_complaint([](json& r) { r["decoder"] = {{"type", "Metaspace"}}; }), "\"Metaspace\""));
    CHECK(says(json_complaint([](json& r) { r["post_processor"] = {{"type", "RobertaProcessing"}}; }), "Roberta"));
    auto const after = [](char const* name) {
        return json_complaint([name](json& r) {
            json mark{{"SpecialToken", {{"id", name}, {"type_id", 0}}}}, text{{"Sequence", {{"id", "A"}}}};
            r["post_processor"] = {{"type", "TemplateProcessing"}, {"single", json::array({mark, text})}};
        });
    };
    CHECK(after("<|begin_of_text|>").empty());
    CHECK(says(after("<|eot_id|>"), "post_processor"));
    CHECK(says(json_complaint([](json& r) { r["added_tokens"][9]["lstrip"] = 1; }), "lstrip"));
    CHECK(says(json_complaint([](json& r) { r.erase("added_tokens"); }), "added_tokens"));
    CHECK(says(json_complaint([](json& r) { r["added_tokens"] = json::array(); }), "<|begin_of_text|>"));
    CHECK(says(json_complaint([](json& r) { r["added_tokens"][9]["content"] = "<|x|>"; }), "<|eot_id|>"));
    CHECK(says(json_complaint([](json& r) { r["added_tokens"][9]["content"] = ""; }), "no name"));
    CHECK(says(json_complaint([](json& r) { r["added_tokens"][9]["id"] = -1; }), "no id"));
    CHECK(says(json_complaint([](json& r) { r["added_tokens"][9]["id"] = 3000000000u; }), "no id"));
    CHECK(
        says(json_complaint([](json& r) { r["added_tokens"][9]["id"] = r["added_tokens"][8]["id"]; }), "two special"));
    CHECK(says(json_complaint([](json& r) { r["added_tokens"][9]["content"] = "<|eom_id|>"; }), "twice"));
    CHECK(says(json_complaint([](json& r) { r["added_tokens"][9]["id"] = 5; }), "ordinary"));
    CHECK(says(json_complaint([](json& r) { r["added_tokens"][9] = "<|eot_id|>"; }), "no content"));
    CHECK(says(json_complaint([](json& r) { r["model"]["vocab"] = json::array({"a", "b"}); }), "no model.vocab"));
    CHECK(says(json_complaint([](json& r) { r["model"]["vocab"]["ab"] = 100000; }), "missing"));
    CHECK(says(json_complaint([](json& r) { r["model"]["vocab"]["ab"] = 0; }), "twice"));
    CHECK(says(json_complaint([](json& r) { r["model"]["vocab"]["ab"] = 1.5; }), "not a number"));
    CHECK(says(json_complaint([](json& r) { r["model"]["vocab"]["\u4E2D"] = small_tokens().size(); }), "alphabet"));
    CHECK(says(json_complaint([](json& r) { r["model"]["vocab"][" "] = small_tokens().size(); }), "alphabet"));
    CHECK(says(json_complaint([](json& r) { r["model"]["vocab"].erase("A"); }), "missing"));
}

TEST_CASE("tokenizer.json: merges that would give other ids than ranks, and entries that are no merges") {
    auto const with = [](json const& merges) {
        return json_complaint([&](json& r) { r["model"]["merges"] = merges; });
    };
    json const all = merges_of(small_tokens());
    CHECK(with(all).empty());
    CHECK(says(json_complaint([](json& r) { r["model"].erase("merges"); }), "no model.merges"));
    CHECK(says(with(json::object({{"a", "b"}})), "no model.merges"));
    for (json const& wrong : {json("ab"), json("a "), json(" a"), json(3), json::array({"a"}), json::array({"a", 3}),
                              json::array({"a", "b", "c"}), json::array({"", "ab"})}) {
        json merges = all;
        merges[2] = wrong;
        CAPTURE(wrong.dump());
        CHECK(says(with(merges), "entry 2 of model.merges is not two tokens"));
    }
    CHECK(says(with(json::array()), "does not lead to token 256, \"he\", in the order of the ranks: no entry \"h e\""));
    CHECK(says(with(json::array({json::array({"zz", "qq"})})), "no entry \"h e\""));
    json merges = all;
    std::swap(merges[0], merges[1]);
    CHECK(says(with(merges), "no entry \"h e\""));
    merges = all;
    merges.push_back("q q");
    CHECK(says(with(merges), "entry " + std::to_string(all.size()) + " of model.merges, \"q\" and \"q\", makes no"));
    merges = all;
    merges.push_back(all[0]); // out of its turn
    CHECK(says(with(merges), "entry " + std::to_string(all.size()) + " of model.merges, \"h\" and \"e\""));
}

TEST_CASE("tokenizer.json: of several pairs that make a token, the one that merging by rank uses must be listed") {
    // Merging "abc" by rank makes "ab" first, so "a bc" is never used.
    std::vector<std::string> all_tokens;
    for (unsigned i = 0; i < 256; ++i) all_tokens.emplace_back(1, static_cast<char>(static_cast<unsigned char>(i)));
    for (char const* word : {"ab", "bc", "abc"}) all_tokens.emplace_back(word);
    auto const with = [&](json const& merges) {
        auto root = hugging_face(all_tokens);
        root["model"]["merges"] = merges;
        return complaint(root.dump(), "tokenizer.json");
    };
    CHECK(with({"a b", "b c", "ab c"}).empty());
    CHECK(with({"a b", "b c", "ab c", "a bc"}).empty());
    CHECK(with({"a b", "b c", "a bc", "ab c"}).empty());
    CHECK(says(with({"a b", "b c", "a bc"}), "no entry \"ab c\""));
    CHECK(says(with({"a b", "ab c"}), "does not lead to token 257"));
    // Merging never leads to "zzz"; a whole piece becomes that token nevertheless.
    all_tokens.emplace_back("zzz");
    CHECK(with({"a b", "b c", "ab c"}).empty());
}

TEST_CASE("tokenizer.json: what may differ") {
    // Tokens that a fine-tune added behind the image, and specials listed in the vocabulary as well.
    auto root = hugging_face(small_tokens());
    auto const n = small_tokens().size();
    root["added_tokens"].push_back({{"id", n + 260}, {"content", "<|mine|>"}});
    root["model"]["vocab"]["<|eot_id|>"] = n + 9;
    root["model"].erase("type");
    scratch_folder folder;
    auto const t = tokenizer::open(folder.write("tokenizer.json", root.dump()));
    CHECK(t.ordinary() == static_cast<token>(n));
    CHECK(t.size() == n + 261);
    CHECK(t.bytes(static_cast<token>(n) + 260) == "<|mine|>");
    CHECK_THROWS_AS(t.bytes(static_cast<token>(n) + 258), llamavision::token_error);
    CHECK(t.encode("<|mine|>", llamavision::tokens::special_text::recognised).size() == 1);
}

TEST_CASE("paths without a tokenizer") {
    scratch_folder folder;
    auto const at = [&](char const* name) { return folder.path() / name; };
    CHECK_THROWS_AS(tokenizer::open(at("missing")), llamavision::file_error);
    CHECK_THROWS_AS(tokenizer::open(folder.path()), llamavision::file_error);
    CHECK_THROWS_AS(tokenizer::open("/dev/zero"), llamavision::file_error);
    std::filesystem::create_directories(at("sub") / "tokenizer.model");
    CHECK_THROWS_AS(tokenizer::open(at("sub")), llamavision::file_error);
    // Larger than any tokenizer, without being read.
    folder.write("huge", "x");
    std::filesystem::resize_file(at("huge"), std::uintmax_t{1} << 40);
    CHECK_THROWS_AS(tokenizer::open(at("huge")), llamavision::file_error);
}
