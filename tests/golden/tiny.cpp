// SPDX-License-Identifier: Apache-2.0
// The bundled model on a thousand held-out scenes: in Hugging Face's reading every greedy token is
// transformers 4.54.1's, and in the default reading at least 95 of 100 answers are right to the letter.
#include <algorithm>
#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <llamavision/checkpoint/form/gguf/own.hpp>
#include <llamavision/config/tiny.hpp>
#include <llamavision/runtime/conversation/chat.hpp>
#include <llamavision/runtime/load.hpp>

#include "../../examples/llamavision/scene.hpp"
#include "../checkpoint/temporary_folder.hpp"

using namespace llamavision;

namespace {

model const& bundled() {
    static model const m = load<tiny>(LLAMAVISION_SOURCE_DIR "/examples/tiny/checkpoint");
    return m;
}

struct reply {
    std::string text;
    std::vector<token> ids;
};

reply ask(chat& c, scenes::scene const& scene) {
    c.reset();
    std::vector<image::pixels> pictures;
    if (scene.width > 0) pictures.push_back({scene.width, scene.height, scene.rgb});
    ask_options options;
    options.sampling.temperature = 0;
    answer const a = c.ask(pictures, scene.question, options);
    std::string text = a.text();
    return {text, a.ids()};
}

} // namespace

TEST_CASE("a thousand answers in Hugging Face's reading are transformers' own, token by token") {
    std::ifstream file(LLAMAVISION_TEST_DATA "/golden/tiny_hf_tokens.json");
    nlohmann::json const golden = nlohmann::json::parse(file);
    auto const seed = golden.at("seed").get<std::uint64_t>();
    std::vector<std::vector<token>> const expected = golden.at("tokens");
    REQUIRE(expected.size() == 1000);
    chat c(bundled(), {.session = {.reading = parity::hugging_face}});
    std::vector<token> const stops = bundled().defaults().answers.stop_ids;
    std::size_t same = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        std::vector<token> wanted = expected[i];
        if (!wanted.empty() && std::find(stops.begin(), stops.end(), wanted.back()) != stops.end()) wanted.pop_back();
        same += ask(c, scenes::draw(seed, i)).ids == wanted;
    }
    CHECK(same == expected.size());
}

TEST_CASE("at least 95 of 100 held-out questions are answered exactly right") {
    chat c(bundled());
    std::size_t right = 0;
    for (std::uint64_t i = 0; i < 1000; ++i) {
        scenes::scene const scene = scenes::draw(20261124, i);
        right += ask(c, scene).text == scene.answer;
    }
    MESSAGE(right << " of 1000 right");
    CHECK(right >= 950);
}

TEST_CASE("as a GGUF file, this library's or ollama's, the bundled model says the same") {
    using namespace checkpoint;
    std::filesystem::path const source = LLAMAVISION_SOURCE_DIR "/examples/tiny/checkpoint";
    temporary_folder const folder;
    opened const read = open(source);
    write_gguf(folder.path() / "own.gguf", own_gguf(read.tensors, read, small_files_in(source)));

    gguf_to_write ollama = hugging_face_to_gguf(read.tensors, *read.model, gguf_dialect::ollama);
    nlohmann::json const words = nlohmann::json::parse(text_of_file(source / "tokenizer.json"));
    std::vector<std::string> names(words.at("model").at("vocab").size() + words.at("added_tokens").size());
    std::vector<std::int32_t> types(names.size(), 1);
    for (auto const& [name, id] : words.at("model").at("vocab").items()) names.at(id) = name;
    for (auto const& entry : words.at("added_tokens")) {
        names.at(entry.at("id")) = entry.at("content");
        types.at(entry.at("id")) = 3;
    }
    while (names.back().empty()) { // specials that stand in both lists
        names.pop_back();
        types.pop_back();
    }
    ollama.keys.emplace_back("tokenizer.ggml.model", std::string("gpt2"));
    ollama.keys.emplace_back("tokenizer.ggml.tokens", names);
    ollama.keys.emplace_back("tokenizer.ggml.token_type", types);
    std::vector<std::int32_t> const stops(read.generation.stop_ids.begin(), read.generation.stop_ids.end());
    ollama.keys.emplace_back("tokenizer.ggml.eos_token_ids", stops);
    write_gguf(folder.path() / "ollama.gguf", ollama);

    load_options options;
    options.chat = bundled().defaults().chat.form; // ollama's files have no template that says so
    std::size_t warnings = 0;
    options.on_warning = [&](std::string const&) { ++warnings; };
    model const own = load<tiny>(folder.path() / "own.gguf", options);
    CHECK(warnings == 0);
    model const other = load<tiny>(folder.path() / "ollama.gguf", options);
    CHECK(warnings == 1); // the dialect
    CHECK(own.defaults().chat.form == bundled().defaults().chat.form);
    CHECK(own.defaults().pictures.tile == bundled().defaults().pictures.tile);
    CHECK(own.defaults().answers.stop_ids == bundled().defaults().answers.stop_ids);
    chat a(bundled()), b(own), c(other);
    for (std::uint64_t i = 0; i < 20; ++i) {
        scenes::scene const scene = scenes::draw(20261124, i);
        reply const expected = ask(a, scene);
        CHECK(ask(b, scene).ids == expected.ids);
        CHECK(ask(c, scene).ids == expected.ids);
    }
}
