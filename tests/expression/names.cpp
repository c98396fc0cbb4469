// SPDX-License-Identifier: Apache-2.0
// The list of all tensors of the published models, against the table of names and shapes that Hugging Face's files
// hold. The table is written here by hand; nothing in it comes from the expression.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <llamavision/config/tiny.hpp>
#include <llamavision/expression/bind.hpp>
#include <llamavision/model/expected_tensors.hpp>
#include <llamavision/model/mllama.hpp>

namespace lv = llamavision;

namespace {
using shape = std::vector<std::size_t>;
using table = std::map<std::string, shape>;

struct sizes {
    std::size_t text, kv, mlp, layers, tokens; // tokens: of a tile, class token included
};

/// Merged indices: a cross-attention layer is every fifth from 3.
bool is_cross(std::size_t n) { return n % 5 == 3; }

void add_text(table& t, sizes const& s) {
    std::string const model = "language_model.model.";
    t[model + "embed_tokens.weight"] = {128264, s.text};
    t[model + "norm.weight"] = {s.text};
    t["language_model.lm_head.weight"] = {128256, s.text};
    for (std::size_t n = 0; n < s.layers; ++n) {
        std::string const layer = model + "layers." + std::to_string(n) + ".";
        std::string const attention = layer + (is_cross(n) ? "cross_attn." : "self_attn.");
        t[attention + "q_proj.weight"] = {s.text, s.text};
        t[attention + "k_proj.weight"] = {s.kv, s.text};
        t[attention + "v_proj.weight"] = {s.kv, s.text};
        t[attention + "o_proj.weight"] = {s.text, s.text};
        if (is_cross(n)) {
            t[attention + "q_norm.weight"] = {128};
            t[attention + "k_norm.weight"] = {128};
            t[layer + "cross_attn_attn_gate"] = {1};
            t[layer + "cross_attn_mlp_gate"] = {1};
        }
        t[layer + "mlp.gate_proj.weight"] = {s.mlp, s.text};
        t[layer + "mlp.up_proj.weight"] = {s.mlp, s.text};
        t[layer + "mlp.down_proj.weight"] = {s.text, s.mlp};
        t[layer + "input_layernorm.weight"] = {s.text};
        t[layer + "post_attention_layernorm.weight"] = {s.text};
    }
}

void add_vision_layers(table& t, std::string const& stack, std::size_t count, bool gated) {
    for (std::size_t i = 0; i < count; ++i) {
        std::string const layer = "vision_model." + stack + ".layers." + std::to_string(i) + ".";
        for (char const* which : {"q", "k", "v", "o"}) t[layer + "self_attn." + which + "_proj.weight"] = {1280, 1280};
        t[layer + "mlp.fc1.weight"] = {5120, 1280};
        t[layer + "mlp.fc1.bias"] = {5120};
        t[layer + "mlp.fc2.weight"] = {1280, 5120};
        t[layer + "mlp.fc2.bias"] = {1280};
        for (char const* norm : {"input_layernorm", "post_attention_layernorm"})
            for (char const* what : {".weight", ".bias"}) t[layer + norm + what] = {1280};
        if (!gated) continue;
        t[layer + "gate_attn"] = {1};
        t[layer + "gate_ffn"] = {1};
    }
}

table expected(sizes const& s) {
    table t;
    add_text(t, s);
    t["multi_modal_projector.weight"] = {s.text, 7680};
    t["multi_modal_projector.bias"] = {s.text};
    std::string const v = "vision_model.";
    t[v + "class_embedding"] = {1280};
    t[v + "patch_embedding.weight"] = {1280, 3, 14, 14};
    t[v + "gated_positional_embedding.embedding"] = {s.tokens, 1280};
    t[v + "gated_positional_embedding.gate"] = {1};
    t[v + "gated_positional_embedding.tile_embedding.weight"] = {9, 4 * s.tokens * 1280};
    for (char const* place : {"pre", "post"}) {
        t[v + place + "_tile_positional_embedding.embedding.weight"] = {9, 5120};
        t[v + place + "_tile_positional_embedding.gate"] = {1};
        t[v + "layernorm_" + place + ".weight"] = {1280};
        t[v + "layernorm_" + place + ".bias"] = {1280};
    }
    add_vision_layers(t, "transformer", 32, false);
    add_vision_layers(t, "global_transformer", 8, true);
    return t;
}

shape extents_of(lv::parameter const& p) { return lv::shape_of(p); }

/// The tensors of these numbers, which the program might have read from a file.
table at_run_time(lv::config::numbers const& n, bool sees = true) {
    table t;
    auto const all = lv::expected_tensors(n, sees);
    for (lv::weight_facts const& w : all) t[w.name] = extents_of(w.kind);
    CHECK(t.size() == all.size()); // no name twice
    return t;
}

template <class C>
void check(table const& wanted) {
    table found;
    std::size_t listed = 0;
    for (lv::weight_facts const& w : lv::all_weights<lv::model_of<C>>()) {
        found[w.name] = extents_of(w.kind);
        ++listed;
    }
    CHECK(listed == found.size()); // no name twice
    CHECK(found.size() == wanted.size());
    for (auto const& entry : wanted) {
        CAPTURE(entry.first);
        CHECK((found.contains(entry.first) && found[entry.first] == entry.second));
    }
    CHECK(at_run_time(lv::config::numbers_of<C>()) == found);
}
} // namespace

