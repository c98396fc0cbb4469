// SPDX-License-Identifier: Apache-2.0
// What the left says is not as wide as what the right takes.
// expect: left_gives_right_takes<4096, 4069>
#include <llamavision/layers/linear.hpp>

#ifdef CORRECT
constexpr std::size_t width = 4096;
#else
constexpr std::size_t width = 4069;
#endif
constexpr auto wrong = llamavision::linear<"a", 1280, 4096> | llamavision::linear<"b", width, 128>;
