// SPDX-License-Identifier: Apache-2.0
// Text models (LlamaForCausalLM) in Hugging Face's form: their config.json, their names, a head that is the embedding.
#include <llamavision/checkpoint/adapter/adapter.hpp>
#include <llamavision/checkpoint/form/hugging_face/config.hpp>
#include <llamavision/checkpoint/write/config.hpp>
#include <llamavision/config/differences.hpp>
#include <llamavision/config/llama_3_2.hpp>

#include "../text_models.hpp"

#include <cstdint>

using namespace llamavision;
using namespace llamavision::checkpoint;
using namespace text_models;
using nlohmann::json;

namespace {

json const llama_3_2_1b = json::parse(R"({"architectures": ["LlamaForCausalLM"], "attention_bias": false,
    "attention_dropout": 0.0, "bos_token_id": 128000, "eos_token_id": [128001, 128008, 128009], "head_dim": 64,
    "hidden_act": "silu", "hidden_size": 2048, "initializer_range": 0.02, "intermediate_size": 8192,
    "max_position_embeddings": 131072, "mlp_bias": false, "model_type": "llama", "num_attention_heads": 32,
    "num_hidden_layers": 16, "num_key_value_heads": 8, "pretraining_tp": 1, "rms_norm_eps": 1e-05,
    "rope_scaling": {"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
    "original_max_position_embeddings": 8192, "rope_type": "llama3"}, "rope_theta": 500000.0,
    "tie_word_embeddings": true, "torch_dtype": "bfloat16", "transformers_version": "4.45.0.dev0", "use_cache": true,
    "vocab_size": 128256})");

template <class E>
std::string refused(char const* pointer, json const& value) {
    auto document = llama_3_2_1b;
    document[json::json_pointer(pointer)] = value;
    return message_of<E>([&] { return read_config(document, "config.json"); });
}

} // namespace

TEST_CASE("config.json of Llama 3.2 1B") {
    auto const read = read_config(llama_3_2_1b, "config.json");
    CHECK(read.values.kind == config::family::llama);
    CHECK(read.values.vision == config::vision_numbers{});
    auto const& t = read.values.text;
    CHECK(t.width == 2048);
    CHECK(t.mlp == 8192);
    CHECK(t.heads == 32);
    CHECK(t.kv_heads == 8);
    CHECK(t.layers == 16);
    CHECK(t.cross_layers.empty());
    CHECK(t.vocabulary == 128256);
    CHECK(t.context == 131072);
    CHECK(t.norm_eps == 1e-5);
    CHECK(t.rope == config::rope_numbers{500000.0, true, 32.0, 1.0, 4.0, 8192});
    CHECK(t.tied_head);
    CHECK(read.text_alone);
    CHECK(read.unstated.empty());
    CHECK(read.warnings.empty());
    CHECK(read.stop_ids == std::vector<std::int32_t>{128001, 128008, 128009});
    CHECK(read.bos == 128000);
    CHECK_FALSE(read.pad);
    CHECK(read.dtype == "bfloat16");
    CHECK(read.transformers_version == "4.45.0.dev0");
}

TEST_CASE("a text model's config.json as transformers 5 writes it, and one that says little") {
    auto newer = llama_3_2_1b;
    newer["rope_parameters"] = newer["rope_scaling"];
    newer["rope_parameters"]["rope_theta"] = 500000.0;
    for (char const* const key : {"rope_scaling", "rope_theta", "torch_dtype"}) newer.erase(key);
    newer["dtype"] = "bfloat16";
    newer["transformers_version"] = "5.23.0";
    auto const read = read_config(newer, "config.json");
    CHECK(read.values == read_config(llama_3_2_1b, "config.json").values);
    CHECK(read.dtype == "bfloat16");
    CHECK(read.warnings.empty()); // transformers 4.56 changed the tower alone

    // LlamaConfig() of transformers 4.54
    auto const silent = read_config(json{{"model_type", "llama"}}, "config.json").values.text;
    CHECK(silent.width == 4096);
    CHECK(silent.mlp == 11008);
    CHECK(silent.layers == 32);
    CHECK(silent.heads == 32);
    CHECK(silent.kv_heads == 32);
    CHECK(silent.vocabulary == 32000);
    CHECK(silent.context == 2048);
    CHECK(silent.norm_eps == 1e-6);
    CHECK(silent.rope.theta == 10000.0);
    CHECK_FALSE(silent.rope.scaled);
    CHECK_FALSE(silent.tied_head);
}

