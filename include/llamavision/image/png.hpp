// SPDX-License-Identifier: Apache-2.0
// Reads the structure of a PNG file, a chain of chunks, without decoding it: the size, EXIF data and XMP, and the
// number of compressed bytes, which limits the number of pixels.
#pragma once

#include <cstddef>
#include <llamavision/image/png_text.hpp>
#include <llamavision/image/source.hpp>
#include <string>
#include <string_view>

namespace llamavision::image::detail {

inline constexpr std::string_view png_signature("\x89PNG\r\n\x1A\n", 8);

/// The most bytes that deflate expands one byte to: two bits can repeat 258 bytes.
inline constexpr std::size_t deflate_expansion = 1032;

/// Bits of a pixel. The colour type is 0 (grey), 2 (RGB), 3 (palette), 4 (grey and alpha) or 6 (RGBA).
inline std::size_t png_pixel_bits(source const& file, unsigned depth, unsigned colour) {
    std::size_t const channels = colour == 2 ? 3 : colour == 4 ? 2 : colour == 6 ? 4 : 1;
    bool const known_colour = colour <= 6 && colour != 1 && colour != 5;
    bool const small_depth = (depth == 1 || depth == 2 || depth == 4) && (colour == 0 || colour == 3);
    if (!known_colour || !(small_depth || depth == 8 || (depth == 16 && colour != 3)))
        file.refuse("a damaged PNG: colour type " + std::to_string(colour) + " with " + std::to_string(depth)
                    + " bits a channel");
    return channels * depth;
}

/// Reads all chunks up to IEND.
/// @throws image_error if a chunk is truncated, or is critical and of an unknown kind
inline header read_png_header(source const& file) {
    if (!file.has(0, png_signature)) file.refuse("not a PNG");
    header says;
    bool colour_key = false;
    png_texts texts;
    for (std::size_t at = png_signature.size();;) {
        file.require(at, 12, "a PNG chunk");
        std::size_t const length = file.be32(at);
        std::string type;
        for (std::size_t i = 4; i < 8; ++i) type.push_back(static_cast<char>(file.u8(at + i)));
        file.require(at + 12, length, "a PNG chunk");
        if (type == "CgBI") file.refuse("a PNG in Apple's private variant (CgBI), which is not supported");
        if ((at == png_signature.size()) != (type == "IHDR"))
            file.refuse("a damaged PNG: its header (IHDR) is not the first chunk, or not the only one");
        if (type == "IHDR") {
            if (length != 13) file.refuse("a damaged PNG: a header of " + std::to_string(length) + " bytes");
            says.width = file.be32(at + 8);
            says.height = file.be32(at + 12);
            says.pixels_per_byte = deflate_expansion * 8 / png_pixel_bits(file, file.u8(at + 16), file.u8(at + 17));
            // Hugging Face's processor ignores the transparent colour of a PIL image of mode RGB.
            colour_key = file.u8(at + 17) == 2;
        } else if (type == "IDAT") {
            says.data_bytes += length;
        } else if (type == "tRNS") {
            says.alpha_means_nothing = colour_key;
        } else if (type == "eXIf") {
            says.exif = with_exif_mark(file.bytes.subspan(at + 8, length));
        } else if (type == "tEXt" || type == "zTXt" || type == "iTXt") {
            texts.read(file, at + 8, length, type, says);
        } else if (type == "IEND") {
            break;
        } else if (type != "PLTE" && (file.u8(at + 4) & 0x20) == 0) { // a capital first letter means critical
            file.refuse("a PNG with a critical chunk of an unknown kind at byte " + std::to_string(at));
        }
        at += 12 + length;
    }
    texts.unfold(says);
    return says;
}

} // namespace llamavision::image::detail
