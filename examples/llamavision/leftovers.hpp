// SPDX-License-Identifier: Apache-2.0
// Files in a checkpoint's folder that do not belong there: unfinished downloads, misnamed files, weights that are not
// read.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace program {

/// One sentence for each. `read` are the files of weights that were found by their names. A folder that cannot be
/// listed gives none.
[[nodiscard]] std::vector<std::string> leftovers(std::filesystem::path const& folder,
                                                 std::vector<std::filesystem::path> const& read);

} // namespace program
