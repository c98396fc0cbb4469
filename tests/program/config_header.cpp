// SPDX-License-Identifier: Apache-2.0
// A configuration printed as a C++ type.
#include "../../examples/llamavision/config_header.hpp"
#include <llamavision/checkpoint/form/hugging_face/config.hpp>

#include "../support/message.hpp"

#include <doctest/doctest.h>
#include <filesystem>
#include <string>

using namespace llamavision;
using namespace program;

namespace {

config::numbers sample() {
    return checkpoint::read_config(std::filesystem::path(LLAMAVISION_TEST_DATA "/config/p1_4_45.json")).values;
}

} // namespace

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
