// SPDX-License-Identifier: Apache-2.0
// Linux' control groups, of both versions: the folders in which the kernel shows the limits of a process.
#pragma once

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <optional>
#include <string>

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

/// Calls `look(folder)` for each control group that a process is in, and for those above it. A container may show its
/// own group as the root, and list it by a path that it cannot see; the caller finds no files in such a folder.
/// @param list the process' /proc/.../cgroup, "number:controllers:path" a line
/// @param mounts usually /sys/fs/cgroup: version 1 below folders named after the controllers, version 2 there or in
///        "unified"
/// @param controller "memory" or "cpu"
template <class Look>
void for_each_control_group(std::filesystem::path const& list, std::filesystem::path const& mounts,
                            std::string const& controller, Look const& look) {
    auto const up_from = [&](std::filesystem::path const& root, std::filesystem::path path) {
        for (path = path.relative_path();; path = path.parent_path()) {
            look(root / path);
            if (path.empty()) return;
        }
    };
    std::ifstream lines(list);
    for (std::string line; std::getline(lines, line);) {
        auto const first = line.find(':'), second = line.find(':', first + 1);
        if (second == std::string::npos) continue;
        std::string const controllers = line.substr(first + 1, second - first - 1), path = line.substr(second + 1);
        if (controllers.empty()) // version 2
            for (auto const& root : {mounts, mounts / "unified"}) up_from(root, path);
        else if (("," + controllers + ",").find("," + controller + ",") != std::string::npos)
            up_from(is_directory(mounts / controller) ? mounts / controller : mounts / controllers, path);
    }
}

} // namespace llamavision::detail
