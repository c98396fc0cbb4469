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

#include <llamavision/config/tiny.hpp>
#include <llamavision/runtime/chat.hpp>
#include <llamavision/runtime/load.hpp>

#include "../../examples/llamavision/scene.hpp"

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
    ask_options options = c.defaults();
    options.answer.sampling.greedy = true;
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
    std::vector<token> const stops = bundled().manners().answers.stop_ids;
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
