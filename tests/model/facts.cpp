// SPDX-License-Identifier: Apache-2.0
// What a walk says of each weight: which part of the model it is of, its layer, what it is to that layer, and whether
// it is used once for each picture.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <string>

#include <llamavision/model/expected_tensors.hpp>
#include <llamavision/model/llama.hpp>

#include "../support/small.hpp"

namespace lv = llamavision;

namespace {

std::map<std::string, lv::weight_facts> facts_of(auto half) {
    std::map<std::string, lv::weight_facts> all;
    for_each_weight(half, [&](lv::weight_facts const& w) { all[w.name] = w; });
    return all;
}

struct tied {
    static constexpr std::string_view name = "tied";
    struct text : small::text {
        static constexpr std::size_t layers = 2;
        static constexpr bool tied_head = true;
    };
};

} // namespace

TEST_CASE("parts, layers and stages of the tower") {
    auto const all = facts_of(lv::mllama<small>.encoder);
    auto const& patches = all.at("vision_model.patch_embedding.weight");
    CHECK(patches.part == lv::model_part::vision);
    CHECK(patches.kind.role == lv::weight_role::product);
    CHECK_FALSE(patches.layer);
    CHECK(patches.stage == 0);
    auto const& local = all.at("vision_model.transformer.layers.2.mlp.fc1.bias");
    CHECK(local.kind.role == lv::weight_role::bias);
    CHECK(local.stack == 0);
    CHECK(local.layer == 2);
    CHECK(local.stage == 2);
    CHECK(local.name.substr(local.layer_at, 2) == "2.");
    auto const& global = all.at("vision_model.global_transformer.layers.1.gate_ffn");
    CHECK(global.kind.role == lv::weight_role::gate);
    CHECK(global.stack == 1);
    CHECK(global.layer == 1);
    CHECK(global.stage == 4); // after three local layers and a global one
    auto const& post = all.at("vision_model.post_tile_positional_embedding.embedding.weight");
    CHECK(post.kind.role == lv::weight_role::tile_table);
    CHECK(post.stage == 3);
    CHECK(std::all_of(all.begin(), all.end(), [](auto const& entry) { return entry.second.of_image; }));
    auto const& projector = all.at("multi_modal_projector.weight");
    CHECK(projector.part == lv::model_part::projector);
    CHECK(projector.stage == 5);
}

TEST_CASE("parts and layers of the text, and what is used once for each picture") {
    auto const all = facts_of(lv::mllama<small>.reader);
    std::string const layers = "language_model.model.layers.";
    CHECK(all.at("language_model.model.embed_tokens.weight").part == lv::model_part::embedding);
    CHECK(all.at("language_model.model.embed_tokens.weight").kind.role == lv::weight_role::table);
    CHECK(all.at("language_model.lm_head.weight").part == lv::model_part::head);
    CHECK(all.at("language_model.lm_head.weight").stage == 5);
    CHECK(all.at("language_model.model.norm.weight").part == lv::model_part::other);
    CHECK(all.at(layers + "3.mlp.up_proj.weight").part == lv::model_part::self);
    CHECK(all.at(layers + "3.mlp.up_proj.weight").block == 0);
    CHECK(all.at(layers + "4.mlp.up_proj.weight").part == lv::model_part::cross);
    CHECK(all.at(layers + "4.mlp.up_proj.weight").block == 1);
    CHECK(all.at(layers + "4.mlp.up_proj.weight").layer == 4);
    std::size_t of_image = 0;
    for (auto const& entry : all) of_image += entry.second.of_image;
    CHECK(of_image == 2 * 3); // k_proj, k_norm and v_proj of two cross layers
    for (char const* what : {"k_proj", "k_norm", "v_proj"})
        CHECK(all.at(layers + "1.cross_attn." + what + ".weight").of_image);
    CHECK_FALSE(all.at(layers + "1.cross_attn.q_proj.weight").of_image);
}

TEST_CASE("a tied head is the embedding's weight, counted once and bound twice") {
    constexpr auto reader = lv::llama_of<tied>::reader;
    std::vector<lv::weight_role> roles;
    for_each_weight(reader, [&](lv::weight_facts const& w) {
        if (w.name == "model.embed_tokens.weight") roles.push_back(w.kind.role);
        CHECK(w.name != "lm_head.weight");
    });
    CHECK(roles == std::vector{lv::weight_role::table, lv::weight_role::product});
    auto const names = lv::all_weights(reader);
    CHECK(std::count_if(names.begin(), names.end(), [](auto const& w) { return w.name.find("embed") != w.name.npos; })
          == 1);
    CHECK(lv::count(reader).tensors == names.size());
    CHECK(lv::expected_tensors(lv::config::numbers_of<tied>()).size() == names.size());
}

TEST_CASE("formats of parts, by name") {
    auto const all = lv::all_weights<lv::model_of<small>>();
    using enum lv::weight_format;
    auto const formats = lv::formats_by_name(all, {bf16, i8, q4, q8, stored, q8});
    CHECK(formats.at("vision_model.transformer.layers.0.self_attn.q_proj.weight") == bf16);
    CHECK(formats.at("multi_modal_projector.weight") == i8);
    CHECK(formats.at("language_model.model.layers.1.mlp.up_proj.weight") == q4);
    CHECK(formats.at("language_model.model.layers.0.mlp.up_proj.weight") == q8);
    CHECK(formats.at("language_model.model.embed_tokens.weight") == stored);
    CHECK_FALSE(formats.contains("vision_model.patch_embedding.weight"));
    CHECK_FALSE(formats.contains("language_model.model.norm.weight"));
}
