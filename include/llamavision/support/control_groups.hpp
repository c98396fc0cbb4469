// SPDX-License-Identifier: Apache-2.0
// Linux' control groups, of both versions: the folders in which the kernel shows the limits of a process, and what they
// say about memory and cores.
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

namespace llamavision::detail {

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

/// The folders of the control groups that a process is in, and of those above each. A container may show its own group
/// as the root, and list it by a path that it cannot see; such a folder has no files.
/// @param list the process' /proc/.../cgroup, "number:controllers:path" a line
/// @param mounts usually /sys/fs/cgroup: version 1 below folders named after the controllers, version 2 there or in
///        "unified"
/// @param controller "memory" or "cpu"
[[nodiscard]] inline std::vector<std::filesystem::path>
control_groups(std::filesystem::path const& list, std::filesystem::path const& mounts, std::string const& controller) {
    std::vector<std::filesystem::path> groups;
    auto const add_up_from = [&](std::filesystem::path const& root, std::filesystem::path path) {
        for (path = path.relative_path();; path = path.parent_path()) {
            groups.push_back(root / path);
            if (path.empty()) return;
        }
    };
    std::ifstream lines(list);
    for (std::string line; std::getline(lines, line);) {
        auto const first = line.find(':'), second = line.find(':', first + 1);
        if (second == std::string::npos) continue;
        std::string const controllers = line.substr(first + 1, second - first - 1), path = line.substr(second + 1);
        if (controllers.empty()) { // version 2
            add_up_from(mounts, path);
            add_up_from(mounts / "unified", path);
        } else if (("," + controllers + ",").find("," + controller + ",") != std::string::npos) {
            add_up_from(is_directory(mounts / controller) ? mounts / controller : mounts / controllers, path);
        }
    }
    return groups;
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

/// The least that `limit` says of any of the groups; nothing if it says nothing of all of them.
template <class Limit>
std::optional<std::size_t> least_of(std::vector<std::filesystem::path> const& groups, Limit const& limit) {
    std::optional<std::size_t> least;
    for (std::filesystem::path const& group : groups)
        if (auto const is = limit(group); is && (!least || *is < *least)) least = is;
    return least;
}

/// What all groups that a process is in leave it, those above included.
inline std::optional<std::size_t> memory_left_in_groups(std::filesystem::path const& list,
                                                        std::filesystem::path const& mounts) {
    return least_of(control_groups(list, mounts, "memory"), memory_left_in_group);
}

/// Cores' worth of time that one control group of either version may use: quota divided by period, rounded up.
inline std::optional<std::size_t> cores_of_group(std::filesystem::path const& group) {
    std::size_t quota = 0, period = 0;
    if (std::ifstream both(group / "cpu.max"); both) { // version 2: "quota period", or "max period"
        if (!(both >> quota >> period)) return std::nullopt;
    } else { // version 1: -1 is no quota
        quota = kernel_number(group / "cpu.cfs_quota_us").value_or(0);
        std::ifstream sign(group / "cpu.cfs_quota_us");
        if (sign.peek() == '-') return std::nullopt;
        period = kernel_number(group / "cpu.cfs_period_us").value_or(0);
    }
    if (quota == 0 || period == 0) return std::nullopt;
    return quota / period + (quota % period != 0 ? 1 : 0);
}

/// The cores that all groups that a process is in pay for, those above included.
inline std::optional<std::size_t> cores_in_groups(std::filesystem::path const& list,
                                                  std::filesystem::path const& mounts) {
    return least_of(control_groups(list, mounts, "cpu"), cores_of_group);
}

} // namespace llamavision::detail
