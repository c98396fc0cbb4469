// SPDX-License-Identifier: Apache-2.0
// How much memory the machine has, and how much of it this process may still take, as far as the system says.
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <initializer_list>
#include <optional>
#include <string>

#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#endif

#include <llamavision/support/control_groups.hpp>

namespace llamavision {

/// Bytes of memory in the machine; 0 if the system does not say.
[[nodiscard]] inline std::size_t machine_memory() {
#if defined(_SC_PHYS_PAGES)
    auto const pages = ::sysconf(_SC_PHYS_PAGES), size = ::sysconf(_SC_PAGESIZE);
    return pages > 0 && size > 0 ? static_cast<std::size_t>(pages) * static_cast<std::size_t>(size) : 0;
#else
    return 0;
#endif
}

namespace detail {

/// What one control group of either version may still take: its limit, less what it holds that cannot be dropped.
inline std::optional<std::size_t> memory_left_in_group(std::filesystem::path const& group) {
    bool const second = std::filesystem::exists(group / "memory.current");
    auto const limit = kernel_number(group / (second ? "memory.max" : "memory.limit_in_bytes"));
    auto const held = kernel_number(group / (second ? "memory.current" : "memory.usage_in_bytes"));
    if (!limit || !held) return std::nullopt;
    std::string const below = second ? "" : "total_";
    std::size_t files = 0;
    for (char const* const kind : {"inactive_file", "active_file"})
        files += kernel_number(group / "memory.stat", below + kind).value_or(0);
    std::size_t const fixed = *held - std::min(*held, files);
    return *limit - std::min(*limit, fixed);
}

/// The least of that for all groups that a process is in, those above included; see for_each_control_group.
inline std::optional<std::size_t> memory_left_in_groups(std::filesystem::path const& list,
                                                        std::filesystem::path const& mounts) {
    std::optional<std::size_t> least;
    for_each_control_group(list, mounts, "memory", [&](std::filesystem::path const& group) {
        auto const left = memory_left_in_group(group);
        if (left && (!least || *left < *least)) least = left;
    });
    return least;
}

} // namespace detail

/// Bytes that a process may still take before the machine swaps or kills it: what is free or easily freed, and no more
/// than the limits of its control groups leave. 0 if the system does not say.
/// Source: Linux' /proc/meminfo (MemAvailable) and control groups of both versions.
[[nodiscard]] inline std::size_t available_memory() {
    std::size_t available = machine_memory();
    if (auto const kib = detail::kernel_number("/proc/meminfo", "MemAvailable:")) available = *kib * 1024;
    if (auto const left = detail::memory_left_in_groups("/proc/self/cgroup", "/sys/fs/cgroup"))
        available = std::min(available, *left);
    return available;
}

} // namespace llamavision
