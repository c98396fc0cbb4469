// SPDX-License-Identifier: Apache-2.0
// The heads divide the width of the queries.
// expect: the heads divide the queries
#include <llamavision/layers/attention.hpp>
#include <llamavision/layers/linear.hpp>

#ifdef CORRECT
constexpr std::size_t heads = 4;
#else
constexpr std::size_t heads = 5;
#endif
constexpr auto wrong = llamavision::attend_tiles<heads>(
    llamavision::linear<"q", 64, 64>, llamavision::linear<"k", 64, 64>, llamavision::linear<"v", 64, 64>);
