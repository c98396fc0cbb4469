// SPDX-License-Identifier: Apache-2.0
// Working memory of one chunk of work. Each thread keeps it from chunk to chunk: some rows, or the tiles of a part, a
// megabyte or two. What a whole call needs is borrowed from the pool (`thread_pool::lend`).
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include <llamavision/backend/simd/arch/arch.hpp>

namespace llamavision::inline LLAMAVISION_ARCH {

/// At least `count` floats on a cache line; each Use has its own. Grows once: nothing is allocated for a token.
template <int Use>
float* scratch(std::size_t count) {
    thread_local std::vector<float> floats;
    constexpr std::size_t line = 64;
    if (floats.size() < count + line / sizeof(float)) floats.resize(count + line / sizeof(float));
    void* p = floats.data();
    std::size_t buffer = floats.size() * sizeof(float);
    return static_cast<float*>(std::align(line, count * sizeof(float), p, buffer));
}

} // namespace llamavision::LLAMAVISION_ARCH