TEST_CASE("the 906 tensors of the 11B models") {
    table const at_560 = expected({4096, 1024, 14336, 40, 1601}), at_448 = expected({4096, 1024, 14336, 40, 1025});
    CHECK(at_560.size() == 906);
    check<lv::llama_3_2_11b_vision>(at_560);
    check<lv::llama_3_2_11b_vision_448>(at_448);
    CHECK(at_560.at("vision_model.gated_positional_embedding.tile_embedding.weight") == shape{9, 8'197'120});
    CHECK(at_448.at("vision_model.gated_positional_embedding.tile_embedding.weight") == shape{9, 5'248'000});
}

TEST_CASE("the 1494 tensors of the 90B model") {
    table const wanted = expected({8192, 1024, 28672, 100, 1601});
    CHECK(wanted.size() == 1494);
    check<lv::llama_3_2_90b_vision>(wanted);
}

TEST_CASE("the tensors of numbers that no program was built for") {
    auto numbers = lv::config::numbers_of<lv::tiny>();
    table const tiny = at_run_time(numbers);
    table compiled;
    for (lv::weight_facts const& w : lv::all_weights<lv::model_of<lv::tiny>>()) compiled[w.name] = extents_of(w.kind);
    CHECK(tiny == compiled);

    auto marks = lv::detail::extents_of(lv::config::numbers_of<lv::detail::probe>());
    std::sort(marks.begin(), marks.end());
    CHECK(std::adjacent_find(marks.begin(), marks.end()) == marks.end());

    numbers.text.layers = 13;
    numbers.text.cross_layers = {0, 12};
    numbers.text.kv_heads = 4;
    numbers.vision.taps = {3};
    numbers.vision.tiles = 2;
    numbers.vision.tile = 28;
    table const other = at_run_time(numbers);
    std::string const layers = "language_model.model.layers.";
    CHECK(other.contains(layers + "12.cross_attn.q_norm.weight"));
    CHECK_FALSE(other.contains(layers + "12.self_attn.q_proj.weight"));
    CHECK(other.at(layers + "11.self_attn.k_proj.weight") == shape{128, 128});
    CHECK_FALSE(other.contains(layers + "13.self_attn.k_proj.weight"));
    CHECK(other.at("multi_modal_projector.weight") == shape{128, 256});
    CHECK(other.at("vision_model.gated_positional_embedding.tile_embedding.weight") == shape{4, 2 * 5 * 128});

    table const blind = at_run_time(numbers, false);
    CHECK(blind.size() < other.size());
    for (auto const& entry : blind) CHECK(entry.first.starts_with("language_model."));
}
