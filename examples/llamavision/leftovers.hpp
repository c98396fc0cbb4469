// SPDX-License-Identifier: Apache-2.0
// What lies in a checkpoint's folder and should not: unfinished downloads, misnamed files, weights that nothing reads.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace program {

/// One sentence for each. `read` are the files of weights that were found by their names. Never throws for what it
/// cannot list.
[[nodiscard]] std::vector<std::string> leftovers(std::filesystem::path const& folder,
                                                 std::vector<std::filesystem::path> const& read);

} // namespace program
