// SPDX-License-Identifier: Apache-2.0
// The text model saved alone, as transformers' MllamaForCausalLM is, computes what the references computed with the
// whole one; and refuses pictures.
#include "golden.hpp"

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <llamavision/checkpoint/form/hugging_face/names.hpp>
#include <llamavision/checkpoint/open.hpp>
#include <llamavision/checkpoint/write/safetensors.hpp>
#include <llamavision/support/error.hpp>

#include "../checkpoint/temporary_folder.hpp"
#include "../support/message.hpp"

namespace lv = llamavision;
namespace cp = llamavision::checkpoint;

namespace {

/// The text half of a golden folder, with the names and the configuration of MllamaForCausalLM.
void write_text_alone(std::string const& name, std::filesystem::path const& to) {
    auto const hf = std::filesystem::path(LLAMAVISION_TEST_DATA) / "golden" / name / "hf";
    auto all = cp::open(hf).tensors;
    std::erase_if(all.tensors, [](auto const& entry) { return !entry.first.starts_with("language_model."); });
    std::vector<cp::tensor_to_write> tensors;
    for (auto const& [tensor, value] : cp::with_names_of_text_alone(all).tensors)
        tensors.push_back({tensor, value.type, value.shape, value.bytes, {}});
    cp::write_safetensors(to / "model.safetensors", tensors);
    std::ifstream file(hf / "config.json");
    auto config = nlohmann::json::parse(file).at("text_config");
    config["model_type"] = "mllama_text_model";
    config["architectures"] = {"MllamaForCausalLM"};
    std::ofstream(to / "config.json") << config;
}

void check(std::string const& name, golden::network_ptr (*open)(std::filesystem::path const&, golden::kernels)) {
    temporary_folder const folder;
    write_text_alone(name, folder.path());
    for (auto const which : {golden::kernels::scalar, golden::kernels::simd}) {
        golden::shape const shape(name, open, which);
        auto const net = open(folder.path(), which);
        CHECK_FALSE(net->sees());
        CHECK(net->plan(8).image == 0);
        CHECK(contains(message_of<lv::image_error>([&] { return net->encode(shape.tiles("1x1"), {}); }),
                       "sees no pictures"));

        auto const stored = shape.read("text");
        auto const ids = golden::ids_of(stored.tensors.at("input_ids"));
        auto const wanted = golden::floats_of(stored.tensors.at("hf.logits"));
        auto const greedy = golden::ids_of(stored.tensors.at("hf.greedy"));
        lv::session s(net);
        s.append(ids, {}, {});
        golden::distance d;
        std::size_t const last = wanted.size() - s.logits().size();
        for (std::size_t i = 0; i < s.logits().size(); ++i) d.add(s.logits()[i], wanted[last + i]);
        CHECK(d.relative() < 1e-5);
        for (lv::token const expected : greedy) {
            auto const best = std::max_element(s.logits().begin(), s.logits().end()) - s.logits().begin();
            REQUIRE(static_cast<lv::token>(best) == expected);
            s.append_generated(expected);
        }
    }
}

} // namespace

TEST_CASE("the text model alone") {
    check("p1", golden::open_p1);
    check("g1", golden::open_g1);
    check("g2", golden::open_g2);
}
