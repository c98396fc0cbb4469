// SPDX-License-Identifier: Apache-2.0
// Text models in GGUF: llama.cpp's names, keys and order of rows, the scaling of rotary frequencies, and what can be
// wrong with each.
#include <llamavision/checkpoint/form/gguf/checkpoint.hpp>
#include <llamavision/checkpoint/form/gguf/own.hpp>
#include <llamavision/checkpoint/form/gguf/rope.hpp>
#include <llamavision/checkpoint/write/gguf.hpp>
#include <llamavision/config/differences.hpp>

#include "../text_models.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>

using namespace llamavision;
using namespace llamavision::checkpoint;
using namespace text_models;

namespace {

/// Writes a golden model as llama.cpp does, after a change.
template <class C>
void write(
    std::filesystem::path const& path, std::function<void(gguf_to_write&)> const& change = [](gguf_to_write&) {}) {
    auto file = hugging_face_to_gguf(reference<C>().tensors, *reference<C>().model, gguf_dialect::llama_cpp);
    file.keys.emplace_back("tokenizer.ggml.eos_token_id", std::uint32_t{4});
    file.keys.emplace_back("tokenizer.ggml.eot_token_id", std::uint32_t{3});
    file.keys.emplace_back("tokenizer.ggml.bos_token_id", std::uint32_t{1});
    change(file);
    write_gguf(path, file);
}

tensor& tensor_of(gguf_to_write& file, std::string const& name) {
    auto const at =
        std::find_if(file.tensors.begin(), file.tensors.end(), [&](auto const& t) { return t.first == name; });
    REQUIRE(at != file.tensors.end());
    return at->second;
}

void erase(gguf_to_write& file, std::string const& part) {
    std::erase_if(file.keys, [&](auto const& k) { return k.first.find(part) != std::string::npos; });
    std::erase_if(file.tensors, [&](auto const& t) { return t.first.find(part) != std::string::npos; });
}

void state(gguf_to_write& file, std::string const& key, gguf_value_to_write value) {
    std::erase_if(file.keys, [&](auto const& k) { return k.first == key; });
    file.keys.emplace_back(key, std::move(value));
}

tensor floats(std::vector<float> values) {
    return {dtype::f32, {values.size()}, {}, [values](std::span<std::byte> to) {
                std::memcpy(to.data(), values.data(), to.size());
            }};
}

std::string said(std::filesystem::path const& path, gguf_dialect dialect = gguf_dialect::as_marked) {
    return message_of<error>([&] { return open(path, {}, faults::thrown, dialect); });
}

} // namespace

TEST_CASE_TEMPLATE("a text model in GGUF has the numbers and tensors of Hugging Face's form", C, tied, untied) {
    temporary_folder const folder;
    auto const path = folder.path() / "model.gguf";
    write<C>(path);
    auto const read = open(path);
    CHECK(read.form == kind::gguf);
    CHECK(read.dialect == "llama.cpp");
    CHECK(read.warnings.empty());
    CHECK(read.model->text_alone);
    CHECK(config::differences(read.model->values, config::numbers_of<C>(), read.model->unstated).empty());
    CHECK(read.generation.stop_ids == std::vector<std::int32_t>{4, 3});
    CHECK(read.generation.bos == 1);
    auto wanted = reference<C>().tensors;
    for (auto& [name, value] : wanted.tensors)
        if (value.shape.size() == 1) value = retyped(value, dtype::f32); // the type of norms in llama.cpp's files
    check_same(read.tensors, wanted);

    // The file itself.
    auto const file = open_gguf(path);
    CHECK(file.find("general.architecture")->text() == "llama");
    CHECK(file.find("llama.block_count")->natural() == C::text::layers);
    CHECK(file.find("llama.attention.head_count_kv")->natural() == C::text::kv_heads);
    CHECK(file.find("llama.rope.dimension_count")->natural() == C::text::width / C::text::heads);
    CHECK(file.find("llama.vocab_size")->natural() == C::text::vocabulary);
    auto const& stored = file.content.tensors;
    CHECK(stored.size() == 3 + 9 * C::text::layers + (C::text::tied_head ? 0 : 1)); // rope_freqs counted
    CHECK(stored.contains("output.weight") == !C::text::tied_head);
    auto const ours = [&](char const* name) { return wanted.tensors.at(name); };
    std::size_t const head = C::text::width / C::text::heads;
    CHECK(are_rotary_pairs(stored.at("blk.1.attn_q.weight"), ours("model.layers.1.self_attn.q_proj.weight"), head));
    CHECK(are_rotary_pairs(stored.at("blk.0.attn_k.weight"), ours("model.layers.0.self_attn.k_proj.weight"), head));
    for (auto const& [gguf, name] : {std::pair("blk.1.attn_v.weight", "model.layers.1.self_attn.v_proj.weight"),
                                     {"blk.1.attn_output.weight", "model.layers.1.self_attn.o_proj.weight"},
                                     {"blk.1.ffn_gate.weight", "model.layers.1.mlp.gate_proj.weight"},
                                     {"blk.1.ffn_down.weight", "model.layers.1.mlp.down_proj.weight"},
                                     {"blk.1.ffn_up.weight", "model.layers.1.mlp.up_proj.weight"},
                                     {"blk.1.attn_norm.weight", "model.layers.1.input_layernorm.weight"},
                                     {"blk.1.ffn_norm.weight", "model.layers.1.post_attention_layernorm.weight"},
                                     {"token_embd.weight", "model.embed_tokens.weight"},
                                     {"output_norm.weight", "model.norm.weight"}})
        CHECK(content(stored.at(gguf)) == content(ours(name)));
}

