// SPDX-License-Identifier: Apache-2.0
// Decodes picture files to pixels: PNG, JPEG, BMP and GIF, and what decoders are registered for (decoder.hpp). The
// header is checked before anything is decoded, so that a small file cannot make the program allocate much memory.
#pragma once

#include <cstddef>
#include <filesystem>
#include <llamavision/image/open_options.hpp>
#include <llamavision/image/pixels.hpp>
#include <llamavision/support/separate.hpp>
#include <span>
#include <string_view>

namespace llamavision::image {

/// Decodes the bytes of a picture file. `name` is the file's name in errors. Of channels with sixteen bits the high
/// byte is used, of animations the first frame. Colour profiles are ignored, as in the references.
/// @throws image_error if the file has no format that is known (the message says what it looks like), is damaged, or
///         larger than `options` allow
LLAMAVISION_INLINE pixels decode(std::span<std::byte const> bytes, std::string_view name,
                                 open_options const& options = {});

/// Reads and decodes a picture file.
/// @throws file_error if it cannot be read, and what `decode` throws
LLAMAVISION_INLINE pixels open(std::filesystem::path const& path, open_options const& options = {});

} // namespace llamavision::image

#if !defined(LLAMAVISION_SEPARATE)
#include <llamavision/image/open.ipp>
#endif
