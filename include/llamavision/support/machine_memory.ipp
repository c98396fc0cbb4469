// SPDX-License-Identifier: Apache-2.0
// What the system says about memory: sysconf, /proc/meminfo, and control groups.
#pragma once

#include <algorithm>

#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#endif

#include <llamavision/support/control_groups.hpp>
#include <llamavision/support/machine_memory.hpp>

namespace llamavision {

LLAMAVISION_INLINE std::size_t machine_memory() {
#if defined(_SC_PHYS_PAGES)
    auto const pages = ::sysconf(_SC_PHYS_PAGES), size = ::sysconf(_SC_PAGESIZE);
    return pages > 0 && size > 0 ? static_cast<std::size_t>(pages) * static_cast<std::size_t>(size) : 0;
#else
    return 0;
#endif
}

LLAMAVISION_INLINE std::size_t available_memory() {
    std::size_t available = machine_memory();
    if (auto const kib = detail::kernel_number("/proc/meminfo", "MemAvailable:")) available = *kib * 1024;
    if (auto const left = detail::memory_left_in_groups("/proc/self/cgroup", "/sys/fs/cgroup"))
        available = std::min(available, *left);
    return available;
}

} // namespace llamavision
