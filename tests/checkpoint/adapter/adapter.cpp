// SPDX-License-Identifier: Apache-2.0
// LoRA adapters: merging has PEFT's result (from tests/golden/adapter.py), and adapters of other kinds or for other
// models are refused.
#include <llamavision/checkpoint/adapter/adapter.hpp>
#include <llamavision/checkpoint/adapter/read_config.hpp>
#include <llamavision/checkpoint/form/hugging_face/names.hpp>
#include <llamavision/checkpoint/open.hpp>
#include <llamavision/checkpoint/write/safetensors.hpp>

#include "../../support/message.hpp"
#include "../temporary_folder.hpp"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <doctest/doctest.h>
#include <string>
#include <vector>

using namespace llamavision;
using namespace llamavision::checkpoint;

namespace {

std::filesystem::path const data = LLAMAVISION_TEST_DATA;

struct file_tensor {
    std::string name;
    std::vector<std::size_t> shape;
};

/// An adapter of f32 tensors, all values 1.
adapter made(temporary_folder const& folder, std::string const& config, std::vector<file_tensor> const& tensors) {
    folder.write("adapter_config.json", config);
    std::vector<float> const ones(100'000, 1.0f);
    std::vector<tensor_to_write> all;
    for (file_tensor const& t : tensors)
        all.push_back(
            {t.name, dtype::f32, t.shape, std::as_bytes(std::span(ones)).first(*bytes_of(t.shape, dtype::f32)), {}});
    write_safetensors(folder.path() / "adapter_model.safetensors", all);
    return open_adapter(folder.path());
}

std::string const prefix = "base_model.model.";
std::string const layer = "model.language_model.layers.0.self_attn.q_proj";

named_tensors model() { return open(data / "golden/p1/hf").tensors; }

std::string refusal(std::string const& config, std::vector<file_tensor> const& tensors) {
    temporary_folder const folder;
    return message_of<error>([&] { static_cast<void>(merge_adapter(model(), made(folder, config, tensors))); });
}

} // namespace

TEST_CASE("weights that were trained beside an adapter are refused, other files are not") {
    temporary_folder const folder;
    for (auto const& entry : std::filesystem::directory_iterator(data / "checkpoint/adapter"))
        std::filesystem::copy(entry.path(), folder.path() / entry.path().filename());
    for (char const* const name : {"optimizer.pt", "training_args.bin", "model.safetensors", "value_head.safetensors"})
        folder.write(name, "x");
    CHECK_NOTHROW(static_cast<void>(open_adapter(folder.path())));
    for (char const* const name : {"non_lora_trainables.bin", "new_embeddings.safetensors"}) {
        folder.write(name, "x");
        auto const said = message_of<mismatch_error>([&] { static_cast<void>(open_adapter(folder.path())); });
        CHECK_MESSAGE(said.find(std::string(name) + ": holds weights that were trained beside") != std::string::npos,
                      said);
        std::filesystem::remove(folder.path() / name);
    }
}

TEST_CASE("every kind of change is PEFT's, to one rounding") {
    auto const base = model();
    auto const merged = merge_adapter(base, open_adapter(data / "checkpoint/adapter"));
    auto const golden = with_canonical_names(read_safetensors(data / "checkpoint/merged.safetensors"), "golden");
    REQUIRE(golden.tensors.size() == 17);
    std::size_t values = 0, unequal = 0;
    for (auto const& item : golden.tensors) {
        std::string const& name = item.first;
        tensor const& expected = item.second;
        CAPTURE(name);
        tensor const& found = merged.tensors.at(name);
        REQUIRE(found.shape == expected.shape);
        REQUIRE(found.type == expected.type);
        std::vector<std::byte> room;
        auto const bytes = bytes_of(found, room);
        for (std::size_t i = 0; i < values_of(found); ++i) {
            float const ours = checkpoint::detail::element<bf16>(bytes.data(), i);
            float const theirs = checkpoint::detail::element<bf16>(expected.bytes.data(), i);
            ++values;
            if (ours != theirs) ++unequal;
            // The order of a sum of four products may put the f32 result on the other side of a tie.
            REQUIRE(std::abs(ours - theirs) <= 0.0079f * std::abs(theirs) + 1e-7f);
        }
    }
    CHECK(values > 100'000);
    CHECK(unequal * 10'000 < values);

    std::size_t same = 0; // tensors that the adapter does not change stay views of the file
    for (auto const& [name, value] : base.tensors)
        if (!merged.tensors.at(name).make && merged.tensors.at(name).bytes.data() == value.bytes.data()) ++same;
    CHECK(same > base.tensors.size() / 2);
}

TEST_CASE("scales: alpha over the rank or its root, and patterns") {
    adapter_config config;
    config.rank = 4;
    config.alpha = 8;
    CHECK(adapter_scale(config, "x", 4) == 2);
    config.by_root = true;
    CHECK(adapter_scale(config, "x", 4) == 4);
    config.alphas = {{"q_proj", 16}, {"^model.layers.0.k_proj", 32}, {R"(layers\.1\.v_proj)", 64}};
    CHECK(adapter_scale(config, "model.layers.0.q_proj", 4) == 8);
    CHECK(adapter_scale(config, "model.layers.0.fq_proj", 4) == 4);
    CHECK(adapter_scale(config, "model.layers.0.k_proj", 4) == 16);
    CHECK(adapter_scale(config, "x.model.layers.0.k_proj", 4) == 4);
    CHECK(adapter_scale(config, "model.layers.1.v_proj", 4) == 32);
    CHECK(adapter_scale(config, "model.layers.1xv_proj", 4) == 4);
    config.alphas.emplace_back("layers.0.q_proj", 5);
    CHECK_THROWS_AS(static_cast<void>(adapter_scale(config, "model.layers.0.q_proj", 4)), mismatch_error);
}

TEST_CASE("names in the older spelling and of the text model alone; a product in f32") {
    for (char const* const name :
         {"language_model.model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.q_proj"}) {
        temporary_folder const folder;
        auto const with =
            made(folder, R"({"peft_type": "LORA", "r": 2, "lora_alpha": 4})",
                 {{prefix + name + ".lora_A.weight", {2, 64}}, {prefix + name + ".lora_B.weight", {64, 2}}});
        auto const base = model();
        auto const merged = merge_adapter(base, with);
        std::string const target = "language_model.model.layers.0.self_attn.q_proj.weight";
        std::vector<std::byte> room;
        auto const bytes = bytes_of(merged.tensors.at(target), room);
        for (std::size_t i = 0; i < 64 * 64; i += 97) {
            float const before = checkpoint::detail::element<bf16>(base.tensors.at(target).bytes.data(), i);
            CHECK(checkpoint::detail::element<bf16>(bytes.data(), i) == static_cast<float>(bf16::round(before + 4)));
        }
    }
}

TEST_CASE("what fits nothing is listed, all of it") {
    std::string const lora = R"({"peft_type": "LORA", "r": 2, "lora_alpha": 4})";
    auto const a = prefix + layer + ".lora_A.weight", b = prefix + layer + ".lora_B.weight";
    auto const message = refusal(lora, {{prefix + "model.nothing.lora_A.weight", {2, 64}},
                                        {prefix + "model.nothing.lora_B.weight", {64, 2}},
                                        {a, {2, 64}},
                                        {prefix + "model.vision_model.lora_magnitude_vector", {3}},
                                        {prefix + "model.other.weight", {3}},
                                        {prefix + "model.multi_modal_projector.bias", {3}}});
    for (char const* const word : {"does not fit", "\"model.nothing.weight\" is not in the model", "has no B",
                                   "lora_magnitude_vector", "\"model.other.weight\"", "projector.bias\" has another"})
        CHECK_MESSAGE(contains(message, word), message);
    CHECK(contains(refusal(lora, {{a, {2, 65}}, {b, {64, 2}}}), "is for 64 by 65, the model has 64 by 64"));
    CHECK(contains(refusal(lora, {{a, {2, 64}}, {b, {64, 3}}}), "different ranks"));
    CHECK(contains(refusal(lora, {{a, {3, 64}}, {b, {64, 3}}}), "rank 3, which adapter_config.json does not name"));
    CHECK(contains(refusal(lora, {{a, {2, 64, 1}}, {b, {64, 2}}}), "no pair of matrices"));
    CHECK(contains(refusal(lora, {}), "holds no tensors"));
    CHECK(contains(refusal(lora, {{prefix + "model.vision_model.patch_embedding.lora_A.weight", {2, 64}},
                                  {prefix + "model.vision_model.patch_embedding.lora_B.weight", {48, 2}}}),
                   "no matrix"));
}

TEST_CASE("other kinds of adapters are refused by name") {
    for (auto const& refused : std::vector<std::pair<std::string, std::string>>{
             {R"({"peft_type": "LOHA"})", "\"LOHA\""},
             {R"({"peft_type": "LORA", "use_dora": true})", "DoRA"},
             {R"({"peft_type": "LORA", "fan_in_fan_out": true})", "transposed"},
             {R"({"peft_type": "LORA", "trainable_token_indices": [1]})", "single trained tokens"},
             {R"({"peft_type": "LORA", "init_lora_weights": "pissa_niter_4"})", "changes the base model's weights"},
             {R"({"peft_type": "LORA", "init_lora_weights": "lora_ga"})", "changes the base model's weights"},
             {R"({"peft_type": "LORA", "use_bdlora": {"nblocks": 2}})", "block-diagonal"},
             {R"({"peft_type": "LORA", "kasa_config": {"beta": 1}})", "KaSA"},
             {R"({"peft_type": "LORA", "monteclora_config": {"num_samples": 8}})", "Monte Carlo"},
             {R"({"peft_type": "LORA", "use_nextlora": true})",
              "made with \"use_nextlora\", which this library does not"},
             {R"({"peft_type": "LORA", "nextlora_config": {"a": 1}})", "made with \"nextlora_config\""},
             {R"({"peft_type": "LORA", "use_nextlora": false, "velora_config": {"a": 1}})", "holds no tensors"}, // fits
             {R"({"peft_type": "LORA", "alpha_pattern": {"layers.[01].q": 3}})", "regular expression"},
             {R"({"peft_type": "LORA", "rank_pattern": {"q": 0}})", "rank_pattern.q"},
             {R"({"peft_type": "LORA", "r": -1})", "positive integer"},
             {R"({"r": 4})", "peft_type"},
             {"[]", "expected an object"}})
        CHECK_MESSAGE(contains(refusal(refused.first, {}), refused.second), refused.first);
    temporary_folder const folder;
    CHECK(contains(message_of<file_error>([&] { static_cast<void>(open_adapter(folder.path())); }), "no adapter"));
    folder.write("adapter_config.json", R"({"peft_type": "LORA"})");
    CHECK(contains(message_of<file_error>([&] { static_cast<void>(open_adapter(folder.path())); }), "no such file"));
    folder.write("adapter_model.bin", "x");
    CHECK(contains(message_of<file_error>([&] { static_cast<void>(open_adapter(folder.path())); }), "as safetensors"));
    CHECK(contains(message_of<file_error>([&] { static_cast<void>(open_adapter(folder.path() / "none")); }), "none"));
}

TEST_CASE("configurations that contradict themselves, the tensors, or sense") {
    auto const a = prefix + layer + ".lora_A.weight", b = prefix + layer + ".lora_B.weight";
    std::vector<file_tensor> const pair{{a, {2, 64}}, {b, {64, 2}}};
    for (auto const& refused : std::vector<std::pair<std::string, std::string>>{
             {R"({"peft_type": "LORA", "r": 2, "lora_alpha": NaN})", "JSON"},
             {R"({"peft_type": "LORA", "r": 2, "lora_alpha": 1e999})", "JSON"},
             {R"({"peft_type": "LORA", "r": 2, "lora_alpha": "4"})", "lora_alpha: expected a number"},
             {R"({"peft_type": "LORA", "r": 0})", "r: expected a positive integer"},
             {R"({"peft_type": "LORA", "r": 2.0})", "r: expected a positive integer"},
             {R"({"peft_type": "LORA", "r": 18446744073709551615})", "r: expected at most"},
             {R"({"peft_type": "LORA", "r": 2, "use_rslora": "yes"})", "use_rslora: expected true or false"},
             {R"({"peft_type": "LORA", "r": 2, "rank_pattern": [2]})", "rank_pattern: expected"},
             {R"({"peft_type": "LORA", "r": 2, "alpha_pattern": {"q_proj": "x"}})", "alpha_pattern.q_proj"},
             {R"({"peft_type": "LORA", "r": 4})", "rank 2, which adapter_config.json does not name"},
             {R"({"peft_type": 7})", "peft_type: expected text"},
             {R"({"peft_type": "LORA", "r": 2)", "JSON"}}) {
        auto const message = refused.first + ": " + refusal(refused.first, pair);
        CHECK_MESSAGE(contains(message, refused.second), message);
    }
}

TEST_CASE("an alpha of zero changes nothing") {
    temporary_folder const folder;
    auto const with =
        made(folder, R"({"peft_type": "LORA", "r": 2, "lora_alpha": 0})",
             {{prefix + layer + ".lora_A.weight", {2, 64}}, {prefix + layer + ".lora_B.weight", {64, 2}}});
    auto const base = model();
    auto const merged = merge_adapter(base, with);
    std::string const target = "language_model.model.layers.0.self_attn.q_proj.weight";
    std::vector<std::byte> room;
    auto const bytes = bytes_of(merged.tensors.at(target), room);
    auto const& stored = base.tensors.at(target).bytes;
    CHECK(std::equal(bytes.begin(), bytes.end(), stored.begin(), stored.end()));
}

TEST_CASE("an adapter's weights that are cut off or lie are refused, wherever") {
    temporary_folder const folder;
    static_cast<void>(
        made(folder, R"({"peft_type": "LORA", "r": 2})",
             {{prefix + layer + ".lora_A.weight", {2, 64}}, {prefix + layer + ".lora_B.weight", {64, 2}}}));
    auto const file = folder.path() / "adapter_model.safetensors";
    std::string const whole = text_of_file(file);
    for (std::size_t size = 0; size < whole.size(); size += 1 + size / 8) {
        folder.write("adapter_model.safetensors", std::string_view(whole).substr(0, size));
        auto const message = message_of<error>([&] { return open_adapter(folder.path()); });
        CHECK_MESSAGE(contains(message, file.string()), message);
    }
    auto wrong = whole;
    auto const at = wrong.find("[2,64]");
    REQUIRE(at != std::string::npos);
    wrong.replace(at, 6, "[3,64]");
    folder.write("adapter_model.safetensors", wrong);
    CHECK(contains(message_of<error>([&] { return open_adapter(folder.path()); }), file.string()));
    wrong.replace(0, 8, "\xff\xff\xff\xff\xff\xff\xff\x7f");
    folder.write("adapter_model.safetensors", wrong);
    CHECK(contains(message_of<error>([&] { return open_adapter(folder.path()); }), file.string()));
}

TEST_CASE("an adapter of an Instruct model on a base model is named, and the reverse") {
    adapter a;
    a.path = "lora";
    auto const said = [&](char const* base, bool on_base) {
        a.config.base = base;
        return other_base_warning(a, on_base);
    };
    CHECK(
        contains(said("meta-llama/Llama-3.2-11B-Vision-Instruct", true),
                 "lora/adapter_config.json: the adapter was trained on \"meta-llama/Llama-3.2-11B-Vision-Instruct\""));
    CHECK(contains(said("unsloth/llama-3.2-11b-vision-instruct-bnb-4bit", true),
                   "an Instruct model, and this is a base"));
    CHECK(contains(said("meta-llama/Llama-3.2-11B-Vision", false), "a base model, and this is an Instruct model"));
    CHECK(said("meta-llama/Llama-3.2-11B-Vision-Instruct", false).empty());
    CHECK(said("meta-llama/Llama-3.2-11B-Vision", true).empty());
    CHECK(said("checkpoints/model", true).empty()); // a name that does not tell
    CHECK(said("checkpoints/model", false).empty());
    CHECK(said("meta-llama/Llama-Guard-3-11B-Vision", false).empty());
    CHECK(said("", true).empty());
}

TEST_CASE("a key of adapter_config.json that is not known is named") {
    nlohmann::json document{{"peft_type", "LORA"}, {"r", 4}, {"lora_dropout", 0.1}, {"target_modules", "q_proj"}};
    CHECK(read_adapter_config(document, "adapter_config.json").warnings.empty());
    document["mixing"] = 0.5;
    auto const said = read_adapter_config(document, "adapter_config.json").warnings;
    REQUIRE(said.size() == 1);
    CHECK(contains(said.front(), "adapter_config.json: is not obeyed in: mixing 0.5"));
}
