// SPDX-License-Identifier: Apache-2.0
// Blocks that stand among each other are equally wide.
// expect: left_gives_right_takes<64, 32>
#include <llamavision/layers/linear.hpp>

#ifdef CORRECT
constexpr std::size_t width = 64;
#else
constexpr std::size_t width = 32;
#endif
constexpr auto wrong = llamavision::interleave<4, llamavision::layer_set<1>>(
    residual(llamavision::linear<"a", 64, 64>), residual(llamavision::linear<"b", width, width>));
