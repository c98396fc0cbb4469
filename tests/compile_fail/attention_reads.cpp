// SPDX-License-Identifier: Apache-2.0
// Queries and keys read the same rows.
// expect: left_gives_right_takes<64, 46>
#include <llamavision/layers/attention.hpp>
#include <llamavision/layers/linear.hpp>

#ifdef CORRECT
constexpr std::size_t width = 64;
#else
constexpr std::size_t width = 46;
#endif
constexpr auto wrong = llamavision::attend_past<4>(
    llamavision::linear<"q", 64, 64>, llamavision::linear<"k", width, 32>, llamavision::linear<"v", 64, 32>);
