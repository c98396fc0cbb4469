// SPDX-License-Identifier: Apache-2.0
// Comparing configurations number by number, and printing one as a type.
#include "../../examples/llamavision/config_header.hpp"
#include <llamavision/checkpoint/form/hugging_face/config.hpp>
#include <llamavision/config/differences.hpp>

#include "../support/message.hpp"

#include <doctest/doctest.h>
#include <string>
#include <vector>

using namespace llamavision;
using namespace llamavision::config;

namespace {

numbers sample() { return read(std::filesystem::path(LLAMAVISION_TEST_DATA "/config/p1_4_45.json")).values; }

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
    compiled.text.rope.factor = 1; // unused, and so no difference
    CHECK(differences(file, compiled)
          == std::vector<std::string>{"text.rope.scaled: the file says yes, the program was built for no"});
}

TEST_CASE("no number is forgotten") {
    auto const file = sample();
    auto other = file;
    auto& v = other.vision;
    auto& t = other.text;
    for (auto* const number :
         {&v.width, &v.mlp, &v.heads, &v.layers, &v.global_layers, &v.tile, &v.patch, &v.channels, &v.tiles, &t.width,
          &t.mlp, &t.heads, &t.kv_heads, &t.layers, &t.vocabulary, &t.context, &t.rope.original_context}) {
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

TEST_CASE("numbers are printed so that they read back") {
    CHECK(print_number(500000.0) == "500000.0");
    CHECK(print_number(1e-5f) == "1e-05");
    CHECK(print_number(8.0) == "8.0");
    CHECK(print_number(0.1) == "0.1");
    CHECK(print_number(0.0) == "0.0");
    CHECK(print_number(1e300) == "1e+300");
}

TEST_CASE("a configuration as a type") {
    CHECK(to_header(sample(), "p1") == R"(// SPDX-License-Identifier: Apache-2.0
// A model's numbers as a type, printed from its config.json.
#pragma once

#include <llamavision/config/numbers.hpp>

#include <array>
#include <cstddef>
#include <string_view>

struct p1 {
    static constexpr std::string_view name = "p1";
    struct vision {
        static constexpr std::size_t width = 48, mlp = 192, heads = 3, layers = 6, global_layers = 2;
        static constexpr std::size_t tile = 70, patch = 14, channels = 3, tiles = 4;
        static constexpr std::array<std::size_t, 4> taps{1, 2, 4, 5};
        static constexpr float norm_eps = 1e-05f;
    };
    struct text {
        static constexpr std::size_t width = 64, mlp = 160, heads = 4, kv_heads = 2, layers = 8;
        static constexpr std::array<std::size_t, 2> cross_layers{2, 6};
        static constexpr std::size_t vocabulary = 512, context = 131072;
        static constexpr float norm_eps = 1e-05f;
        static constexpr llamavision::config::rope_numbers rope{500000.0, true, 8.0, 1.0, 4.0, 8192};
    };
};

#define LLAMAVISION_PROGRAM_CONFIG_TYPES p1
)");
    auto n = sample();
    n.text.rope.scaled = false;
    n.vision.taps.clear();
    CHECK(contains(to_header(n, "x"), "std::array<std::size_t, 0> taps{};"));
    CHECK(contains(to_header(n, "x"), "rope{500000.0, false, "));
    for (char const* const bad : {"", "9a", "a b", "a-b", "_a", "a__b", "\xc3\xa9"})
        CHECK_THROWS_AS(static_cast<void>(to_header(n, bad)), argument_error);
}

TEST_CASE("a type's name from a folder's") {
    CHECK(type_name("models/Llama-3.2-11B-Vision") == "llama_3_2_11b_vision_config");
    CHECK(type_name("models/Llama-3.2-11B-Vision/") == "llama_3_2_11b_vision_config");
    CHECK(type_name("a/p1/.") == "p1_config");
    CHECK(type_name("a/3b") == "model_3b_config");
    CHECK(type_name("a/__x__") == "x_config");
    CHECK(type_name("a/\xc3\xa9") == "model_config");
    CHECK(type_name("a/class") == "class_config");
    CHECK(type_name("/") == "model_config");
    for (char const* const folder : {"a/3b", "a/__x__", "a/--", "int", "/"})
        CHECK_NOTHROW(static_cast<void>(to_header(sample(), type_name(folder))));
}
