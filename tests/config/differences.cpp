// SPDX-License-Identifier: Apache-2.0
// Compares the numbers of configurations.
#include <llamavision/checkpoint/form/hugging_face/config.hpp>
#include <llamavision/config/differences.hpp>

#include "../support/message.hpp"

#include <doctest/doctest.h>
#include <string>
#include <vector>

using namespace llamavision;
using namespace llamavision::config;

namespace {

numbers sample() {
    return checkpoint::read_config(std::filesystem::path(LLAMAVISION_TEST_DATA "/config/p1_4_45.json")).values;
}

} // namespace

TEST_CASE("equal numbers differ in nothing, also where one side is float") {
    auto const file = sample();
    auto compiled = file;
    compiled.text.norm_eps = compiled.vision.norm_eps = static_cast<double>(1e-5f);
    CHECK(file.text.norm_eps != compiled.text.norm_eps);
    CHECK(differences(file, compiled).empty());
}

TEST_CASE("each number that differs gets its sentence") {
    auto const file = sample();
    auto compiled = file;
    compiled.text.width = 8192;
    CHECK(differences(file, compiled)
          == std::vector<std::string>{"text.width: the file says 64, the program was built for 8192"});
    compiled = file;
    compiled.vision.taps = {3};
    compiled.vision.aspect_ratios = {{1, 2}};
    compiled.text.rope.theta = 10000;
    compiled.text.rope.factor = 32;
    compiled.vision.norm_eps = 1e-6;
    CHECK(
        differences(file, compiled)
        == std::vector<std::string>{
            "vision.taps: the file says [1, 2, 4, 5], the program was built for [3]",
            "vision.aspect_ratios: the file says [(1, 1), (1, 2), (1, 3), (1, 4), (2, 1), (2, 2), (3, 1), (4, 1)], the "
            "program was built for [(1, 2)]",
            "vision.norm_eps: the file says 1e-05, the program was built for 1e-06",
            "text.rope.theta: the file says 500000.0, the program was built for 10000.0",
            "text.rope.factor: the file says 8.0, the program was built for 32.0"});
    compiled = file;
    compiled.text.rope.scaled = false;
    compiled.text.rope.factor = 1; // not used, and so no difference
    CHECK(differences(file, compiled)
          == std::vector<std::string>{"text.rope.scaled: the file says yes, the program was built for no"});
}

TEST_CASE("the context is a limit, and makes no other model") {
    auto other = sample();
    other.text.context /= 2;
    CHECK(differences(other, sample()).empty());
}

TEST_CASE("no number is forgotten") {
    auto const file = sample();
    auto other = file;
    auto& v = other.vision;
    auto& t = other.text;
    for (auto* const number :
         {&v.width, &v.mlp, &v.heads, &v.layers, &v.global_layers, &v.tile, &v.patch, &v.channels, &v.tiles, &t.width,
          &t.mlp, &t.heads, &t.kv_heads, &t.layers, &t.vocabulary, &t.rope.original_context}) {
        ++*number;
        CHECK(differences(file, other).size() == 1);
        --*number;
    }
    for (auto* const number :
         {&v.norm_eps, &t.norm_eps, &t.rope.theta, &t.rope.factor, &t.rope.low_freq_factor, &t.rope.high_freq_factor}) {
        *number *= 2;
        CHECK(differences(file, other).size() == 1);
        *number /= 2;
    }
}
