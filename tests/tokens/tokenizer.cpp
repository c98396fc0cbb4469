// SPDX-License-Identifier: Apache-2.0
// The tokenizer, compared with vectors of both references, and its properties with a vocabulary that is made here.
#include "support.hpp"

#include <chrono>

using namespace tokens_test;
using llamavision::tokens::special_text;
using llamavision::tokens::stream_decoder;
using llamavision::tokens::tokenizer_kind;

namespace {

std::string input_of(json const& vector) {
    if (vector.contains("text")) return vector["text"];
    std::string text;
    for (int i = 0; i < vector["repeat"][1].get<int>(); ++i) text += vector["repeat"][0].get<std::string>();
    return text;
}

void check_encoding(tokenizer const& t) {
    bool const meta = t.kind() == tokenizer_kind::meta;
    auto const vectors = load_json("tokenizer_vectors.json");
    CHECK(vectors["encode"].size() == 132);
    for (auto const& v : vectors["encode"]) {
        auto const text = input_of(v);
        CAPTURE(text);
        auto const ids = t.encode(text);
        if (v.contains("ids")) {
            CHECK(ids == v["ids"].get<std::vector<token>>());
        } else {
            CHECK(ids.size() == v["n_ids"].get<std::size_t>());
            CHECK(sha256(ids) == v["ids_sha256"].get<std::string>());
        }
        CHECK(t.decode(ids) == text);
        auto const* const special = meta ? "ids_special" : "ids_hf";
        auto const expected = v.contains(special) ? v[special].get<std::vector<token>>() : ids;
        CHECK(t.encode(text, special_text::recognised) == expected);
    }
}

void check_special_ids(tokenizer const& t, token n) {
    CHECK(t.ordinary() == n);
    CHECK(t.size() == static_cast<std::size_t>(n) + 257);
    CHECK(t.bos() == n);
    CHECK(t.end_of_text() == n + 1);
    CHECK(t.pad() == n + 4);
    CHECK(t.start_header() == n + 6);
    CHECK(t.end_header() == n + 7);
    CHECK(t.eom() == n + 8);
    CHECK(t.eot() == n + 9);
    CHECK(t.python_tag() == n + 10);
    CHECK(t.image() == n + 256);
    CHECK(t.image_like() == std::vector<token>{n + 11, n + 256});
    bool const meta = t.kind() == tokenizer_kind::meta;
    CHECK(t.special("<|image|>") == (meta ? n + 11 : n + 256));
    CHECK(t.bytes(n + 11) == (meta ? "<|image|>" : "<|reserved_special_token_2|>"));
    CHECK(t.bytes(n + 255) == (meta ? "<|reserved_special_token_245|>" : "<|reserved_special_token_246|>"));
    CHECK(t.bytes(n + 256) == "<|image|>");
    CHECK(t.special("<|reserved_special_token_99|>") == n + (meta ? 109 : 108));
    CHECK_FALSE(t.special("<|eot_id").has_value());
    CHECK(t.is_special(n));
    CHECK(t.is_special(n + 256));
    CHECK_FALSE(t.is_special(n - 1));
    CHECK_FALSE(t.is_special(n + 257));
    CHECK_THROWS_AS(t.bytes(n + 257), llamavision::token_error);
    CHECK_THROWS_AS(t.bytes(-1), llamavision::token_error);
    CHECK_THROWS_AS(t.decode(std::vector<token>{0, n + 300}), llamavision::token_error);
}

// The rule itself, in quadratic time: join the leftmost of the pairs of lowest rank.
std::vector<token> slow_bpe(tokenizer const& t, std::string_view piece) {
    auto const rank = [&](std::string_view bytes) {
        for (token i = 0; i < t.ordinary(); ++i)
            if (t.bytes(i) == bytes) return i;
        return t.ordinary();
    };
    if (auto const whole = rank(piece); whole < t.ordinary()) return {whole};
    std::vector<std::string> parts;
    for (char const c : piece) parts.emplace_back(1, c);
    for (;;) {
        std::size_t best = 0;
        token lowest = t.ordinary();
        for (std::size_t i = 0; i + 1 < parts.size(); ++i)
            if (auto const r = rank(parts[i] + parts[i + 1]); r < lowest) {
                lowest = r;
                best = i;
            }
        if (lowest == t.ordinary()) break;
        parts[best] += parts[best + 1];
        parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    }
    std::vector<token> ids;
    for (auto const& part : parts) ids.push_back(rank(part));
    return ids;
}

} // namespace

