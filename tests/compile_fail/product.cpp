// SPDX-License-Identifier: Apache-2.0
// The factors of a product read the same rows.
// expect: left_gives_right_takes<64, 46>
#include <llamavision/layers/linear.hpp>

#ifdef CORRECT
constexpr std::size_t width = 64;
#else
constexpr std::size_t width = 46;
#endif
constexpr auto wrong = llamavision::linear<"a", 64, 32> * llamavision::linear<"b", width, 32>;
