// SPDX-License-Identifier: Apache-2.0
// Several pictures of one thing in time: from an animated GIF, WebP or AVIF, or from a folder with a file for each.
#pragma once

#include <cstddef>
#include <filesystem>
#include <llamavision/image/open.hpp>
#include <llamavision/support/separate.hpp>
#include <span>
#include <string_view>
#include <vector>

namespace llamavision::image {

/// Chooses frames evenly in time: what is visible in the middle of each of `count` equal parts of the whole duration.
/// No frame is chosen twice, so a frame that is shown for longer than a part is followed by the next one.
/// @param durations of each frame, in any unit; if all are 0, all count as equally long
/// @returns numbers from 0, ascending: `count` of them, or all if there are not more
/// @throws argument_error for a count of 0
LLAMAVISION_INLINE std::vector<std::size_t> choose_frames(std::span<unsigned const> durations, std::size_t count);

/// Decodes up to `count` frames of a picture file, evenly in time; one of a file that is no animation. Each is what a
/// viewer shows at its time. `name` is the file's name in errors.
/// @throws argument_error for a count of 0; image_error as `decode`, and if all pictures together have more than
///         `options.max_pixels` pixels, or those that are drawn on the way to the last of them 32 times as many
LLAMAVISION_INLINE std::vector<pixels> decode_frames(std::span<std::byte const> bytes, std::string_view name,
                                                     std::size_t count, open_options const& options = {});

/// The same from a file, or from a folder: each of its files is a frame, in the order of their names, where numbers
/// count as numbers (frame9 before frame10). Of a folder only the files that are chosen are read. Folders in it, and
/// files whose names begin with a dot, do not count.
/// @throws file_error if the file or folder cannot be read, or the folder is empty; and what `decode_frames` throws
LLAMAVISION_INLINE std::vector<pixels> open_frames(std::filesystem::path const& path, std::size_t count,
                                                   open_options const& options = {});

} // namespace llamavision::image

#if !defined(LLAMAVISION_SEPARATE)
#include <llamavision/image/frames.ipp>
#endif