TEST_CASE("the real vocabulary: every vector, from tokenizer.model and from tokenizer.json") {
    auto const path = real_model();
    if (path.empty()) return;
    auto const meta = tokenizer::open(path);
    CHECK(meta.kind() == tokenizer_kind::meta);
    check_special_ids(meta, 128000);
    check_encoding(meta);

    scratch_folder folder;
    auto const hf = tokenizer::open(folder.write("tokenizer.json", hugging_face(tokens_of(meta)).dump(2)));
    CHECK(hf.kind() == tokenizer_kind::hugging_face);
    check_special_ids(hf, 128000);
    check_encoding(hf);
}

TEST_CASE("the real vocabulary: invalid UTF-8, decoding, streaming") {
    auto const path = real_model();
    if (path.empty()) return;
    auto const t = tokenizer::open(path);
    auto const vectors = load_json("tokenizer_vectors.json");
    for (auto const& v : vectors["invalid_utf8"]) {
        auto const bytes = from_hex(v["bytes_hex"].get<std::string>());
        CAPTURE(v["bytes_hex"].get<std::string>());
        CHECK(llamavision::tokens::repaired(bytes) == v["text"].get<std::string>());
        CHECK(t.encode(bytes) == v["ids"].get<std::vector<token>>());
    }
    for (auto const& v : vectors["decode"]) {
        auto const ids = v["ids"].get<std::vector<token>>();
        CAPTURE(ids.size());
        std::string bytes;
        for (auto const id : ids) bytes += t.bytes(id);
        CHECK(bytes == from_hex(v["bytes_hex"].get<std::string>()));
        CHECK(t.decode(ids) == v["text"].get<std::string>());
        stream_decoder stream(t);
        std::vector<std::string> released;
        for (auto const id : ids) released.push_back(stream.push(id));
        released.push_back(stream.finish());
        CHECK(released == v["stream"].get<std::vector<std::string>>());
    }
    for (auto const& [name, id] : vectors["special_tokens"].items()) CHECK(t.special(name) == id.get<token>());
}

// Sanitizers make encoding twenty times as slow.
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LLAMAVISION_TEST_SLOWLY
#endif
#endif

TEST_CASE("the real vocabulary: a long text of anything") {
#if defined(LLAMAVISION_TEST_SLOWLY)
    constexpr std::size_t length = 100'000;
#else
    constexpr std::size_t length = 1'000'000;
#endif
    auto const path = real_model();
    if (path.empty()) return;
    auto const start = std::chrono::steady_clock::now();
    auto const t = tokenizer::open(path);
    std::chrono::duration<double> const loading = std::chrono::steady_clock::now() - start;
    MESSAGE("loading takes ", loading.count(), " s");
    for (std::string const unit :
         {"a", " ", "\n", "ab", "!", "7", "\xC3\xA9", "\xE4\xB8\xAD", "The quick brown fox. ", "<|"}) {
        std::string text;
        while (text.size() < length) text += unit;
        auto const begin = std::chrono::steady_clock::now();
        auto const ids = t.encode(text, special_text::recognised);
        std::chrono::duration<double> const taken = std::chrono::steady_clock::now() - begin;
        CHECK(t.decode(ids) == text);
        CAPTURE(unit);
        CHECK(taken.count() < 60); // quadratic time would be hours
        MESSAGE(length, " bytes of \"", unit, "\": ", taken.count(), " s");
    }
}

TEST_CASE("a small vocabulary: ids of its special tokens, in both files") {
    auto const all_tokens = small_tokens();
    auto const n = static_cast<token>(all_tokens.size());
    scratch_folder folder;
    check_special_ids(tokenizer::open(folder.write("a/tokenizer.model", tiktoken_text(all_tokens))), n);
    check_special_ids(tokenizer::open(folder.write("b/tokenizer.json", hugging_face(all_tokens).dump())), n);
    // A folder stands for its tokenizer.json, then tokenizer.model, then original/tokenizer.model.
    folder.write("c/original/tokenizer.model", tiktoken_text(all_tokens));
    CHECK(tokenizer::open(folder.path() / "c").kind() == tokenizer_kind::meta);
    folder.write("a/tokenizer.json", hugging_face(all_tokens).dump());
    CHECK(tokenizer::open(folder.path() / "a").kind() == tokenizer_kind::hugging_face);
    std::filesystem::remove(folder.path() / "a/tokenizer.json");
    CHECK(tokenizer::open(folder.path() / "a").kind() == tokenizer_kind::meta);
}

