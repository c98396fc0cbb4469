// SPDX-License-Identifier: Apache-2.0
// Reads the first picture of a GIF: its place on the screen, and its palette (gif_lzw.hpp reads its indexes).
// Where files are not as the standard wants them, the result is Pillow's; stb_image refuses some of them, and decodes
// others to other pixels.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <llamavision/image/gif_lzw.hpp>
#include <llamavision/image/pixels.hpp>
#include <llamavision/image/source.hpp>
#include <optional>
#include <string>
#include <vector>

namespace llamavision::image::detail {

/// The most pixels that a byte can expand to: LZW has codes of at most 12 bits, and a code of 1.5 bytes stands for at
/// most 4096 pixels.
inline constexpr std::size_t pixels_per_gif_byte = 4096;

/// The header of a GIF's first picture. `width` and `height` are the screen's, and larger if the picture sticks out.
struct gif_header : header {
    std::size_t left = 0, top = 0, frame_width = 0, frame_height = 0; ///< the picture's rectangle on the screen
    std::array<std::array<std::uint8_t, 3>, 256> palette{};
    std::optional<std::size_t> transparent; ///< the transparent colour
    bool is_interlaced = false;
    std::size_t code_bits = 0; ///< of an index
    std::size_t data = 0;      ///< where the blocks of codes begin
};

/// Skips blocks, each a length of 1 to 255 and so many bytes, up to the one of length 0. Returns the offset after it.
inline std::size_t skip_gif_blocks(source const& file, std::size_t at) {
    for (std::size_t length; (length = file.u8(at)) != 0; at += 1 + length) file.require(at + 1, length, "a GIF block");
    return at + 1;
}

/// Reads a palette of `colours`. What it lacks is black; but where it is the beginning of a grey ramp, or nothing, the
/// ramp goes on.
inline void read_gif_palette(source const& file, std::size_t at, std::size_t colours, gif_header& says) {
    file.require(at, 3 * colours, "a GIF palette");
    bool is_ramp = true;
    for (std::size_t i = 0; i < 256; ++i)
        for (std::size_t k = 0; k < 3; ++k) {
            says.palette[i][k] = static_cast<std::uint8_t>(i < colours ? file.u8(at + 3 * i + k) : is_ramp ? i : 0);
            is_ramp = is_ramp && says.palette[i][k] == i;
        }
}

/// Reads a file up to the codes of its first picture.
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
        std::size_t const colours = packed & 0x80 ? std::size_t{2} << (packed & 7) : 0;
        if (colours == 0 && at > 13) return;
        read_gif_palette(file, at, colours, says);
        at += 3 * colours;
    };
    take_palette(file.u8(10));
    for (unsigned kind; (kind = file.u8(at)) != 0x2C;) {
        if (kind == 0x3B) file.refuse("a GIF without a picture");
        if (kind != 0x21) { // a stray byte
            ++at;
            continue;
        }
        bool const is_control = file.u8(at + 1) == 0xF9 && file.u8(at + 2) >= 4; // a graphic control extension
        if (is_control && (file.u8(at + 3) & 1)) says.transparent = file.u8(at + 6);
        at = skip_gif_blocks(file, at + 2);
    }
    says.left = file.le16(at + 1);
    says.top = file.le16(at + 3);
    says.frame_width = file.le16(at + 5);
    says.frame_height = file.le16(at + 7);
    if (says.frame_width == 0 || says.frame_height == 0) file.refuse("a GIF whose first picture has no pixels");
    says.width = std::max(says.width, says.left + says.frame_width);
    says.height = std::max(says.height, says.top + says.frame_height);
    unsigned const packed = file.u8(at + 9);
    says.is_interlaced = (packed & 0x40) != 0;
    at += 10;
    take_palette(packed);
    says.code_bits = file.u8(at);
    says.data = at + 1;
    says.data_bytes = file.size() - says.data;
    return says;
}

/// The screen with the first picture. Around it the screen has the transparent colour, or colour 0; the background
/// colour of the file is not used.
inline pixels decode_gif(source const& file, gif_header const& says, alpha_policy alpha) {
    gif_indexes const stored = read_gif_indexes(file, says.data, says.code_bits, says.frame_width * says.frame_height);
    if (stored.values.size() < says.frame_width * says.frame_height)
        file.refuse("truncated: the GIF's first picture ends at byte " + std::to_string(stored.end)
                    + ", before its last row");
    std::vector<std::uint8_t> screen(says.width * says.height, static_cast<std::uint8_t>(says.transparent.value_or(0)));
    std::uint8_t const* from = stored.values.data();
    for (std::size_t const y : gif_rows(says.frame_height, says.is_interlaced)) {
        std::copy_n(from, says.frame_width, screen.data() + (says.top + y) * says.width + says.left);
        from += says.frame_width;
    }
    pixels out = blank(says.width, says.height);
    std::uint8_t* to = out.rgb.data();
    for (std::uint8_t const index : screen) {
        bool const is_white = alpha == alpha_policy::white && index == says.transparent;
        for (std::uint8_t const level : says.palette[index]) *to++ = is_white ? std::uint8_t{255} : level;
    }
    return out;
}

} // namespace llamavision::image::detail
