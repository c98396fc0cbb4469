// SPDX-License-Identifier: Apache-2.0
// config.json in the spellings of all releases, and files that are refused.
#include <llamavision/checkpoint/form/hugging_face/config.hpp>

#include "../../../support/message.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

using namespace llamavision;
using namespace llamavision::checkpoint;
using namespace llamavision::config;
using nlohmann::json;

namespace {

json sample() { return read_json(LLAMAVISION_TEST_DATA "/config/p1_4_45.json"); }

/// The message for the sample with `value` at `pointer`, an RFC 6901 path.
template <class E>
std::string fault(char const* pointer, json value) {
    auto document = sample();
    document[json::json_pointer(pointer)] = std::move(value);
    return message_of<E>([&] { return read_config(document, "config.json"); });
}

model_config with(char const* pointer, json value) {
    auto document = sample();
    document[json::json_pointer(pointer)] = std::move(value);
    return read_config(document, "config.json");
}

} // namespace

TEST_CASE("a file that transformers 4.45 wrote") {
    auto const result = read_config(std::filesystem::path(LLAMAVISION_TEST_DATA "/config/p1_4_45.json"));
    auto const& v = result.values.vision;
    CHECK(v.width == 48);
    CHECK(v.mlp == 192);
    CHECK(v.heads == 3);
    CHECK(v.layers == 6);
    CHECK(v.global_layers == 2);
    CHECK(v.tile == 70);
    CHECK(v.patch == 14);
    CHECK(v.channels == 3);
    CHECK(v.tiles == 4);
    CHECK(v.taps == std::vector<std::size_t>{1, 2, 4, 5});
    CHECK(v.aspect_ratios.size() == 8);
    CHECK(v.norm_eps == 1e-5);
    auto const& t = result.values.text;
    CHECK(t.width == 64);
    CHECK(t.mlp == 160);
    CHECK(t.heads == 4);
    CHECK(t.kv_heads == 2);
    CHECK(t.layers == 8);
    CHECK(t.cross_layers == std::vector<std::size_t>{2, 6});
    CHECK(t.vocabulary == 512);
    CHECK(t.context == 131072);
    CHECK(t.norm_eps == 1e-5);
    CHECK(t.rope == rope_numbers{});
    CHECK(result.image_token == 512);
    CHECK(result.stop_ids == std::vector<std::int32_t>{2, 3, 4});
    CHECK(result.bos == 1);
    CHECK(result.pad == 5);
    CHECK(result.dtype == "bfloat16");
    CHECK(result.transformers_version == "4.45.0.dev0");
    CHECK_FALSE(result.taps_after_layer_suspected);
    CHECK(result.warnings.empty());
}

TEST_CASE("the spelling of transformers 5 says the same") {
    auto document = sample();
    auto& text = document["text_config"];
    text["rope_parameters"] = text["rope_scaling"];
    text["rope_parameters"]["rope_theta"] = text["rope_theta"];
    text.erase("rope_scaling");
    text.erase("rope_theta");
    text["dtype"] = "bfloat16";
    text.erase("torch_dtype");
    document["dtype"] = "bfloat16";
    document.erase("torch_dtype");
    document["image_token_id"] = document["image_token_index"];
    document.erase("image_token_index");
    auto& vision = document["vision_config"];
    vision["num_attention_heads"] = vision["attention_heads"];
    vision.erase("attention_heads");
    document["transformers_version"] = "5.23.0";
    auto const result = read_config(document, "config.json"), older = read_config(sample(), "config.json");
    CHECK(result.values == older.values);
    CHECK(result.image_token == older.image_token);
    CHECK(result.dtype == older.dtype);
    CHECK(result.taps_after_layer_suspected);
    REQUIRE(result.warnings.size() == 1);
    CHECK(contains(result.warnings.front(), "one layer later"));
}

