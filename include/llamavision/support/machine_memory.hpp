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

/// The same for all groups that a process is in, those above included: the least of them. A container may show its own
/// group as the root, and list it by a path that it cannot see; such a path is skipped.
/// @param list its /proc/.../cgroup, "number:controllers:path" a line
/// @param mounts usually /sys/fs/cgroup: version 1 below its folder "memory", version 2 there or in "unified"
inline std::optional<std::size_t> memory_left_in_groups(std::filesystem::path const& list,
                                                        std::filesystem::path const& mounts) {
    std::optional<std::size_t> least;
    auto const consider = [&](std::filesystem::path const& root, std::filesystem::path path) {
        for (path = path.relative_path();; path = path.parent_path()) {
            auto const left = memory_left_in_group(root / path);
            if (left && (!least || *left < *least)) least = left;
            if (path.empty()) return;
        }
    };
    std::ifstream lines(list);
    for (std::string line; std::getline(lines, line);) {
        auto const first = line.find(':'), second = line.find(':', first + 1);
        if (second == std::string::npos) continue;
        std::string const controllers = "," + line.substr(first + 1, second - first - 1) + ",",
                          path = line.substr(second + 1);
        if (controllers.find(",memory,") != std::string::npos) consider(mounts / "memory", path);
        if (controllers == ",,")
            for (auto const& root : {mounts, mounts / "unified"}) consider(root, path);
    }
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
