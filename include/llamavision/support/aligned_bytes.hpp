// SPDX-License-Identifier: Apache-2.0
// Memory that kernels read and write in order: it begins on a cache line, and lies in huge pages where the system has
// them.
#pragma once

#include <cstddef>
#include <memory>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <llamavision/support/error.hpp>
#include <llamavision/support/size_text.hpp>

namespace llamavision {

/// Uninitialised bytes that begin on a cache line.
/// @throws memory_error with the number of bytes, if the system refuses them
[[nodiscard]] inline std::shared_ptr<std::byte> aligned_bytes(std::size_t count) {
    constexpr std::size_t huge_page = std::size_t{1} << 21;
    std::align_val_t const alignment{count >= 4 * huge_page ? huge_page : 64};
    auto* const p = static_cast<std::byte*>(::operator new(count, alignment, std::nothrow));
    if (!p) throw memory_error("the system gives this process no " + size_text(count) + " of memory");
#if defined(__linux__) // one entry of the translation cache then serves 2 MB instead of 4 KB; a refusal does no harm
    if (count >= 4 * huge_page) madvise(p, count, MADV_HUGEPAGE);
#endif
    return {p, [alignment](std::byte* q) { ::operator delete(q, alignment); }};
}

} // namespace llamavision
