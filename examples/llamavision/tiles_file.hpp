// SPDX-License-Identifier: Apache-2.0
// Tiles as a file: what `preprocess --out` writes and `trace --tiles` reads.
#pragma once

#include <filesystem>

#include <llamavision/image/tiles.hpp>

namespace program {

/// From a safetensors file with `pixel_values` [tiles, 3, side, side] (F32, F16 or BF16) and `aspect_ratio` [2], rows
/// and columns (I32 or I64). Throws file_error and format_error.
[[nodiscard]] llamavision::image::tiles read_tiles(std::filesystem::path const& path);

} // namespace program
