// SPDX-License-Identifier: Apache-2.0
// Keys and values are equally wide.
// expect: left_gives_right_takes<32, 64>
#include <llamavision/layers/attention.hpp>
#include <llamavision/layers/linear.hpp>

#ifdef CORRECT
constexpr std::size_t width = 32;
#else
constexpr std::size_t width = 64;
#endif
constexpr auto wrong = llamavision::attend_image<4>(
    llamavision::linear<"q", 64, 64>,
    llamavision::from_image(llamavision::linear<"k", 64, 32>, llamavision::linear<"v", 64, width>));
