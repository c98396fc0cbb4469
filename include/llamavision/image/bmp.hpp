// SPDX-License-Identifier: Apache-2.0
// Reads BMP files: rows of palette indexes, of 16, 24 or 32 bits with masks, or runs of indexes. Releases of stb_image
// differ in which of these they read, and how, so BMP is decoded here.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <llamavision/image/pixels.hpp>
#include <llamavision/image/source.hpp>
#include <llamavision/support/ceil_div.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace llamavision::image::detail {

/// What the header of a BMP says.
struct bmp_header : header {
    enum : std::uint32_t { plain = 0, runs_of_8 = 1, runs_of_4 = 2, masked = 3, masked_with_alpha = 6 };
    std::size_t data = 0;                 ///< where the rows or runs begin
    std::size_t bits = 0;                 ///< of a pixel: 1, 4, 8, 16, 24, 32
    std::uint32_t compression = plain;    ///< as the file has it
    std::array<std::uint32_t, 4> masks{}; ///< red, green, blue, alpha of 16 and 32 bits; 0: there is none
    std::size_t palette = 0;              ///< where it begins
    std::size_t palette_entry = 4;        ///< bytes of a colour
    std::size_t colours = 0;              ///< in the palette
    bool is_bottom_up = true;

    [[nodiscard]] bool is_in_runs() const { return compression == runs_of_8 || compression == runs_of_4; }
    [[nodiscard]] std::size_t row_bytes() const { return ceil_div(width * bits, 8); }
    [[nodiscard]] std::size_t stride() const { return round_up(row_bytes(), 4); }
};

/// How a BMP is compressed, in words.
inline std::string bmp_compression_text(std::uint32_t compression, bool os2) {
    if (compression == 3 && os2) return "in Huffman codes";
    if (compression == 4) return os2 ? "in runs of 24 bits" : "that holds a JPEG";
    if (compression == 5) return "that holds a PNG";
    return "of compression " + std::to_string(compression);
}

/// Reads the header: of OS/2 (12 and 64 bytes), of Windows (40, 108, 124), and what Adobe writes (52, 56).
/// @throws image_error if the header is of another kind, the picture is compressed otherwise, or rows are missing
inline bmp_header read_bmp_header(source const& file, std::size_t max_pixels) {
    if (!file.has(0, "BM")) file.refuse("not a BMP");
    bmp_header says;
    std::size_t const size = file.le32(14);
    bool const is_first = size == 12, is_os2 = is_first || size == 64;
    if (!is_os2 && size != 40 && size != 52 && size != 56 && size != 108 && size != 124)
        file.refuse("a BMP with a header of " + std::to_string(size) + " bytes, which is not supported");
    file.require(14, size, "the header of a BMP");
    says.data = file.le32(10);
    says.bits = file.le16(is_first ? 24 : 28);
    says.compression = is_first ? 0 : file.le32(30);
    says.width = is_first ? file.le16(18) : file.le32(18);
    std::uint32_t const height = is_first ? file.le16(20) : file.le32(22);
    says.is_bottom_up = height >> 31 == 0;
    says.height = says.is_bottom_up ? height : 0 - height;
    if (says.width >> 31 || says.height >> 31) file.refuse("a damaged BMP: a side of 2^31 pixels or more");

    bool const is_masked = says.compression == bmp_header::masked || says.compression == bmp_header::masked_with_alpha;
    if ((says.compression > 2 && !is_masked) || (is_os2 && says.compression > 2))
        file.refuse("a BMP " + bmp_compression_text(says.compression, is_os2) + ", which is not supported");
    bool const fits = says.compression == bmp_header::runs_of_8   ? says.bits == 8
                      : says.compression == bmp_header::runs_of_4 ? says.bits == 4
                      : is_masked                                 ? says.bits == 16 || says.bits == 32
                                  : says.bits == 1 || says.bits == 4 || says.bits == 8 || says.bits == 16
                                        || says.bits == 24 || says.bits == 32;
    if (!fits)
        file.refuse("a BMP of " + std::to_string(says.bits) + " bits a pixel"
                    + (says.compression == 0 ? "" : " and of compression " + std::to_string(says.compression))
                    + ", which is not supported");

    // Masks stand in headers of 52 bytes and more, and behind one of 40. Without them, the fourth byte is padding.
    std::size_t const after = 14 + size, masks_behind = !is_masked || size != 40 ? 0 : says.compression == 3 ? 3 : 4;
    if (is_masked)
        for (std::size_t i = 0; i < (size == 40 ? masks_behind : size == 52 ? 3 : 4); ++i)
            says.masks[i] = file.le32(54 + 4 * i);
    else if (says.bits == 16)
        says.masks = {0x7C00, 0x03E0, 0x001F, 0};
    else
        says.masks = {0xFF0000, 0xFF00, 0xFF, 0};

    says.palette = after + 4 * masks_behind;
    says.palette_entry = is_first ? 3 : 4;
    if (says.data < says.palette) file.refuse("a damaged BMP: its pixels begin inside of its header");
    if (says.bits <= 8) {
        std::size_t const most = std::size_t{1} << says.bits, used = is_first ? 0 : file.le32(46);
        // Where the pixels are said to begin at once, the writer has not counted the palette.
        if (says.data == says.palette) says.data += (used == 0 ? most : std::min(used, most)) * says.palette_entry;
        says.colours = std::min({used == 0 ? most : used, most, (says.data - says.palette) / says.palette_entry});
        file.require(says.palette, says.colours * says.palette_entry, "the palette of a BMP");
    }

    says.data_bytes = file.size();
    // A code of two bytes ends a picture, whatever is left of it.
    says.pixels_per_byte = says.is_in_runs() ? std::numeric_limits<std::size_t>::max() : 8;
    check_size(file, says, max_pixels);
    // Rows are padded to 4 bytes; some writers leave out the padding of the last one.
    if (!says.is_in_runs())
        file.require(says.data, says.stride() * (says.height - 1) + says.row_bytes(), "the rows of a BMP");
    return says;
}

