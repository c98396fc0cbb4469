// SPDX-License-Identifier: Apache-2.0
// What is added to the rows is as wide as they are.
// expect: left_gives_right_takes<128, 64>
#include <llamavision/layers/linear.hpp>

#ifdef CORRECT
constexpr std::size_t width = 64;
#else
constexpr std::size_t width = 128;
#endif
constexpr auto wrong = residual(llamavision::linear<"a", 64, 32> | llamavision::linear<"b", 32, width>);