TEST_CASE("RoPE in its spellings") {
    CHECK_FALSE(with("/text_config/rope_scaling", nullptr).values.text.rope.scaled);
    CHECK_FALSE(with("/text_config/rope_scaling", json{{"rope_type", "default"}}).values.text.rope.scaled);
    auto document = sample();
    document["text_config"].erase("rope_theta");
    document["text_config"]["rope_scaling"]["type"] = "llama3"; // before rope_type
    document["text_config"]["rope_scaling"].erase("rope_type");
    CHECK(read_config(document, "f").values.text.rope == rope_numbers{});
    document["text_config"]["rope_theta"] = 10000;
    CHECK(read_config(document, "f").values.text.rope.theta == 10000.0);

    CHECK(contains(fault<mismatch_error>("/text_config/rope_scaling/rope_type", "yarn"),
                   R"(rope_scaling.rope_type "yarn" is not supported)"));
    CHECK(contains(fault<format_error>("/text_config/rope_scaling/factor", "8"),
                   R"(rope_scaling.factor: expected a positive number, found "8")"));
    CHECK(contains(fault<format_error>("/text_config/rope_scaling/factor", 0), "positive number"));
    CHECK(
        contains(fault<format_error>("/text_config/rope_scaling/low_freq_factor", 4), "low_freq_factor must be less"));
    CHECK(contains(fault<format_error>("/text_config/rope_theta", -1),
                   "text_config.rope_theta: expected a positive number"));
    CHECK(contains(fault<format_error>("/text_config/rope_parameters", json{{"rope_type", "default"}}),
                   "rope_parameters: contradicts rope_scaling"));
    auto both = sample()["text_config"]["rope_scaling"];
    both["rope_theta"] = 500000.0;
    CHECK(with("/text_config/rope_parameters", both).values.text.rope == rope_numbers{});
    both.erase("factor");
    CHECK(contains(fault<format_error>("/text_config/rope_parameters", both),
                   R"(rope_parameters: the key "factor" is missing)"));
}

TEST_CASE("absent keys mean the 11B base model, as in transformers") {
    auto const result =
        read_config(json::parse(R"({"model_type": "mllama", "text_config": {}, "vision_config": {}})"), "f");
    CHECK(result.values.text.width == 4096);
    CHECK(result.values.text.cross_layers.size() == 8);
    CHECK(result.values.vision.tile == 448);
    CHECK(result.values.vision.taps == std::vector<std::size_t>{3, 7, 15, 23, 30});
    CHECK(result.values.vision.aspect_ratios == all_arrangements(4));
    CHECK(result.image_token == 128256);
    CHECK(result.stop_ids.empty());
    CHECK_FALSE(result.bos);
}

