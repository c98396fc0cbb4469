// SPDX-License-Identifier: Apache-2.0
// What a caller may choose when a picture is opened.
#pragma once

#include <cstddef>
#include <llamavision/image/pixels.hpp>

namespace llamavision::image {

/// Whether a picture is rotated upright as its EXIF data say. Hugging Face's `load_image` does it, Meta's code does
/// not.
enum class exif_policy { apply, ignore };

/// How a file becomes pixels.
struct open_options {
    exif_policy exif = exif_policy::apply;
    alpha_policy alpha = alpha_policy::white;
    std::size_t max_pixels = std::size_t{128} << 20; ///< larger pictures are refused before they are decoded
    std::size_t max_bytes = std::size_t{512} << 20;  ///< larger files are refused before they are read
};

} // namespace llamavision::image
