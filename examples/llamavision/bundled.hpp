// SPDX-License-Identifier: Apache-2.0
// Where the bundled model lies.
#pragma once

#include <filesystem>
#include <string>

namespace program {

/// `given`, or if that is empty the folder of the bundled model, with a line that says so.
/// Throws file_error if there is none.
[[nodiscard]] std::filesystem::path model_path(std::string const& given);

/// The folder of the bundled model: beside the installed program, else in the source tree.
[[nodiscard]] std::filesystem::path bundled_model();

} // namespace program
