// SPDX-License-Identifier: Apache-2.0
// What small files ask for and is not obeyed is named; what transformers writes by itself is not.
#include <llamavision/checkpoint/form/hugging_face/chat_template.hpp>
#include <llamavision/checkpoint/form/hugging_face/config.hpp>
#include <llamavision/checkpoint/form/hugging_face/known_keys.hpp>

#include "../../../support/message.hpp"
#include "../../temporary_folder.hpp"

#include <doctest/doctest.h>
#include <filesystem>
#include <string>
#include <vector>

using namespace llamavision;
using namespace llamavision::checkpoint;
using nlohmann::json;

TEST_CASE("no key that transformers writes by itself is named") {
    auto const all = read_json(std::filesystem::path(LLAMAVISION_TEST_DATA "/config/transformers_keys.json"), {});
    for (char const* const family : {"mllama", "llama"}) {
        CAPTURE(family);
        REQUIRE(all.at(family).size() > 50);
        CHECK(config_warning(all.at(family), "config.json", true).empty());
        CHECK(config_warning(all.at(family), "config.json", false).empty());
    }
}

TEST_CASE("a key that is not known, or has a value that would change answers, is named with its place") {
    json document{{"text_config", {{"hidden_size", 64}, {"query_scale", 2.5}, {"mlp_bias", true}}},
                  {"vision_config", {{"window", 7}, {"attention_bias", false}, {"pruned_heads", json::object()}}},
                  {"_attn_implementation", "eager"},
                  {"layer_drop", "x"}};
    CHECK(config_warning(document, "config.json", false)
          == "config.json: is not obeyed in: layer_drop \"x\", text_config.mlp_bias true, text_config.query_scale 2.5, "
             "vision_config.window 7; answers may be others than this file asks for");
    CHECK(config_warning(json::object(), "config.json", true).empty());
    CHECK(config_warning(json::array(), "config.json", true).empty());
    CHECK(config_warning({{"text_config", 3}}, "config.json", true).empty());
}

TEST_CASE("sampling in config.json counts where there is no generation_config.json") {
    json const document{{"text_config", {{"temperature", 0.3}, {"top_k", 50}, {"no_repeat_ngram_size", 3}}}};
    CHECK(config_warning(document, "c", false).empty());
    std::string const said = config_warning(document, "c", true);
    CHECK(contains(said, "text_config.temperature 0.3"));
    CHECK(contains(said, "text_config.no_repeat_ngram_size 3"));
    CHECK(!contains(said, "top_k"));

    temporary_folder const folder;
    json config = read_json(std::filesystem::path(LLAMAVISION_TEST_DATA "/config/p1_4_45.json"), {});
    config["text_config"]["temperature"] = 0.3;
    folder.write("config.json", config.dump());
    CHECK(read_config(folder.path() / "config.json").warnings.size() == 1);
    folder.write("generation_config.json", "{}");
    CHECK(read_config(folder.path() / "config.json").warnings.empty());
}

TEST_CASE("what tokenizer_config.json asks for and tokenizer.json decides") {
    temporary_folder const folder;
    std::vector<std::string> warnings;
    auto const said = [&](char const* text) {
        folder.write("tokenizer_config.json", text);
        warnings.clear();
        static_cast<void>(find_chat_template(folder.path(), &warnings));
        return warnings.empty() ? std::string() : warnings.front();
    };
    // As the published models have it.
    CHECK(said(R"({"added_tokens_decoder": {"128000": {"content": "<|begin_of_text|>", "special": true}},
                  "bos_token": "<|begin_of_text|>", "clean_up_tokenization_spaces": true, "eos_token": "<|eot_id|>",
                  "chat_template": "x", "model_input_names": ["input_ids", "attention_mask"],
                  "model_max_length": 131072, "pad_token": "<|finetune_right_pad_id|>",
                  "processor_class": "MllamaProcessor", "tokenizer_class": "PreTrainedTokenizerFast"})")
              .empty());
    CHECK(contains(said(R"({"add_eos_token": true})"), "tokenizer_config.json: is not obeyed in: add_eos_token true"));
    CHECK(contains(said(R"({"add_bos_token": false, "padding_side": "left"})"), "add_bos_token false"));
    CHECK(contains(said(R"({"normalise": "nfkc"})"), "normalise \"nfkc\""));
    CHECK(said(R"({"add_bos_token": true})").empty());
    CHECK(find_chat_template(folder.path()).text.empty()); // nobody listens
}
