// SPDX-License-Identifier: Apache-2.0
// Working memory of one chunk of work. Each thread keeps it from chunk to chunk: some rows, or the tiles of a part, a
// megabyte or two. What a whole call needs is borrowed from the pool (`thread_pool::lend`).
#pragma once

#include <cstddef>
#include <memory>

#include <llamavision/backend/simd/arch/arch.hpp>
#include <llamavision/support/aligned_bytes.hpp>

namespace llamavision::inline LLAMAVISION_ARCH {

/// At least `count` floats on a cache line; each Use has its own.
/// @throws memory_error
template <int Use>
float* scratch(std::size_t count) {
    thread_local std::shared_ptr<std::byte> memory;
    thread_local std::size_t size = 0;
    if (size < count) {
        memory.reset();
        size = 0;
        memory = aligned_bytes(count * sizeof(float));
        size = count;
    }
    return reinterpret_cast<float*>(memory.get());
}

} // namespace llamavision::LLAMAVISION_ARCH
