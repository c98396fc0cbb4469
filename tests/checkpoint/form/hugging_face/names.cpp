// SPDX-License-Identifier: Apache-2.0
// Both spellings of Hugging Face's names, and an adapter's.
#include <llamavision/checkpoint/form/hugging_face/names.hpp>

#include "../../../support/message.hpp"

#include <doctest/doctest.h>

using namespace llamavision;
using namespace llamavision::checkpoint;

TEST_CASE("the newer spelling becomes the hub's") {
    CHECK(canonical_name("model.language_model.layers.3.cross_attn.q_norm.weight")
          == "language_model.model.layers.3.cross_attn.q_norm.weight");
    CHECK(canonical_name("model.language_model.embed_tokens.weight") == "language_model.model.embed_tokens.weight");
    CHECK(canonical_name("lm_head.weight") == "language_model.lm_head.weight");
    CHECK(canonical_name("model.vision_model.class_embedding") == "vision_model.class_embedding");
    CHECK(canonical_name("model.multi_modal_projector.bias") == "multi_modal_projector.bias");
    CHECK(canonical_name("model.layers.0.mlp.up_proj.weight") == "language_model.model.layers.0.mlp.up_proj.weight");
    CHECK(canonical_name("model.embed_tokens.weight") == "language_model.model.embed_tokens.weight");
    CHECK(canonical_name("model.norm.weight") == "language_model.model.norm.weight");
    CHECK(canonical_name("vision_tower.layernorm_pre.bias") == "vision_model.layernorm_pre.bias"); // mlx-vlm
}

TEST_CASE("the hub's spelling and strangers stay") {
    for (char const* const name :
         {"language_model.model.norm.weight", "language_model.lm_head.weight", "vision_model.layernorm_pre.bias",
          "multi_modal_projector.weight", "model.layer.0.mlp.up_proj.weight", "", "model.", "lm_headx"})
        CHECK(canonical_name(name) == name);
}

TEST_CASE("tensors are renamed one by one, a name in both spellings is refused") {
    named_tensors both;
    both.tensors["lm_head.weight"].shape = {1};
    both.tensors["vision_model.class_embedding"].shape = {2};
    auto const renamed = with_canonical_names(both, "f");
    CHECK(renamed.tensors.at("language_model.lm_head.weight").shape.front() == 1);
    CHECK(renamed.tensors.at("vision_model.class_embedding").shape.front() == 2);

    both.tensors["language_model.lm_head.weight"] = {};
    CHECK(message_of<format_error>([&] { return with_canonical_names(both, "f"); })
          == "f: the tensor \"language_model.lm_head.weight\" occurs in two spellings");
}

TEST_CASE("an adapter is called by its name") {
    named_tensors adapter;
    adapter.tensors["base_model.model.language_model.model.layers.0.self_attn.q_proj.lora_A.weight"] = {};
    CHECK(contains(message_of<format_error>([&] { return with_canonical_names(adapter, "f"); }), "adapter (PEFT)"));
    CHECK(is_adapter_name("language_model.model.layers.0.self_attn.q_proj.lora_B.weight"));
    CHECK_FALSE(is_adapter_name("language_model.model.layers.0.self_attn.q_proj.weight"));
}
