// SPDX-License-Identifier: Apache-2.0
// From a picture file (PNG, JPEG, BMP, GIF) to pixels. The file's own header is read and judged before anything is
// decoded, so that no file makes the program allocate what its bytes do not justify.
#pragma once

#include <cstddef>
#include <filesystem>
#include <llamavision/image/pixels.hpp>
#include <llamavision/support/separate.hpp>
#include <span>
#include <string_view>

namespace llamavision::image {

/// Whether a picture is turned upright as its EXIF data asks. Hugging Face's `load_image` does so; Meta's code does
/// not.
enum class exif_policy { apply, ignore };

/// How a file becomes pixels.
struct open_options {
    exif_policy exif = exif_policy::apply;
    alpha_policy alpha = alpha_policy::white;
    std::size_t max_pixels = std::size_t{128} << 20; ///< larger pictures are refused before they are decoded
    std::size_t max_bytes = std::size_t{512} << 20;  ///< larger files are refused before they are read
};

/// Decodes a picture file's bytes. `name` stands in messages. Sixteen bits a channel: the high byte. Animations: the
/// first frame. Colour profiles are ignored, as the references do. Throws image_error for what is no PNG, JPEG, BMP or
/// GIF (saying what it looks like), is damaged, or larger than `options` allow.
LLAMAVISION_INLINE pixels decode(std::span<std::byte const> bytes, std::string_view name,
                                 open_options const& options = {});

/// Reads and decodes a picture file. Throws file_error if it cannot be read, and what `decode` throws.
LLAMAVISION_INLINE pixels open(std::filesystem::path const& path, open_options const& options = {});

} // namespace llamavision::image

#if !defined(LLAMAVISION_SEPARATE)
#include <llamavision/image/open.ipp>
#endif