TEST_CASE("this library's own file of a text model holds the folder's small files, and gives back the same") {
    temporary_folder const folder;
    auto const path = folder.path() / "own.gguf";
    write_gguf(path, own_gguf(reference<untied>().tensors, reference<untied>(),
                              small_files_in(text_models::folder("llama_untied"))));
    auto const read = open(path);
    CHECK(read.model->values == reference<untied>().model->values); // the epsilon as a double, too
    CHECK(read.generation.temperature == 0.6);
    CHECK(are_rotary_pairs(open_gguf(path).content.tensors.at("blk.2.attn_q.weight"),
                           reference<untied>().tensors.tensors.at("model.layers.2.self_attn.q_proj.weight"), 6));
    CHECK(content(read.tensors.tensors.at("model.layers.2.self_attn.q_proj.weight"))
          == content(reference<untied>().tensors.tensors.at("model.layers.2.self_attn.q_proj.weight")));

    // A config.json that does not fit the keys or tensors.
    auto file =
        own_gguf(reference<untied>().tensors, reference<untied>(), small_files_in(text_models::folder("llama_untied")));
    tensor_of(file, "rope_freqs.weight") = floats({1, 1, 32});
    write_gguf(path, file);
    CHECK(contains(said(path), "divides frequency 2 by 32.0"));
    file =
        own_gguf(reference<untied>().tensors, reference<untied>(), small_files_in(text_models::folder("llama_untied")));
    state(file, "general.architecture", std::string("mllama"));
    write_gguf(path, file);
    CHECK(contains(said(path), "its config.json describes another architecture, \"llama\", than its keys"));
}

TEST_CASE("the scaling of rotary frequencies is told from rope_freqs.weight") {
    for (double const factor : {8.0, 32.0, 4.0}) {
        for (std::size_t const head_dim : {6u, 10u, 64u, 128u}) {
            CAPTURE(factor);
            CAPTURE(head_dim);
            config::text_numbers t;
            t.width = head_dim;
            t.heads = 1;
            t.rope.factor = factor;
            named_tensors tensors;
            tensors.tensors["rope_freqs.weight"] = floats(rope_factors(t.rope, head_dim));
            auto const wanted = t.rope;
            t.rope = config::rope_numbers{};
            read_gguf_rope(t, tensors, "f");
            CHECK(t.rope == wanted);
            CHECK_NOTHROW(check_gguf_rope(t, tensors, "f"));
            t.rope.factor = 2 * factor;
            CHECK_THROWS_AS(check_gguf_rope(t, tensors, "f"), mismatch_error);
        }
    }
    // Llama 3.2 1B (theta 500000, heads of 64): frequencies that are kept, interpolated, and divided.
    auto const real = rope_factors({500000.0, true, 32.0, 1.0, 4.0, 8192}, 64);
    CHECK(real.size() == 32);
    CHECK(real[0] == 1.0f);
    CHECK(real[14] == 1.0f);
    CHECK(real[16] > 1.0f);
    CHECK(real[16] < 32.0f);
    CHECK(real[31] == 32.0f);

    // With heads so narrow, no frequency is scaled, and the factor has no effect.
    config::text_numbers t;
    t.width = 2;
    t.heads = 1;
    named_tensors tensors;
    tensors.tensors["rope_freqs.weight"] = floats({1});
    read_gguf_rope(t, tensors, "f");
    CHECK(t.rope.scaled);
    CHECK(t.rope.factor == 8.0);
}

TEST_CASE("hostile rotary factors are refused by name") {
    temporary_folder const folder;
    auto const path = folder.path() / "model.gguf";
    auto const with = [&](tensor const& factors) {
        write<untied>(path, [&](gguf_to_write& file) { tensor_of(file, "rope_freqs.weight") = factors; });
        return said(path);
    };
    CHECK(contains(with(floats({1, 2, 8})), "divides frequency 1 by 2.0"));
    CHECK(contains(with(floats({1, 1, 8, 8})), "\"rope_freqs.weight\" is not 3 values of F32"));
    CHECK(contains(with(floats({1, 1, std::nanf("")})), "divides frequency 2 by nan"));
    CHECK(contains(with(floats({1, 1, -8})), "divides frequency 2 by -8.0"));
    CHECK(contains(with(floats({1, 1, 0})), "divides frequency 2 by 0.0"));
    CHECK(contains(
        with({dtype::f16, {3}, {}, [](std::span<std::byte> to) { std::fill(to.begin(), to.end(), std::byte{0}); }}),
        "is not 3 values of F32"));
    write<untied>(path, [](gguf_to_write& file) { erase(file, "rope_freqs"); });
    auto const plain = open(path); // like files of Llama 3.1 that llama.cpp wrote before July 2024
    CHECK_FALSE(plain.model->values.text.rope.scaled);
    CHECK(config::differences(plain.model->values, config::numbers_of<untied>())
          == std::vector<std::string>{"text.rope.scaled: the file says no, the program was built for yes"});
}

