// SPDX-License-Identifier: Apache-2.0
// Reads the structure of a GIF file up to the end of its first picture: sizes, the picture's place on the screen, and
// its transparency.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <llamavision/image/source.hpp>
#include <optional>

namespace llamavision::image::detail {

/// The most pixels that a byte can expand to: LZW has codes of at most 12 bits, and a code of 1.5 bytes stands for at
/// most 4096 pixels.
inline constexpr std::size_t pixels_per_gif_byte = 4096;

/// The header of a GIF's first picture.
struct gif_header : header {
    std::size_t left = 0, top = 0, frame_width = 0, frame_height = 0; ///< the picture's rectangle on the screen
    std::size_t palette = 0;                ///< offset of its palette, three bytes (R G B) for each colour
    std::size_t colours = 0;                ///< the number of colours of the palette
    std::optional<std::size_t> transparent; ///< the transparent colour
    std::optional<std::size_t>
        control_offset; ///< offset of the byte whose lowest bit says that there is a transparent colour

    /// A colour of the palette; black if the palette has fewer colours.
    std::array<std::uint8_t, 3> colour(source const& file, std::size_t index) const {
        std::array<std::uint8_t, 3> rgb{};
        for (std::size_t i = 0; i < 3 && index < colours; ++i)
            rgb[i] = static_cast<std::uint8_t>(file.u8(palette + 3 * index + i));
        return rgb;
    }
};

/// Skips blocks, each a length of 1 to 255 and so many bytes, up to the one of length 0. Returns the offset after it.
inline std::size_t skip_gif_blocks(source const& file, std::size_t at) {
    for (std::size_t length; (length = file.u8(at)) != 0; at += 1 + length) file.require(at + 1, length, "a GIF block");
    return at + 1;
}

/// Reads a file up to the end of its first picture.
/// @throws image_error if the file ends before that, or has no picture
inline gif_header read_gif_header(source const& file) {
    if (!file.has(0, "GIF87a") && !file.has(0, "GIF89a")) file.refuse("not a GIF");
    gif_header says;
    says.width = file.le16(6);
    says.height = file.le16(8);
    says.pixels_per_byte = pixels_per_gif_byte;
    std::size_t at = 13;
    // Reads a palette, if the highest bit of the packed byte says that there is one.
    auto const take_palette = [&](unsigned packed) {
        if ((packed & 0x80) == 0) return;
        says.palette = at;
        says.colours = std::size_t{2} << (packed & 7);
        file.require(at, 3 * says.colours, "a GIF palette");
        at += 3 * says.colours;
    };
    take_palette(file.u8(10));
    for (;;) {
        unsigned const kind = file.u8(at);
        if (kind == 0x2C) break;
        if (kind != 0x21)
            file.refuse(kind == 0x3B ? "a GIF without a picture"
                                     : "a damaged GIF: an unknown block at byte " + std::to_string(at));
        if (file.u8(at + 1) == 0xF9 && file.u8(at + 2) == 4) { // a graphic control extension for the next picture
            says.control_offset = at + 3;
            says.transparent.reset();
            if (file.u8(at + 3) & 1) says.transparent = file.u8(at + 6);
        }
        at = skip_gif_blocks(file, at + 2);
    }
    says.left = file.le16(at + 1);
    says.top = file.le16(at + 3);
    says.frame_width = file.le16(at + 5);
    says.frame_height = file.le16(at + 7);
    if (says.left + says.frame_width > says.width || says.top + says.frame_height > says.height)
        file.refuse("a damaged GIF: its first picture lies outside its screen");
    unsigned const packed = file.u8(at + 9);
    at += 10;
    take_palette(packed);
    if (says.colours == 0) file.refuse("a GIF without a palette, which is not supported");
    std::size_t const end = skip_gif_blocks(file, at + 1);
    says.data_bytes = end - at;
    return says;
}

} // namespace llamavision::image::detail