/// Indexes (height, width), in the order of the file, of a picture in runs. A code is a count and an index (or two that
/// alternate), or 0 and: 0, the row ends; 1, the picture ends; 2, so many columns and rows are skipped; n, n indexes
/// follow, filled up to 16 bits. What is skipped has index 0.
/// @throws image_error if the file ends before the picture does
inline std::vector<std::uint8_t> bmp_runs(source const& file, bmp_header const& says) {
    std::vector<std::uint8_t> indexes(says.width * says.height);
    bool const nibbles = says.compression == bmp_header::runs_of_4;
    std::size_t at = says.data, x = 0, y = 0;
    auto const put = [&](std::uint32_t index) { // columns beyond the row are dropped
        if (x < says.width) indexes[y * says.width + x++] = static_cast<std::uint8_t>(index);
    };
    while (y < says.height) {
        file.require(at, 2, "the runs of a BMP");
        std::uint32_t const count = file.u8(at), value = file.u8(at + 1);
        at += 2;
        if (count > 0) {
            for (std::uint32_t i = 0; i < count; ++i) put(!nibbles ? value : i % 2 == 0 ? value >> 4 : value & 15);
        } else if (value == 0) {
            x = 0;
            ++y;
        } else if (value == 1) {
            break;
        } else if (value == 2) {
            x = std::min<std::size_t>(x + file.u8(at), says.width);
            y += file.u8(at + 1);
            at += 2;
        } else {
            std::size_t const bytes = nibbles ? ceil_div(value, 2) : value;
            file.require(at, bytes, "the runs of a BMP");
            for (std::uint32_t i = 0; i < value; ++i) {
                std::uint32_t const byte = file.u8(at + (nibbles ? i / 2 : i));
                put(!nibbles ? byte : i % 2 == 0 ? byte >> 4 : byte & 15);
            }
            at += round_up(bytes, 2);
        }
    }
    return indexes;
}

/// One channel of a pixel as 8 bits. Fewer bits are repeated, so that all ones stay all ones: 5 bits abcde become
/// abcdeabc. (Pillow computes v · 255 / 31, rounded down: at most one level less.)
constexpr std::uint8_t bmp_channel(std::uint32_t pixel, std::uint32_t mask) {
    if (mask == 0) return 0;
    auto const bits = static_cast<unsigned>(std::bit_width(mask >> std::countr_zero(mask)));
    std::uint32_t const value = (pixel & mask) >> std::countr_zero(mask);
    if (bits > 8) return static_cast<std::uint8_t>(value >> (bits - 8));
    std::uint32_t repeated = 0;
    for (unsigned filled = 0; filled < 8; filled += bits)
        repeated |= filled + bits <= 8 ? value << (8 - filled - bits) : value >> (filled + bits - 8);
    return static_cast<std::uint8_t>(repeated);
}

/// The picture as bytes R G B A, (height, width, 4).
/// @throws image_error if a picture in runs ends too early
inline std::vector<std::uint8_t> decode_bmp(source const& file, bmp_header const& says) {
    std::array<std::array<std::uint8_t, 3>, 256> palette{}; // what a palette lacks is black
    for (std::size_t i = 0; i < says.colours; ++i)
        for (std::size_t k = 0; k < 3; ++k)
            palette[i][2 - k] = static_cast<std::uint8_t>(file.u8(says.palette + i * says.palette_entry + k));
    std::vector<std::uint8_t> const runs = says.is_in_runs() ? bmp_runs(file, says) : std::vector<std::uint8_t>{};
    std::vector<std::uint8_t> out(says.width * says.height * 4, 255);
    bool has_alpha = false;
    std::size_t const step = says.bits / 8; // bytes of a pixel; 0 for parts of a byte
    for (std::size_t y = 0; y < says.height; ++y) {
        // read_bmp_header has checked that the file has all rows
        auto const row = says.is_in_runs() ? std::as_bytes(std::span(runs)).subspan(y * says.width, says.width)
                                           : file.bytes.subspan(says.data + y * says.stride(), says.row_bytes());
        std::uint8_t* to = out.data() + (says.is_bottom_up ? says.height - 1 - y : y) * says.width * 4;
        for (std::size_t x = 0; x < says.width; ++x, to += 4) {
            if (says.bits <= 8) {
                std::size_t const per_byte = says.is_in_runs() ? 1 : 8 / says.bits, bits = 8 / per_byte;
                std::size_t const byte = std::to_integer<std::size_t>(row[x / per_byte]);
                std::size_t const index = byte >> (per_byte - 1 - x % per_byte) * bits & ((std::size_t{1} << bits) - 1);
                std::copy_n(palette[index].data(), 3, to);
                continue;
            }
            std::uint32_t pixel = 0;
            for (std::size_t i = 0; i < step; ++i) pixel |= std::to_integer<std::uint32_t>(row[x * step + i]) << 8 * i;
            for (std::size_t k = 0; k < 3; ++k) to[k] = bmp_channel(pixel, says.masks[k]);
            if (says.masks[3] != 0) to[3] = bmp_channel(pixel, says.masks[3]);
            has_alpha = has_alpha || (says.masks[3] != 0 && to[3] != 0);
        }
    }
    // Where nothing at all is visible, nobody filled in the alpha channel.
    if (says.masks[3] != 0 && !has_alpha)
        for (std::size_t i = 3; i < out.size(); i += 4) out[i] = 255;
    return out;
}

} // namespace llamavision::image::detail
