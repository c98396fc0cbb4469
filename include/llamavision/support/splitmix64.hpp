// SPDX-License-Identifier: Apache-2.0
// The output function of SplitMix64.
#pragma once

#include <cstdint>

namespace llamavision {

/// A bijection in which every bit of the result depends on every bit of the argument. Source: Steele, Lea, Flood, "Fast
/// splittable pseudorandom number generators" (2014).
constexpr std::uint64_t splitmix64(std::uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

} // namespace llamavision
