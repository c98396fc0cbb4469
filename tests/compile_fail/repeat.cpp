// SPDX-License-Identifier: Apache-2.0
// A repeated block keeps its rows where they are: a residual, or a chain of them.
// expect: a block of a stack keeps rows and width
#include <llamavision/layers/linear.hpp>

constexpr auto block = llamavision::linear<"a", 64, 64>;
#ifdef CORRECT
constexpr auto wrong = llamavision::repeat<3>(residual(block));
#else
constexpr auto wrong = llamavision::repeat<3>(block);
#endif
