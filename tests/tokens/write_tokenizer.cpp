// SPDX-License-Identifier: Apache-2.0
// A tokenizer written as each of its files is read back as the same.
#include <doctest/doctest.h>
#include <filesystem>
#include <llamavision/tokens/tokenizer.hpp>
#include <llamavision/tokens/write_tokenizer.hpp>
#include <string>
#include <vector>

using namespace llamavision::tokens;

namespace {

tokenizer_contents tiny() {
    return read_tokenizer(std::filesystem::path(LLAMAVISION_SOURCE_DIR) / "examples/tiny/checkpoint");
}

} // namespace

TEST_CASE("base64 is the inverse of its reader, whatever the length") {
    std::string bytes;
    for (int length = 0; length < 70; ++length) {
        std::string back;
        if (length > 0) {
            CHECK(detail::decode_base64(detail::encode_base64(bytes), back));
            CHECK(back == bytes);
        }
        bytes += static_cast<char>(length * 37 + 200);
    }
    CHECK(detail::encode_base64("Man") == "TWFu");
    CHECK(detail::encode_base64("M") == "TQ==");
}

TEST_CASE("special names are the published ones") {
    auto const names = hugging_face_special_names();
    REQUIRE(names.size() == 257);
    auto const contents = tiny();
    for (std::size_t i = 0; i < names.size(); ++i)
        CHECK(contents.specials.find(names[i]) == static_cast<llamavision::token>(contents.vocabulary.size() + i));
}

TEST_CASE("written as either file and read back, a vocabulary is the same") {
    auto const before = tiny();
    auto const model = detail::read_tiktoken(tokenizer_model_text(before.vocabulary), "model");
    auto const json =
        detail::read_tokenizer_json(tokenizer_json_text(model.vocabulary, hugging_face_special_names()), "json");
    for (auto const* const all_tokens : {&model.vocabulary, &json.vocabulary}) {
        REQUIRE(all_tokens->size() == before.vocabulary.size());
        for (vocabulary::rank r = 0; r < all_tokens->size(); ++r) CHECK((*all_tokens)[r] == before.vocabulary[r]);
    }
    CHECK(json.specials.names() == before.specials.names());
}

TEST_CASE("merges: all ways to make a token, by rank") {
    std::string bytes;
    std::vector<std::uint32_t> ends;
    auto const add = [&](std::string_view text) {
        bytes += text;
        ends.push_back(static_cast<std::uint32_t>(bytes.size()));
    };
    for (int byte = 0; byte < 256; ++byte) add(std::string(1, static_cast<char>(byte)));
    for (char const* const text : {"ab", "bc", "abc", "xyz"}) add(text);
    auto const merges = detail::merges_of({bytes, ends, "test"});
    using pairs = std::vector<std::pair<vocabulary::rank, vocabulary::rank>>;
    CHECK(merges == pairs{{'a', 'b'}, {'b', 'c'}, {'a', 257}, {256, 'c'}});
}