TEST_CASE("what a text model's config.json asks for and this library does not do is refused by name") {
    struct row {
        char const* pointer;
        json value;
        char const* said;
    };
    for (row const& r :
         {row{"/attention_bias", true, "attention_bias: true is not supported"},
          row{"/mlp_bias", true, "mlp_bias: true is not supported"},
          row{"/head_dim", 128, "head_dim: 128 is not hidden_size over num_attention_heads"},
          row{"/hidden_act", "gelu", "hidden_act \"gelu\" is not supported, \"silu\" is"},
          row{"/rope_scaling/rope_type", "yarn", "rope_scaling.rope_type \"yarn\" is not supported"},
          row{"/partial_rotary_factor", 0.5, "partial_rotary_factor: other than 1 is not supported"},
          row{"/rope_scaling/partial_rotary_factor", 0.5, "rope_scaling.partial_rotary_factor: other than 1"},
          row{"/model_type", "mistral", "model_type is \"mistral\", but this library runs \"mllama\""}}) {
        CAPTURE(r.pointer);
        std::string const said = refused<mismatch_error>(r.pointer, r.value);
        CAPTURE(said);
        CHECK(contains(said, r.said));
    }
    for (row const& r : {row{"/num_attention_heads", 24, "num_attention_heads 24 does not divide hidden_size 2048"},
                         row{"/num_key_value_heads", 5, "num_key_value_heads 5 does not divide num_attention_heads 32"},
                         row{"/rope_scaling/low_freq_factor", 4, "low_freq_factor must be less than high_freq_factor"},
                         row{"/rope_scaling/factor", 0, "rope_scaling.factor: expected a positive number, found 0"},
                         row{"/tie_word_embeddings", "yes", "tie_word_embeddings: expected true or false"},
                         row{"/num_hidden_layers", 1000000, "num_hidden_layers: expected at most 10000"},
                         row{"/eos_token_id", -2, "eos_token_id: expected a non-negative integer"}}) {
        CAPTURE(r.pointer);
        auto document = llama_3_2_1b;
        document.erase("head_dim");
        document[json::json_pointer(r.pointer)] = r.value;
        std::string const said = message_of<format_error>([&] { return read_config(document, "config.json"); });
        CAPTURE(said);
        CHECK(contains(said, r.said));
    }
    auto foreign = llama_3_2_1b;
    foreign["auto_map"] = {{"AutoModelForCausalLM", "modeling_x.X"}};
    auto const read = read_config(foreign, "config.json");
    REQUIRE(read.warnings.size() == 1);
    CHECK(contains(read.warnings.front(), "auto_map"));
}

TEST_CASE_TEMPLATE("a text model's folder", C, tied, untied) {
    auto const& read = reference<C>();
    CHECK(config::differences(read.model->values, config::numbers_of<C>()).empty());
    CHECK(read.warnings.empty());
    CHECK(read.generation.stop_ids == std::vector<std::int32_t>{2, 3, 4});
    CHECK(read.tensors.tensors.size() == 2 + 9 * C::text::layers + (C::text::tied_head ? 0 : 1));
    CHECK(read.tensors.tensors.contains("model.embed_tokens.weight"));
    CHECK(read.tensors.tensors.contains("model.layers.1.self_attn.q_proj.weight"));
    CHECK(read.tensors.tensors.contains("model.norm.weight"));
    CHECK(read.tensors.tensors.contains("lm_head.weight") == !C::text::tied_head);

    // A config.json written from the numbers is read as the same numbers.
    auto const text = config_text(*read.model, read.generation, dtype::bf16);
    auto const again = read_config(parse_json(text, "again"), "again");
    CHECK(again.values == read.model->values);
    CHECK(again.stop_ids == read.model->stop_ids);
    CHECK(again.text_alone);
}

TEST_CASE("numbers of text models and of models that see are told apart") {
    auto const differ =
        config::differences(reference<tied>().model->values, config::numbers_of<llama_3_2_11b_vision>());
    REQUIRE(differ.size() == 1);
    CHECK(differ.front() == "model_type: the file says \"llama\", the program was built for \"mllama\"");
    auto changed = config::numbers_of<tied>();
    changed.text.tied_head = false;
    CHECK(config::differences(reference<tied>().model->values, changed)
          == std::vector<std::string>{"text.tied_head: the file says yes, the program was built for no"});
    changed = config::numbers_of<untied>();
    changed.text.cross_layers = {1};
    CHECK(config::contradictions(changed)
          == std::vector<std::string>{"cross_attention_layers: a text model has nothing that they could look at"});
}

TEST_CASE("a copy of the embedding as the head of a tied model is left out, any other head refused") {
    copy const folder("llama_tied");
    auto all = reference<tied>().tensors;
    auto const& embedding = all.tensors.at("model.embed_tokens.weight");
    all.tensors["lm_head.weight"] = embedding;
    write_weights(folder.path(), all);
    check_same(open(folder.path()).tensors, reference<tied>().tensors);

    auto other = content(embedding);
    other.back() ^= std::byte{1};
    all.tensors["lm_head.weight"].bytes = other;
    write_weights(folder.path(), all);
    CHECK(contains(fault<mismatch_error>(folder.path()), "config.json says tie_word_embeddings, but lm_head.weight is "
                                                         "not model.embed_tokens.weight"));
    auto const found = open(folder.path(), {}, faults::collected);
    CHECK(found.problems.size() == 1);

    folder.state("tie_word_embeddings", false);
    CHECK(content(open(folder.path()).tensors.tensors.at("lm_head.weight")) == other);
}

TEST_CASE("a LoRA adapter changes a text model's matrices") {
    temporary_folder const folder;
    folder.write("adapter_config.json", R"({"peft_type": "LORA", "r": 1, "lora_alpha": 2})");
    std::vector<float> const a(36, 0.5f), b(12, 0.25f);
    std::string const module = "base_model.model.model.layers.2.self_attn.v_proj.";
    write_safetensors(
        folder.path() / "adapter_model.safetensors",
        std::vector<tensor_to_write>{{module + "lora_A.weight", dtype::f32, {1, 36}, std::as_bytes(std::span(a)), {}},
                                     {module + "lora_B.weight", dtype::f32, {12, 1}, std::as_bytes(std::span(b)), {}}});
    auto const merged = merge_adapter(reference<untied>().tensors, open_adapter(folder.path()));
    CHECK(content(merged.tensors.at("model.layers.2.self_attn.v_proj.weight"))
          != content(reference<untied>().tensors.tensors.at("model.layers.2.self_attn.v_proj.weight")));
    CHECK(content(merged.tensors.at("model.layers.1.self_attn.v_proj.weight"))
          == content(reference<untied>().tensors.tensors.at("model.layers.1.self_attn.v_proj.weight")));
}
