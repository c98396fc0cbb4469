// SPDX-License-Identifier: Apache-2.0
// How much memory the machine has, and how much of it this process may still take, as far as the system says.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

#include <unistd.h>

namespace llamavision {

/// Bytes of memory in the machine; 0 if the system does not say.
[[nodiscard]] inline std::size_t machine_memory() {
    auto const pages = ::sysconf(_SC_PHYS_PAGES), size = ::sysconf(_SC_PAGESIZE);
    return pages > 0 && size > 0 ? static_cast<std::size_t>(pages) * static_cast<std::size_t>(size) : 0;
}

namespace detail {

/// The number that follows `key` in a small file of the kernel's, or the file's first word without a key; nothing if it
/// has none ("max").
inline std::optional<std::size_t> kernel_number(std::filesystem::path const& file, std::string const& key = {}) {
    std::ifstream lines(file);
    std::string word;
    while (lines >> word) {
        if (!key.empty() && word != key) continue;
        std::size_t number = 0;
        if (key.empty()) lines.seekg(0);
        if (lines >> number) return number;
        return std::nullopt;
    }
    return std::nullopt;
}

/// What the control group (version 2) that this process sees as its own may still take: its limit, less what it holds
/// that cannot be dropped.
inline std::optional<std::size_t> memory_left_in_group(std::filesystem::path const& group) {
    auto const limit = kernel_number(group / "memory.max"), held = kernel_number(group / "memory.current");
    if (!limit || !held) return std::nullopt;
    std::size_t const files = kernel_number(group / "memory.stat", "inactive_file").value_or(0);
    std::size_t const fixed = *held - std::min(*held, files);
    return *limit - std::min(*limit, fixed);
}

} // namespace detail

/// Bytes that a process may still take before the machine swaps or kills it: what is free or easily freed, and no more
/// than a container's limit leaves. 0 if the system does not say.
/// Source: Linux' /proc/meminfo (MemAvailable) and control groups.
[[nodiscard]] inline std::size_t available_memory() {
    std::size_t available = machine_memory();
    if (auto const kib = detail::kernel_number("/proc/meminfo", "MemAvailable:")) available = *kib * 1024;
    if (auto const left = detail::memory_left_in_group("/sys/fs/cgroup")) available = std::min(available, *left);
    return available;
}

} // namespace llamavision
