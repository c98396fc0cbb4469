// SPDX-License-Identifier: Apache-2.0
// Configurations that are written and read are the same numbers; those that a form cannot hold are refused.
#include <llamavision/checkpoint/write/config.hpp>
#include <llamavision/checkpoint/write/params.hpp>
#include <llamavision/config/configuration.hpp>
#include <llamavision/config/differences.hpp>
#include <llamavision/config/llama_3_2.hpp>
#include <llamavision/config/tiny.hpp>

#include "../../support/message.hpp"

#include <doctest/doctest.h>
#include <filesystem>
#include <string>

using namespace llamavision;
using namespace llamavision::checkpoint;

namespace {

model_config read_back(std::string const& text) { return read_config(parse_json(text, "config"), "config"); }

std::vector<config::numbers> several() {
    return {config::numbers_of<llama_3_2_11b_vision>(), config::numbers_of<llama_3_2_11b_vision_448>(),
            config::numbers_of<llama_3_2_90b_vision>(), config::numbers_of<tiny>(),
            read_config(std::filesystem::path(LLAMAVISION_TEST_DATA) / "golden/p1/hf/config.json").values};
}

} // namespace

TEST_CASE("config.json, generation_config.json and preprocessor_config.json are read back as they were") {
    for (auto const& n : several()) {
        model_config model;
        model.values = n;
        model.image_token = static_cast<std::int32_t>(n.text.vocabulary);
        generation_defaults generation;
        generation.do_sample = true;
        generation.temperature = 0.6;
        generation.top_p = 0.9;
        generation.top_k = 7;
        generation.repetition_penalty = 1.25;
        generation.stop_ids = {1, 2};
        generation.pad = 3;
        auto const back = read_back(config_text(model, generation, dtype::f16));
        CHECK(config::differences(back.values, n).empty());
        CHECK(back.values.text.rope.scaled == n.text.rope.scaled);
        CHECK(back.image_token == model.image_token);
        CHECK(back.stop_ids == generation.stop_ids);
        CHECK(back.pad == 3);
        CHECK(!back.bos);
        CHECK(back.dtype == "float16");
        auto const g = read_generation(parse_json(generation_text(generation), "g"), "g");
        CHECK(g.do_sample);
        CHECK(g.temperature == 0.6);
        CHECK(g.top_p == 0.9);
        CHECK(g.top_k == 7);
        CHECK(g.repetition_penalty == 1.25);
        CHECK(g.stop_ids == generation.stop_ids);
        auto const document = parse_json(preprocessor_text(published_preprocessor(n.vision.tile, 4)), "p");
        auto const p = read_preprocessor(json_view(document, "p"));
        CHECK(p.tile == n.vision.tile);
        CHECK(p.mean == published_preprocessor(1, 1).mean);
    }
    model_config plain;
    plain.values = config::numbers_of<tiny>();
    plain.image_token = static_cast<std::int32_t>(plain.values.text.vocabulary);
    plain.values.text.rope.scaled = false;
    plain.values.text.rope.theta = 10000;
    auto const back = read_back(config_text(plain, {}, dtype::bf16));
    CHECK(!back.values.text.rope.scaled);
    CHECK(back.values.text.rope.theta == 10000);
}

TEST_CASE("the type in a config.json is changed wherever it stands, and nothing else") {
    std::string const text = R"({"torch_dtype": "bfloat16", "x": 1, "text_config": {"dtype": "bfloat16"}, "y": [2]})";
    CHECK(parse_json(config_with_type(text, dtype::f32), "c")
          == parse_json(R"({"torch_dtype": "float32", "x": 1, "text_config": {"dtype": "float32"}, "y": [2]})", "c"));
}

TEST_CASE("params.json is read back as the same text model") {
    for (auto n : several()) {
        auto const back = checkpoint::read_params(parse_json(params_text(n), "params"), "params").values;
        n.text.context = back.text.context; // params.json does not say it
        CHECK(n.text.norm_eps == back.text.norm_eps);
        CHECK(back.text == n.text);
        CHECK(back.vision.tile == n.vision.tile);
    }
    auto const published = parse_json(params_text(config::numbers_of<llama_3_2_90b_vision>()), "params");
    CHECK(published["multiple_of"] == 4096);
    CHECK(published["ffn_dim_multiplier"] == 1.3);
    CHECK(published["n_layers"] == 80);
    CHECK(
        unsaid_in_params(read_config(std::filesystem::path(LLAMAVISION_TEST_DATA) / "golden/p1/hf/config.json").values)
            .size()
        == 1);
}

TEST_CASE("what Meta's form has no words for is refused") {
    auto n = config::numbers_of<tiny>();
    n.text.cross_layers = {0, 1};
    CHECK(contains(message_of<mismatch_error>([&] { static_cast<void>(params_text(n)); }), "cross-attention layers"));
    n = config::numbers_of<tiny>();
    n.text.rope.factor = 32;
    CHECK(contains(message_of<mismatch_error>([&] { static_cast<void>(params_text(n)); }), "rotary frequencies"));
}