TEST_CASE("ids: an integer, a list, none") {
    CHECK(with("/text_config/eos_token_id", 7).stop_ids == std::vector<std::int32_t>{7});
    CHECK(with("/text_config/eos_token_id", nullptr).stop_ids.empty());
    CHECK(with("/text_config/pad_token_id", nullptr).pad == std::nullopt);
    CHECK(with("/text_config/pad_token_id", -1).pad == std::nullopt);
    CHECK(contains(fault<format_error>("/text_config/eos_token_id", json{2, "x"}),
                   R"(text_config.eos_token_id[1]: expected a non-negative integer, found "x")"));
    CHECK(contains(fault<format_error>("/text_config/bos_token_id", 3e9), "bos_token_id: expected"));
    CHECK(contains(fault<format_error>("/text_config/bos_token_id", 3'000'000'000), "expected at most 2147483647"));
    CHECK(contains(fault<format_error>("/image_token_index", 520),
                   "image_token_index 520 is beyond the embedding's 520 rows"));
    CHECK(with("/image_token_index", 519).image_token == 519);
    CHECK(fault<format_error>("/image_token_index", -1)
          == "config.json: image_token_index: expected a non-negative integer, found -1");
    CHECK(contains(fault<format_error>("/image_token_index", nullptr),
                   "image_token_index is absent, which means 128256, beyond the embedding's 520 rows"));
    CHECK(contains(fault<format_error>("/image_token_id", -1), "image_token_id: expected a non-negative integer"));
}

TEST_CASE("numbers of the wrong kind are named with what was found") {
    for (char const* const key :
         {"/text_config/hidden_size", "/text_config/intermediate_size", "/text_config/num_attention_heads",
          "/text_config/num_key_value_heads", "/text_config/num_hidden_layers", "/text_config/vocab_size",
          "/text_config/max_position_embeddings", "/vision_config/hidden_size", "/vision_config/intermediate_size",
          "/vision_config/attention_heads", "/vision_config/num_hidden_layers", "/vision_config/num_global_layers",
          "/vision_config/image_size", "/vision_config/patch_size", "/vision_config/num_channels",
          "/vision_config/max_num_tiles"}) {
        std::string path = std::string(key).substr(1);
        path.replace(path.find('/'), 1, ".");
        CHECK(fault<format_error>(key, "abc")
              == "config.json: " + path + ": expected a positive integer, found \"abc\"");
        CHECK(fault<format_error>(key, 0) == "config.json: " + path + ": expected a positive integer, found 0");
        CHECK(fault<format_error>(key, -4) == "config.json: " + path + ": expected a positive integer, found -4");
        CHECK(fault<format_error>(key, 2.5) == "config.json: " + path + ": expected a positive integer, found 2.5");
        CHECK(fault<format_error>(key, 2.0) == "config.json: " + path + ": expected a positive integer, found 2.0");
        CHECK(fault<format_error>(key, json::array({14, 14}))
              == "config.json: " + path + ": expected a positive integer, found a list");
        CHECK(contains(fault<format_error>(key, 18446744073709551615u), path + ": expected at most "));
    }
    for (auto const& [value, found] :
         {std::pair<json, char const*>{0, "0"}, {1e300, "1e+300"}, {1e-46, "1e-46"}, {1, "1"}, {"1e-5", "\"1e-5\""}}) {
        CHECK(fault<format_error>("/text_config/rms_norm_eps", value)
              == std::string("config.json: text_config.rms_norm_eps: expected a number from 1e-30 to 0.1, found ")
                     + found);
        CHECK(contains(fault<format_error>("/vision_config/norm_eps", value),
                       "vision_config.norm_eps: expected a number"));
    }
    CHECK(with("/text_config/rms_norm_eps", 1e-12).values.text.norm_eps == 1e-12);
    auto const beyond = json::parse("18446744073709551616"); // 2^64
    CHECK(fault<format_error>("/text_config/hidden_size", beyond)
          == "config.json: text_config.hidden_size: expected a positive integer, found 18446744073709551616");
    CHECK(contains(fault<format_error>("/text_config", 5), "text_config: expected an object, found 5"));
    CHECK(contains(fault<format_error>("/vision_config", nullptr), R"(the key "vision_config" is missing)"));
    CHECK(contains(fault<format_error>("/transformers_version", 5), "transformers_version: expected text"));
}

TEST_CASE("numbers that contradict each other are all named") {
    CHECK(contains(fault<format_error>("/text_config/num_attention_heads", 5),
                   "text_config.num_attention_heads 5 does not divide text_config.hidden_size 64"));
    CHECK(
        contains(fault<format_error>("/text_config/num_key_value_heads", 3), "num_key_value_heads 3 does not divide"));
    CHECK(contains(fault<format_error>("/text_config/num_attention_heads", 64), "odd head width"));
    CHECK(contains(fault<format_error>("/vision_config/attention_heads", 5),
                   "vision_config.attention_heads 5 does not divide"));
    CHECK(contains(fault<format_error>("/vision_config/image_size", 71),
                   "patch_size 14 does not divide vision_config.image_size 71"));
    CHECK(contains(fault<format_error>("/vision_config/intermediate_layers_indices", json{1, 2, 4, 6}),
                   "intermediate_layers_indices: there is no layer 6 among 6"));
    CHECK(contains(fault<format_error>("/vision_config/intermediate_layers_indices", json{1, 2, 2, 5}),
                   "layer 2 is named twice"));
    CHECK(contains(fault<format_error>("/vision_config/intermediate_layers_indices", json{2, 1, 4, 5}), "must ascend"));
    CHECK(contains(fault<format_error>("/vision_config/intermediate_layers_indices", json{-1, 2, 4, 5}),
                   "[0]: expected a non-negative integer"));
    CHECK(contains(fault<format_error>("/vision_config/vision_output_dim", 241),
                   "vision_output_dim is 241, but hidden_size and the number of intermediate layers make it 240"));
    CHECK(contains(fault<format_error>("/vision_config/intermediate_layers_indices", json{1}), "make it 96"));
    CHECK(contains(fault<format_error>("/text_config/cross_attention_layers", json{2, 8}),
                   "cross_attention_layers: there is no layer 8 among 8"));
    CHECK(contains(fault<format_error>("/text_config/cross_attention_layers", json{2, 2}), "layer 2 is named twice"));
    CHECK(contains(fault<format_error>("/text_config/cross_attention_layers", json{0, 1, 2, 3, 4, 5, 6, 7}),
                   "leaves no layer for self-attention"));
    CHECK(with("/text_config/cross_attention_layers", json{6, 2}).values.text.cross_layers
          == std::vector<std::size_t>{2, 6});

    auto document = sample();
    document["text_config"]["num_attention_heads"] = 5;
    document["vision_config"]["image_size"] = 71;
    auto const both = message_of<format_error>([&] { return read_config(document, "config.json"); });
    CHECK(contains(both, "num_attention_heads 5"));
    CHECK(contains(both, "image_size 71"));
}

TEST_CASE("what the library does not run is refused by name") {
    CHECK(contains(fault<mismatch_error>("/model_type", "mistral"),
                   R"(model_type is "mistral", but this library runs "mllama")"));
    CHECK(contains(message_of<format_error>([] { return read_config(json::object(), "f"); }),
                   "f: has neither model_type nor text_config"));
    CHECK(contains(message_of<format_error>([] { return read_config(json::array(), "f"); }),
                   "f: expected an object, found a list"));
    CHECK(contains(fault<mismatch_error>("/text_config/hidden_act", "gelu"),
                   R"(text_config.hidden_act "gelu" is not supported, "silu" is)"));
    CHECK(contains(fault<mismatch_error>("/vision_config/hidden_act", "quick_gelu"), "vision_config.hidden_act"));
    CHECK(contains(fault<mismatch_error>("/text_config/tie_word_embeddings", true), "text_config.tie_word_embeddings"));
    CHECK(with("/vision_config/tie_word_embeddings", true).values
          == read_config(sample(), "f").values); // transformers 4.45 writes it, but does not read it
    CHECK(contains(fault<format_error>("/quantization_config", "int8"), "quantization_config: expected an object"));
    CHECK(contains(fault<format_error>("/quantization_config", json{{"quant_method", 8}}),
                   "quantization_config.quant_method: expected text"));
    CHECK(contains(fault<mismatch_error>("/text_config/head_dim", 32), "text_config.head_dim: 32 is not"));
    CHECK(contains(fault<mismatch_error>("/vision_config/supported_aspect_ratios", json{{1, 1}, {2, 1}}),
                   "vision_config.supported_aspect_ratios: other than"));
    CHECK(contains(fault<mismatch_error>("/vision_config/max_num_tiles", 2), "supported_aspect_ratios"));
    CHECK(contains(fault<format_error>("/vision_config/supported_aspect_ratios", json{{1, 1, 1}}),
                   "expected two numbers"));
}

TEST_CASE("the text model alone says nothing of a tower") {
    json document = sample().at("text_config");
    document["model_type"] = "mllama_text_model";
    auto const result = read_config(document, "f");
    CHECK(result.text_alone);
    CHECK(result.values.text == read_config(sample(), "f").values.text);
    CHECK(result.image_token == static_cast<std::int32_t>(result.values.text.vocabulary));
    CHECK(differences(result.values, read_config(sample(), "f").values, result.unstated).empty());
    CHECK(vision_names().size() == 12); // as many as differences() compares
    document["num_attention_heads"] = 5;
    CHECK(contains(message_of<format_error>([&] { return read_config(document, "f"); }), "num_attention_heads 5"));
    document["hidden_act"] = "gelu";
    CHECK(contains(message_of<mismatch_error>([&] { return read_config(document, "f"); }), "hidden_act"));
}

TEST_CASE("which release wrote the file") {
    CHECK(parse_version("4.45.0.dev0") == version{4, 45});
    CHECK(parse_version("5.23.0") == version{5, 23});
    CHECK(parse_version("v10") == version{10, 0});
    CHECK(parse_version("4.x") == version{4, 0});
    CHECK(parse_version("4.56.0rc1") == version{4, 56});
    CHECK_FALSE(parse_version(""));
    CHECK_FALSE(parse_version("main"));
    CHECK_FALSE(parse_version("99999999999999999999.1"));
    CHECK(*parse_version("4.9") < *parse_version("4.10"));

    CHECK_FALSE(with("/transformers_version", "4.54.1").taps_after_layer_suspected);
    CHECK_FALSE(with("/transformers_version", "4.55.4").taps_after_layer_suspected);
    CHECK(contains(with("/transformers_version", "4.55.4").warnings.front(), "five copies"));
    CHECK(with("/transformers_version", "4.56.0").taps_after_layer_suspected);
    CHECK(contains(with("/transformers_version", "soon").warnings.front(), "not a version"));
    CHECK(with("/transformers_version", nullptr).transformers_version.empty());
}

TEST_CASE("the settings of quantised weights") {
    CHECK_FALSE(read_config(sample(), "f").quantisation);
    auto const gptq = with("/quantization_config", json{{"quant_method", "gptq"}, {"bits", 4}}).quantisation;
    REQUIRE(gptq);
    CHECK(gptq->method == "gptq");
    CHECK(json::parse(gptq->text).at("bits") == 4);
    CHECK(gptq->file == "config.json");
    CHECK(gptq->key == "quantization_config");
    auto const inner = with("/text_config/quantization_config", json{{"quant_method", "awq"}}).quantisation;
    REQUIRE(inner);
    CHECK(inner->key == "text_config.quantization_config");
    auto const mlx = with("/quantization", json{{"group_size", 64}, {"bits", 4}}).quantisation;
    REQUIRE(mlx);
    CHECK(mlx->method == "mlx");
}
