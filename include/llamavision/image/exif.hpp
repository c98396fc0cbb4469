// SPDX-License-Identifier: Apache-2.0
// EXIF orientation: reads how a camera was held, and rotates its picture upright.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <llamavision/image/jpeg.hpp>
#include <llamavision/image/pixels.hpp>
#include <llamavision/image/source.hpp>
#include <span>

namespace llamavision::image {

/// The orientation (1 to 8) in an EXIF block, which is a TIFF file: byte order, 42, and the offset of a directory of
/// 12-byte entries (tag, type, count, value). The result is 1, upright, if the block has none or is damaged, since a
/// picture can be used without it.
inline unsigned exif_orientation(std::span<std::byte const> tiff) {
    source const file{tiff, "EXIF"};
    bool const little = file.has(0, std::string_view("II*\0", 4));
    if (!little && !file.has(0, std::string_view("MM\0*", 4))) return 1;
    auto const u16 = [&](std::size_t at) { return little ? file.le16(at) : file.be16(at); };
    auto const u32 = [&](std::size_t at) { return little ? file.le32(at) : file.be32(at); };
    if (file.size() < 8) return 1;
    std::size_t const directory = u32(4);
    if (directory > file.size() || file.size() - directory < 2) return 1;
    std::size_t const entries = u16(directory);
    for (std::size_t i = 0; i < entries; ++i) {
        std::size_t const at = directory + 2 + 12 * i;
        if (at + 12 > file.size()) return 1;
        constexpr unsigned orientation_tag = 0x0112, type_short = 3;
        if (u16(at) != orientation_tag) continue;
        unsigned const value = u16(at + 8);
        return u16(at + 2) == type_short && u32(at + 4) == 1 && value >= 1 && value <= 8 ? value : 1;
    }
    return 1;
}

/// The orientation (1 to 8) in a JPEG's first EXIF segment; 1 if there is none.
/// @throws image_error if the bytes are not a JPEG
inline unsigned jpeg_orientation(std::span<std::byte const> jpeg) {
    return exif_orientation(detail::read_jpeg({jpeg, "JPEG"}).exif);
}

/// The picture, brought upright from an orientation of 1 to 8. 1: unchanged; 2: mirrored left to right; 3: rotated by
/// 180 degrees; 4: mirrored top to bottom; 5: mirrored about the main diagonal; 6: rotated clockwise by 90 degrees; 7:
/// mirrored about the other diagonal; 8: rotated counter-clockwise by 90 degrees.
/// @throws argument_error for any other orientation, image_error if `rgb` does not fit the sizes
inline pixels upright(pixels picture, unsigned orientation) {
    if (orientation == 0 || orientation > 8)
        throw argument_error("an EXIF orientation is 1 to 8, not " + std::to_string(orientation));
    check(picture);
    if (orientation == 1) return picture;
    // Output (x, y) is input (x, y); from 5 on it is input (y, x). Columns of the input count from the right for 2, 3,
    // 7, 8, rows from the bottom for 3, 4, 6, 7.
    bool const swaps = orientation >= 5;
    bool const from_right = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
    bool const from_bottom = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    pixels out = swaps ? detail::blank(picture.height, picture.width) : detail::blank(picture.width, picture.height);
    std::uint8_t* to = out.rgb.data();
    for (std::size_t y = 0; y < out.height; ++y)
        for (std::size_t x = 0; x < out.width; ++x, to += 3) {
            std::size_t const column = swaps ? y : x, row = swaps ? x : y;
            std::size_t const from_x = from_right ? picture.width - 1 - column : column;
            std::size_t const from_y = from_bottom ? picture.height - 1 - row : row;
            std::memcpy(to, picture.rgb.data() + (from_y * picture.width + from_x) * 3, 3);
        }
    return out;
}

} // namespace llamavision::image
