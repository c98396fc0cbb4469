// SPDX-License-Identifier: Apache-2.0
// What attention says is as wide as its queries.
// expect: left_gives_right_takes<64, 32>
#include <llamavision/layers/attention.hpp>
#include <llamavision/layers/linear.hpp>

#ifdef CORRECT
constexpr std::size_t width = 64;
#else
constexpr std::size_t width = 32;
#endif
constexpr auto wrong = llamavision::attend_past<4>(llamavision::linear<"q", 64, 64>, llamavision::linear<"k", 64, 32>,
                                                   llamavision::linear<"v", 64, 32>)
                       | llamavision::linear<"o", width, 64>;
