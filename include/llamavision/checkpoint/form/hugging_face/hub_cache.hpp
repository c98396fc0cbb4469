// SPDX-License-Identifier: Apache-2.0
// The cache of huggingface-hub: a folder models--OWNER--NAME for each repository, with the contents of files in
// "blobs", and in "snapshots" a folder of links to them for each revision.
#pragma once

#include <llamavision/support/error.hpp>
#include <llamavision/support/listed.hpp>
#include <llamavision/support/text_file.hpp>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

namespace llamavision::checkpoint {

/// If `path` is a repository's folder in the cache: the snapshot that its refs/main names, or its only one. Every other
/// path is returned unchanged.
/// @throws file_error if there is no snapshot, or several and no reference
[[nodiscard]] inline std::filesystem::path snapshot_of(std::filesystem::path const& path) {
    auto const snapshots = path / "snapshots";
    if (!is_folder(snapshots) || !is_folder(path / "blobs")) return path;
    if (auto const reference = path / "refs" / "main"; is_there(reference)) {
        auto revision = read_text_file(reference, std::size_t{1} << 10);
        std::erase_if(revision, [](char c) { return c == '\n' || c == '\r' || c == ' '; });
        bool const name = !revision.empty() && revision.find_first_not_of("0123456789abcdef") == std::string::npos;
        if (name && is_folder(snapshots / revision)) return snapshots / revision;
    }
    std::vector<std::string> revisions;
    std::error_code fault;
    std::filesystem::directory_iterator entry(snapshots, fault);
    for (; !fault && entry != std::filesystem::directory_iterator(); entry.increment(fault))
        if (is_folder(entry->path())) revisions.push_back(entry->path().filename().string());
    std::sort(revisions.begin(), revisions.end());
    if (revisions.size() == 1) return snapshots / revisions.front();
    throw file_error(path.string() + ": is a repository in Hugging Face's cache, with "
                     + (revisions.empty() ? "no snapshot in it; download it again"
                                          : "several snapshots: " + listed(revisions) + "; name the folder of one"));
}

} // namespace llamavision::checkpoint