TEST_CASE("a small vocabulary: lines in any order, blank lines and carriage returns") {
    auto const all_tokens = small_tokens();
    std::string text;
    for (std::size_t i = all_tokens.size(); i-- > 0;)
        text += base64(all_tokens[i]) + ' ' + std::to_string(i) + "\r\n\n";
    scratch_folder folder;
    auto const t = tokenizer::open(folder.write("tokenizer.model", text));
    CHECK(tokens_of(t) == all_tokens);
}

TEST_CASE("merging equals the rule, and decoding gives back the text") {
    auto const t = small_tokenizer();
    std::mt19937 random(7);
    std::vector<std::string> const letters{"a", "b", "t", "h", "e", " ", "\n", "0", "c", "\xC3\xA9", "\xF0\x9F\x98\x80",
                                           "z"};
    for (int round = 0; round < 3000; ++round) {
        std::string text;
        for (auto length = random() % 40; length > 0; --length) text += letters[random() % letters.size()];
        std::vector<token> expected;
        llamavision::tokens::for_each_piece(text, [&](std::string_view piece) {
            auto const ids = slow_bpe(t, piece);
            expected.insert(expected.end(), ids.begin(), ids.end());
        });
        CAPTURE(text);
        auto const ids = t.encode(text);
        CHECK(ids == expected);
        CHECK(t.decode(ids) == text);
    }
}

TEST_CASE("a piece that is a token becomes that token, even if merging would not lead to it") {
    auto const t = small_tokenizer();
    auto const all_tokens = small_tokens();
    CHECK(t.encode(" quiz").size() == 1);
    CHECK(t.encode("zzz") == std::vector<token>{static_cast<token>(all_tokens.size()) - 1});
    CHECK(t.encode("zzzz").size() == 4);
}

TEST_CASE("special tokens in text") {
    auto const t = small_tokenizer();
    auto const n = t.ordinary();
    auto const read = [&](std::string_view text) { return t.encode(text, special_text::recognised); };
    CHECK(read("<|eot_id|>") == std::vector<token>{n + 9});
    CHECK(t.encode("<|eot_id|>").size() == 10);
    CHECK(read("<<|eot_id|><|image|>|>")
          == std::vector<token>{t.encode("<")[0], n + 9, n + 11, t.encode("|")[0], t.encode(">")[0]});
    CHECK(read("<|eot_id|") == t.encode("<|eot_id|"));
    CHECK(t.decode(read("a<|eot_id|>b"), true) == "ab");
    // White space before a special token is at the end of its text, so no character of it is left to the next piece.
    CHECK(read("  <|eot_id|>") == std::vector<token>{t.encode("  ")[0], n + 9});
    // Several names that begin alike: the longest wins.
    llamavision::tokens::special_tokens const names({{"<a", 1}, {"<ab", 2}, {"<abcd", 3}, {"<b", 4}, {"<abbb", 5}},
                                                    "f");
    auto const first = [&](std::string_view text) { return names.next(text, 0).id; };
    CHECK(first("x<abcx") == 2);
    CHECK(first("<abcd") == 3);
    CHECK(first("<abca") == 2);
    CHECK(first("<aac") == 1);
    CHECK(first("<c<b") == 4);
    CHECK(names.next("<c<", 0).at == 3);
}

TEST_CASE("streaming never returns half a character, and loses nothing") {
    auto const t = small_tokenizer();
    std::mt19937 random(11);
    for (int round = 0; round < 500; ++round) {
        std::vector<token> ids;
        for (auto length = random() % 30; length > 0; --length)
            ids.push_back(static_cast<token>(random() % static_cast<unsigned>(t.ordinary() + 20)));
        stream_decoder stream(t);
        std::string whole;
        for (auto const id : ids) {
            auto const part = stream.push(id);
            CHECK(llamavision::tokens::valid_prefix(part) == part.size());
            whole += part;
        }
        whole += stream.finish();
        CHECK(whole == t.decode(ids));
    }
    stream_decoder quiet(t, true);
    CHECK(quiet.push(t.eot()).empty());
    CHECK(quiet.push(t.encode("a")[0]) == "a");
}
