// SPDX-License-Identifier: Apache-2.0
// Orientation: reads in EXIF data or XMP how a camera was held, as Pillow's exif_transpose does, and rotates its
// picture upright.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <llamavision/image/jpeg.hpp>
#include <llamavision/image/pixels.hpp>
#include <llamavision/image/source.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace llamavision::image {

namespace detail {

/// A number as a double, in the byte order of `block`, whose TIFF type is 3 to 13 or 16; 0 for one that is text.
inline double tiff_number(source const& block, bool little, unsigned type, std::size_t at) {
    auto const u32 = [&](std::size_t from) { return little ? block.le32(from) : block.be32(from); };
    std::uint32_t const half = little ? block.le16(at) : block.be16(at);
    auto const u64 = [&] { return std::uint64_t{u32(little ? at + 4 : at)} << 32 | u32(little ? at : at + 4); };
    switch (type) {
    case 3: return half;
    case 4:
    case 13: return u32(at);
    case 5: return double{1} * u32(at) / u32(at + 4);
    case 6: return static_cast<std::int8_t>(block.u8(at));
    case 8: return static_cast<std::int16_t>(half);
    case 9: return static_cast<std::int32_t>(u32(at));
    case 10: return double{1} * static_cast<std::int32_t>(u32(at)) / static_cast<std::int32_t>(u32(at + 4));
    case 11: return std::bit_cast<float>(u32(at));
    case 12: return std::bit_cast<double>(u64());
    case 16: return static_cast<double>(u64());
    default: return 0;
    }
}

/// The orientation that a TIFF block has; 1 if it has another value than 2 to 8, or is no TIFF block; nothing if it has
/// no such entry. Reads as Pillow does: the first entry counts whose type is known and whose values are there; of
/// several values the first; the type may be that of any number.
inline std::optional<unsigned> orientation_entry(std::span<std::byte const> exif) {
    constexpr std::string_view prefix("Exif\0\0", 6);
    for (int i = 0; i < 2 && source{exif, ""}.has(0, prefix); ++i) exif = exif.subspan(prefix.size());
    source const block{exif, "EXIF"};
    if (block.size() == 0) return {};
    bool const little = block.has(0, std::string_view("II*\0", 4)) || block.has(0, std::string_view("II\0*", 4));
    bool const big = block.has(0, std::string_view("MM\0*", 4)) || block.has(0, std::string_view("MM*\0", 4));
    if ((!little && !big) || block.size() < 8) return 1;
    auto const u16 = [&](std::size_t at) { return little ? block.le16(at) : block.be16(at); };
    auto const u32 = [&](std::size_t at) { return little ? block.le32(at) : block.be32(at); };
    std::size_t const directory = u32(4);
    if (directory > block.size() || block.size() - directory < 2) return {};
    // The bytes of a value of each type; 0 for those that there are not.
    constexpr std::array<std::uint8_t, 17> bytes_of = {0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8};
    constexpr unsigned orientation = 0x0112;
    std::size_t elsewhere = 0; // bytes of values that do not fit into their entries
    for (std::size_t i = 0, entries = u16(directory); i < entries; ++i) {
        std::size_t const at = directory + 2 + 12 * i;
        if (at + 12 > block.size()) return {};
        unsigned const type = u16(at + 2);
        std::size_t const size = type < bytes_of.size() ? std::size_t{u32(at + 4)} * bytes_of[type] : 0;
        if (size == 0) continue;
        std::size_t value = at + 8;
        if (size > 4) {
            elsewhere += size;
            if (elsewhere > block.size()) continue;
            value = u32(at + 8);
            if (value > block.size() || size > block.size() - value) return {}; // here Pillow stops reading
        }
        if (u16(at) != orientation) continue;
        for (unsigned turn = 2; turn <= 8; ++turn)
            if (tiff_number(block, little, type, value) == turn) return turn;
        return 1;
    }
    return {};
}

} // namespace detail

/// The orientation (1 to 8) in EXIF data: a TIFF file (byte order, 42, and the offset of a directory of 12-byte
/// entries: tag, type, count, value) behind up to two marks "Exif\0\0". The result is 1, upright, if it has none or is
/// damaged, since a picture can be used without it.
inline unsigned exif_orientation(std::span<std::byte const> exif) {
    return detail::orientation_entry(exif).value_or(1);
}

/// The orientation (1 to 8) in XMP, as an attribute or an element: the first `tiff:Orientation="` or
/// `tiff:Orientation>` before a digit. 1 if there is none.
inline unsigned xmp_orientation(std::span<std::byte const> xmp) {
    std::string_view const text(reinterpret_cast<char const*>(xmp.data()), xmp.size()), name = "tiff:Orientation";
    for (std::size_t at = text.find(name); at != text.npos; at = text.find(name, at)) {
        at += name.size();
        std::string_view rest = text.substr(at);
        if (!rest.starts_with("=\"") && !rest.starts_with(">")) continue;
        rest.remove_prefix(rest.front() == '>' ? 1 : 2);
        if (rest.empty() || rest.front() < '0' || rest.front() > '9') continue;
        return rest.front() >= '1' && rest.front() <= '8' ? static_cast<unsigned>(rest.front() - '0') : 1;
    }
    return 1;
}

/// The orientation (1 to 8) of a picture whose header was read: of its EXIF data, and if they have none, of its XMP.
inline unsigned orientation_of(header const& says) {
    std::optional<unsigned> const entry = detail::orientation_entry(says.exif);
    return entry ? *entry : xmp_orientation(says.xmp);
}

/// The orientation (1 to 8) of a JPEG; 1 if it says none.
/// @throws image_error if the bytes are not a JPEG
inline unsigned jpeg_orientation(std::span<std::byte const> jpeg) {
    return orientation_of(detail::read_jpeg({jpeg, "JPEG"}));
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
