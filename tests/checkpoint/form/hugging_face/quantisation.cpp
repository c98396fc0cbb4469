// SPDX-License-Identifier: Apache-2.0
// Folders of quantised weights: where their settings are, and tensors that lie in several files.
#include <llamavision/checkpoint/open.hpp>
#include <llamavision/checkpoint/write/safetensors.hpp>

#include "../../../support/message.hpp"
#include "../../temporary_folder.hpp"

#include <array>
#include <cstddef>
#include <doctest/doctest.h>
#include <span>
#include <string>
#include <vector>

using namespace llamavision;
using namespace llamavision::checkpoint;

namespace {

/// A folder with a configuration.
class quantised_folder : public temporary_folder {
  public:
    quantised_folder() {
        write("config.json", text_of_file(LLAMAVISION_TEST_DATA "/config/p1_4_45.json"));
        write("generation_config.json", "{}");
        write("preprocessor_config.json", R"({"size": {"height": 70, "width": 70}})");
    }
    void write_tensors() const {
        std::array<std::byte, 8> const bytes{};
        std::vector<tensor_to_write> const tensors{{"vision_model.class_embedding", dtype::f32, {2}, bytes}};
        write_safetensors(path() / "model.safetensors", tensors);
    }
};

template <class E = error>
std::string fault(std::filesystem::path const& path) {
    return message_of<E>([&] { return open(path); });
}

} // namespace

TEST_CASE("settings of quantised weights in a file of their own") {
    quantised_folder const folder;
    folder.write_tensors();
    CHECK_FALSE(open(folder.path()).model->quantisation);
    folder.write("quantize_config.json", R"({"bits": 4, "group_size": 128})");
    auto const opened = open(folder.path());
    REQUIRE(opened.model->quantisation);
    CHECK(opened.model->quantisation->method == "gptq");
    CHECK(opened.model->quantisation->file == (folder.path() / "quantize_config.json").string());
    REQUIRE(!opened.warnings.empty());
    CHECK(contains(opened.warnings.back(), "says that weights are quantised, but none is"));
    folder.write("quantize_config.json", "[]");
    CHECK(contains(fault<format_error>(folder.path()), "quantize_config.json: expected an object"));
}

TEST_CASE("a folder of quantised weights, in shards") {
    quantised_folder const folder;
    auto document = text_of_file(folder.path() / "config.json");
    document.insert(1, R"("quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": true},)");
    folder.write("config.json", document);
    std::array<std::byte, 8> const codes{std::byte{127}, std::byte{1}, std::byte{2}, std::byte{3}};
    std::array<float, 2> const scales{2.0f, 1.0f};
    write_safetensors(
        folder.path() / "a.safetensors",
        std::vector<tensor_to_write>{{"model.language_model.layers.0.mlp.up_proj.weight", dtype::i8, {2, 4}, codes}});
    write_safetensors(
        folder.path() / "b.safetensors",
        std::vector<tensor_to_write>{
            {"model.language_model.layers.0.mlp.up_proj.SCB", dtype::f32, {2}, std::as_bytes(std::span(scales))}});
    folder.write("model.safetensors.index.json", R"({"weight_map": {
        "model.language_model.layers.0.mlp.up_proj.weight": "a.safetensors",
        "model.language_model.layers.0.mlp.up_proj.SCB": "b.safetensors"}})");
    auto const opened = open(folder.path());
    auto const& weight = opened.tensors.tensors.at("language_model.model.layers.0.mlp.up_proj.weight");
    CHECK(opened.tensors.tensors.size() == 1);
    REQUIRE(weight.stored);
    std::array<float, 8> values{};
    weight.make(std::as_writable_bytes(std::span(values)));
    CHECK(values[0] == 127.0f * 2.0f * (1.0f / 127.0f));

    document.replace(document.find("load_in_8bit\": true"), 19, "load_in_8bit\": false");
    folder.write("config.json", document);
    CHECK(contains(fault<mismatch_error>(folder.path()), "quantization_config.load_in_8bit: says false"));
    CHECK(open(folder.path(), {}, faults::collected).problems.size()
          == 2); // that, and the types of the two tensors that stay
}
