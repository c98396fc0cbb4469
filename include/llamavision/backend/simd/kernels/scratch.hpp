// SPDX-License-Identifier: Apache-2.0
// Working memory of kernels, kept by each thread from call to call.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include <llamavision/backend/simd/arch/arch.hpp>

namespace llamavision::inline LLAMAVISION_ARCH {

/// At least `count` floats on a cache line's boundary; each Use has its own.
template <int Use>
float* scratch(std::size_t count) {
    thread_local std::vector<float> floats;
    constexpr std::size_t line = 64;
    if (floats.size() < count + line / sizeof(float)) floats.resize(count + line / sizeof(float));
    void* p = floats.data();
    std::size_t buffer = floats.size() * sizeof(float);
    return static_cast<float*>(std::align(line, count * sizeof(float), p, buffer));
}

template <int Use>
std::byte* scratch_bytes(std::size_t count) {
    return reinterpret_cast<std::byte*>(scratch<Use>((count + sizeof(float) - 1) / sizeof(float)));
}

} // namespace llamavision::inline LLAMAVISION_ARCH
