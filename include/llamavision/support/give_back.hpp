// SPDX-License-Identifier: Apache-2.0
// A hint for memory that was read once: pages of a mapped file need not stay when they will not be read again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#if defined(__linux__)
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace llamavision {

/// Lets the system take back the whole pages among these bytes. They keep their values: a page that is read again comes
/// from the file.
inline void give_back([[maybe_unused]] std::span<std::byte const> bytes) noexcept {
#if defined(__linux__) && defined(MADV_PAGEOUT)
    auto const page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
    std::size_t const before = (page - reinterpret_cast<std::uintptr_t>(bytes.data()) % page) % page;
    if (before >= bytes.size()) return;
    std::span<std::byte const> const whole = bytes.subspan(before, (bytes.size() - before) / page * page);
    if (!whole.empty()) ::madvise(const_cast<std::byte*>(whole.data()), whole.size(), MADV_PAGEOUT);
#endif
}

} // namespace llamavision
