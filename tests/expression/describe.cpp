// SPDX-License-Identifier: Apache-2.0
// The printed tree.
#include <doctest/doctest.h>

#include "../support/message.hpp"
#include "../support/small.hpp"

#include <llamavision/expression/describe.hpp>

namespace lv = llamavision;

TEST_CASE("a small expression, line by line") {
    constexpr auto block = lv::residual(lv::linear<"f", 3, 3>, lv::tanh_gate<"gate">);
    constexpr auto e =
        lv::scope<"m">(lv::embedding<"table", 10, 3> | lv::scope<"layers">(lv::repeat<4>(block, lv::tap<1>))) | lv::gelu
        | lv::linear_with_bias<"head", 3, 7>;
    CHECK(describe(e)
          == "m                                                   ids -> 3, 70 parameters\n"
             "  table                                             ids -> 3, 30 parameters\n"
             "  layers                                            3 -> 3, 40 parameters\n"
             "    layers 0-3                                      3 -> 3, 40 parameters; the inputs of 1 are kept\n"
             "      f                                             3 -> 3, 9 parameters\n"
             "      gate                                          1 parameter\n"
             "gelu\n"
             "head                                                3 -> 7, 28 parameters\n");
}

TEST_CASE("the published model") {
    std::string const vision = describe(lv::mllama<lv::llama_3_2_11b_vision>.encoder);
    std::string const text = describe(lv::mllama<lv::llama_3_2_11b_vision>.reader);
    CHECK(contains(vision, "863'567'379 parameters"));
    CHECK(contains(vision, "the inputs of 3, 7, 15, 23, 30 are kept"));
    CHECK(contains(text, "layers 0-2, 4-7, 9-12, 14-17, 19-22, 24-27, 29-32, 34-37, 39"));
    CHECK(contains(text, "layers 3, 8, 13, 18, 23, 28, 33, 38"));
    CHECK(contains(text, "4096 -> 128256, 525'336'576 parameters"));
    for (char const* part :
         {"patch_embedding", "class_embedding", "attend to all tiles", "concatenate what was tapped"})
        CHECK(contains(vision, part));
    for (char const* part :
         {"q_proj", "rope", "attend to itself and the past", "attend to the image", "rows seeing an image"})
        CHECK(contains(text, part));
}
