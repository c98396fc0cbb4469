// SPDX-License-Identifier: Apache-2.0
// Recognises files of ollama's store, which have no extensions, by their place and name.
#pragma once

#include <algorithm>
#include <filesystem>
#include <system_error>

namespace llamavision::checkpoint {

/// Whether the path is a file in ollama's folder "manifests".
[[nodiscard]] inline bool is_ollama_manifest(std::filesystem::path const& path) {
    std::error_code fault;
    auto const whole = std::filesystem::absolute(path, fault);
    if (fault || std::filesystem::is_directory(path, fault)) return false;
    return std::any_of(whole.begin(), whole.end(), [](auto const& part) { return part == "manifests"; });
}

/// Whether the file has the name of a part of a model, "sha256-…".
[[nodiscard]] inline bool is_ollama_blob(std::filesystem::path const& path) {
    return path.filename().string().starts_with("sha256-");
}

} // namespace llamavision::checkpoint