TEST_CASE("what a text model's keys ask for and this library does not do is refused by name") {
    temporary_folder const folder;
    auto const path = folder.path() / "model.gguf";
    auto const with = [&](std::string const& key, gguf_value_to_write value) {
        write<untied>(path, [&](gguf_to_write& file) { state(file, key, std::move(value)); });
        return said(path);
    };
    CHECK(contains(with("llama.rope.dimension_count", std::uint32_t{4}), "llama.rope.dimension_count 4 is not"));
    CHECK(contains(with("llama.attention.key_length", std::uint32_t{8}), "llama.attention.key_length 8 is not"));
    CHECK(contains(with("llama.expert_count", std::uint32_t{8}), "a mixture of experts is not supported"));
    CHECK(contains(with("llama.rope.scaling.type", std::string("yarn")), "llama.rope.scaling.type \"yarn\""));
    CHECK(contains(with("llama.rope.scale_linear", 2.0f), "llama.rope.scale_linear"));
    CHECK(contains(with("llama.attention.head_count", std::vector<std::int32_t>{6, 6, 6}), "expected an integer"));
    CHECK(contains(with("llama.attention.head_count", std::uint32_t{5}), "num_attention_heads 5 does not divide"));
    CHECK(contains(with("general.architecture", std::string("qwen2")), "architecture \"qwen2\""));
    CHECK(contains(with("tokenizer.ggml.eos_token_id", std::string("x")), "expected an integer"));
    CHECK(with("llama.rope.scaling.type", std::string("none")) == "nothing was thrown");

    write<untied>(path, [](gguf_to_write& file) { erase(file, "llama.block_count"); });
    CHECK(contains(said(path), "the key \"llama.block_count\" is missing"));
    write<untied>(path, [](gguf_to_write& file) { erase(file, "general.architecture"); });
    CHECK(contains(said(path), "the key \"general.architecture\" is missing"));
    write<untied>(path);
    CHECK(contains(said(path, gguf_dialect::ollama), "is a text model, which cannot be of the dialect ollama"));
    CHECK(said(path, gguf_dialect::llama_cpp) == "nothing was thrown");
    write<untied>(folder.path() / "mmproj.gguf");
    CHECK(contains(said(folder.path()), "is a text model, which does not fit a projector"));
}

TEST_CASE("tensors of a vision tower in a text model's GGUF keep their names") {
    temporary_folder const folder;
    auto const path = folder.path() / "model.gguf";
    std::vector<std::string> const strange{"vision_model.transformer.layers.0.self_attn.q_proj.weight", "v.class_embd",
                                           "blk.0.cross_attn_q_norm.weight"};
    write<untied>(path, [&](gguf_to_write& file) {
        for (std::string const& name : strange) file.tensors.emplace_back(name, tensor_of(file, "blk.0.attn_q.weight"));
    });
    auto const file = open_gguf(path);
    auto const numbers = config::numbers_of<untied>();
    for (auto const dialect : {gguf_dialect::llama_cpp, gguf_dialect::ollama, gguf_dialect::llamavision}) {
        auto const read = gguf_to_hugging_face(file, nullptr, numbers, dialect, "f");
        CHECK(read.tensors.contains(strange[0]));
        CHECK(read.tensors.contains(strange[1]));
        CHECK(read.tensors.contains("model.layers.0.cross_attn.q_norm.weight")); // `bind` reports it
    }
}

TEST_CASE("a head in GGUF that is equal to the embedding is the embedding") {
    temporary_folder const folder;
    auto const path = folder.path() / "model.gguf";
    write<tied>(path, [](gguf_to_write& file) {
        file.tensors.emplace_back("output.weight", tensor_of(file, "token_embd.weight"));
    });
    auto const read = open(path);
    CHECK(read.model->values.text.tied_head);
    CHECK_FALSE(read.tensors.tensors.contains("lm_head.weight"));
}

TEST_CASE("llama.cpp's tokenizer lists of a text model") {
    temporary_folder const folder;
    auto const path = folder.path() / "model.gguf";
    std::vector<std::string> tokens;
    for (int i = 0; i < 270; ++i) tokens.push_back("t" + std::to_string(i));
    write<untied>(path, [&](gguf_to_write& file) {
        file.keys.emplace_back("tokenizer.ggml.model", std::string("gpt2"));
        file.keys.emplace_back("tokenizer.ggml.pre", std::string("llama-bpe"));
        file.keys.emplace_back("tokenizer.ggml.tokens", tokens);
        file.keys.emplace_back("tokenizer.chat_template", std::string("{{ messages }}"));
    });
    auto const read = open(path);
    CHECK(read.tokenizer.tokens == tokens);
    CHECK(read.chat.text == "{{ messages }}");
}
