// SPDX-License-Identifier: Apache-2.0
// Files of ollama's store have no endings; they are told by where they lie.
#pragma once

#include <algorithm>
#include <filesystem>
#include <system_error>

namespace llamavision::checkpoint {

/// Whether the path leads into ollama's folder of manifests.
[[nodiscard]] inline bool is_ollama_manifest(std::filesystem::path const& path) {
    std::error_code fault;
    auto const whole = std::filesystem::absolute(path, fault);
    if (fault || std::filesystem::is_directory(path, fault)) return false;
    return std::any_of(whole.begin(), whole.end(), [](auto const& part) { return part == "manifests"; });
}

/// Whether the file has the name that ollama gives to parts of models.
[[nodiscard]] inline bool is_ollama_blob(std::filesystem::path const& path) {
    return path.filename().string().starts_with("sha256-");
}

} // namespace llamavision::checkpoint
