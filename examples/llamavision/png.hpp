// SPDX-License-Identifier: Apache-2.0
// Writes pictures as PNG.
#pragma once

#include <filesystem>

#include <llamavision/image/pixels.hpp>

namespace program {

/// The same pixels give the same bytes. Throws file_error if the file cannot be written.
void write_png(std::filesystem::path const& path, llamavision::image::pixels const& picture);

} // namespace program
