// SPDX-License-Identifier: Apache-2.0
// Memory where a backend works: its own, if it has such, or the host's.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>

#include <llamavision/backend/concept.hpp>
#include <llamavision/support/aligned_bytes.hpp>

namespace llamavision {

/// Uninitialised, on a cache line. @throws memory_error
template <backend B>
[[nodiscard]] std::shared_ptr<std::byte> allocate([[maybe_unused]] B const& backend, std::size_t bytes) {
    if constexpr (owns_memory<B>)
        return backend.allocate(bytes);
    else
        return aligned_bytes(bytes);
}

/// From the host's memory to the backend's.
template <backend B>
void upload([[maybe_unused]] B const& backend, void const* from, std::size_t bytes, void* to) {
    if (bytes == 0) return;
    if constexpr (owns_memory<B>)
        backend.upload(from, bytes, to);
    else
        std::memcpy(to, from, bytes);
}

/// From the backend's memory to the host's.
template <backend B>
void download([[maybe_unused]] B const& backend, void const* from, std::size_t bytes, void* to) {
    if (bytes == 0) return;
    if constexpr (owns_memory<B>)
        backend.download(from, bytes, to);
    else
        std::memcpy(to, from, bytes);
}

} // namespace llamavision
