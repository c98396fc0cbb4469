// SPDX-License-Identifier: Apache-2.0
// Recognises what is often downloaded in place of a file: a Git LFS pointer, or a web page that asks to log in.
#pragma once

#include <cctype>
#include <cstddef>
#include <string_view>

namespace llamavision {

/// A sentence that says what the file is and what to do, if its first bytes are those of a Git LFS pointer or a web
/// page; else empty.
[[nodiscard]] inline std::string_view misplaced_file(std::string_view bytes) {
    while (!bytes.empty() && std::isspace(static_cast<unsigned char>(bytes.front()))) bytes.remove_prefix(1);
    if (bytes.starts_with("version https://git-lfs"))
        return "this is a Git LFS pointer, not the file itself; fetch the file with `git lfs pull`";
    auto const starts_with = [bytes](std::string_view tag) { // ignoring case
        if (bytes.size() < tag.size()) return false;
        for (std::size_t i = 0; i < tag.size(); ++i)
            if (std::tolower(static_cast<unsigned char>(bytes[i])) != tag[i]) return false;
        return true;
    };
    if (starts_with("<!doctype html") || starts_with("<html") || starts_with("<head"))
        return "this is a web page, not the file itself; the download probably needs a login or the licence's "
               "acceptance";
    return {};
}

} // namespace llamavision
