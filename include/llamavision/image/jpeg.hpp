// SPDX-License-Identifier: Apache-2.0
// Reads the structure of a JPEG file, a chain of segments, without decoding it: the size, the EXIF block, and a check
// that decoding will end. What libjpeg reads and releases of stb_image do not is changed in a copy of the file: stray
// bytes before a marker, Huffman tables that are not there, an end mark that is missing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <llamavision/image/jpeg_scan.hpp>
#include <llamavision/image/jpeg_tables.hpp>
#include <llamavision/image/source.hpp>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace llamavision::image::detail {

/// The largest number of scans, above that of any encoder. In each scan the decoder visits every block of the picture.
inline constexpr std::size_t most_jpeg_scans = 100;

/// The most pixels that a byte can expand to: one bit can stand for a block of 8 x 8 in each of two components that
/// have a quarter of the picture's resolution.
inline constexpr std::size_t pixels_per_jpeg_byte = 1024;

/// The end of the entropy-coded data that begin at `at`: the first marker that is neither a stuffed zero nor a restart,
/// or the end of the file.
inline std::size_t skip_jpeg_scan(source const& file, std::size_t at) {
    for (; at + 1 < file.size(); ++at) {
        if (file.u8(at) != 0xFF) continue;
        unsigned const next = file.u8(at + 1);
        if (next != 0 && next != 0xFF && (next < 0xD0 || next > 0xD7)) return at;
    }
    return file.size();
}

/// Reads the frame header (SOF) whose marker is at `at`.
/// @throws image_error for kinds of JPEG that are not decoded
inline void read_jpeg_frame(source const& file, std::size_t at, header& says) {
    unsigned const kind = file.u8(at + 1);
    if (kind > 0xC2)
        file.refuse(kind == 0xC9 || kind == 0xCA ? "a JPEG with arithmetic coding, which is not supported"
                                                 : "a lossless or hierarchical JPEG, which is not supported");
    if (file.u8(at + 4) != 8)
        file.refuse("a JPEG of " + std::to_string(file.u8(at + 4)) + " bits a channel; only 8 are supported");
    says.height = file.be16(at + 5);
    says.width = file.be16(at + 7);
}

/// Reads the Huffman tables of the DHT segment at `at`.
/// @throws image_error if a table has more than 256 codes, or the segment ends in it
inline void read_jpeg_tables(source const& file, std::size_t at, jpeg_huffman_tables& tables) {
    std::size_t const end = at + 2 + file.be16(at + 2);
    for (std::size_t table = at + 4; table < end;) table += tables.read(file, table, end);
}

/// Reads the EXIF data and XMP of the APP1 segment at `at`. EXIF data of several segments follow each other; of several
/// XMP segments the last counts.
inline void read_jpeg_app1(source const& file, std::size_t at, header& says) {
    constexpr std::string_view exif_mark("Exif\0\0", 6), xmp_mark("http://ns.adobe.com/xap/1.0/\0", 29);
    auto const data = file.bytes.subspan(at + 4, file.be16(at + 2) - 2);
    source const segment{data, file.name};
    if (segment.has(0, exif_mark)) {
        auto const more = says.exif.empty() ? data : data.subspan(exif_mark.size());
        says.exif.insert(says.exif.end(), more.begin(), more.end());
    } else if (segment.has(0, xmp_mark)) {
        auto const text = data.subspan(xmp_mark.size());
        says.xmp.assign(text.begin(), text.end());
    }
}

/// A change to a file, so that stb_image reads it as libjpeg does.
struct jpeg_edit {
    std::size_t at = 0, removed = 0; ///< bytes [at, at + removed) of the file
    std::vector<std::byte> inserted; ///< instead of them
};

/// What a JPEG's components are. `cmyk`: parts of the light that inks leave; `ycck`: so, with three of them in Y, Cb,
/// Cr.
enum class jpeg_colour { grey, ycc, rgb, cmyk, ycck };

/// What libjpeg takes the components of the frame whose marker is at `frame` to be. JFIF means Y, Cb and Cr; else
/// Adobe's marker says it (`transform`; -1: there is none); else components that are named R, G and B are.
/// @throws image_error if there are neither one, three nor four
inline jpeg_colour colour_of_jpeg(source const& file, std::size_t frame, bool is_jfif, int transform) {
    std::size_t const components = file.u8(frame + 9);
    if (components == 1) return jpeg_colour::grey;
    if (components == 4) return transform == -1 || transform == 0 ? jpeg_colour::cmyk : jpeg_colour::ycck;
    if (components != 3) file.refuse("a JPEG of " + std::to_string(components) + " components, which is not supported");
    file.require(frame + 10, 9, "the components of a JPEG");
    bool const is_named = file.u8(frame + 10) == 'R' && file.u8(frame + 13) == 'G' && file.u8(frame + 16) == 'B';
    return !is_jfif && (transform == 0 || (transform == -1 && is_named)) ? jpeg_colour::rgb : jpeg_colour::ycc;
}

/// A JPEG's header, and what must be changed in the file before every release of stb_image reads it.
struct jpeg_header : header {
    std::vector<jpeg_edit> edits; ///< in ascending order
    std::size_t end = 0;          ///< after the end mark, or where it is missing
    jpeg_colour colour = jpeg_colour::grey;
};

/// Reads all segments. Errors in the data of a scan are found by the decoder.
/// @throws image_error if the chain of segments is broken, or has no frame header, two of them, too many scans, or ends
///         before the picture does
inline jpeg_header read_jpeg(source const& file) {
    if (!file.has(0, "\xFF\xD8")) file.refuse("not a JPEG");
    jpeg_header says;
    says.data_bytes = file.size();
    says.pixels_per_byte = pixels_per_jpeg_byte;
    says.side_step = 32; // a unit of at most 4 x 4 blocks of 8 x 8
    jpeg_huffman_tables tables;
    bool is_jfif = false;
    int transform = -1; // of Adobe's marker
    std::size_t frame = 0, scan = 0, frames = 0, scans = 0, restart_interval = 0;
    for (std::size_t at = 2;;) {
        // libjpeg skips what stands before a marker: bytes that are no FF, and FF with a stuffed zero.
        std::size_t const from = at;
        while (at + 1 < file.size() && (file.u8(at) != 0xFF || file.u8(at + 1) == 0 || file.u8(at + 1) == 0xFF)) ++at;
        if (at + 2 > file.size()) {
            bool const is_whole =
                frames > 0 && scans == 1 && has_all_blocks(file, frame, scan, tables, restart_interval);
            if (!is_whole) file.refuse("truncated: the JPEG ends without its end mark, before its last row");
            says.end = file.size();
            says.edits.push_back({from, file.size() - from, {std::byte{0xFF}, std::byte{0xD9}}});
            break;
        }
        unsigned const marker = file.u8(at + 1);
        bool const is_alone = marker == 0x01 || (marker >= 0xD0 && marker <= 0xD8); // a marker without a segment
        std::size_t const skipped = at - from + (is_alone ? 2 : 0);
        if (skipped > 0) says.edits.push_back({from, skipped, {}});
        if (marker == 0xD9) {
            says.end = at + 2;
            break;
        }
        if (is_alone) {
            at += 2;
            continue;
        }
        std::size_t const length = file.be16(at + 2);
        if (length < 2)
            file.refuse("a damaged JPEG: a segment of length " + std::to_string(length) + " at byte "
                        + std::to_string(at));
        file.require(at + 2, length, "a JPEG segment");
        if (marker == 0xE1 && scans == 0) read_jpeg_app1(file, at, says);
        if (marker == 0xE0 && length >= 16 && file.has(at + 4, std::string_view("JFIF\0", 5)) && scans == 0)
            is_jfif = true;
        if (marker == 0xEE && length >= 14 && file.has(at + 4, "Adobe") && scans == 0)
            transform = static_cast<int>(file.u8(at + 15));
        if (marker == 0xC4) read_jpeg_tables(file, at, tables);
        if (marker == 0xDD) restart_interval = file.be16(at + 4);
        // SOF0 to SOF15 are frame headers. DHT, JPG and DAC have numbers among them, but are not.
        if (marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC) {
            if (++frames > 1) file.refuse("a damaged JPEG: two frame headers");
            if (length < 8) file.refuse("a damaged JPEG: a frame header of " + std::to_string(length) + " bytes");
            read_jpeg_frame(file, at, says);
            frame = at;
        }
        at += 2 + length;
        if (marker != 0xDA) continue;
        if (frames == 0) file.refuse("a damaged JPEG: picture data before the frame header");
        if (++scans > most_jpeg_scans) file.refuse("a JPEG of more than " + std::to_string(most_jpeg_scans) + " scans");
        scan = at - 2 - length;
        jpeg_edit added{scan, 0, {}};
        for (std::span<std::uint8_t const> const table : tables.add_missing()) {
            std::size_t const bytes = table.size() + 2;
            for (std::size_t const b : {std::size_t{0xFF}, std::size_t{0xC4}, bytes >> 8, bytes & 255})
                added.inserted.push_back(static_cast<std::byte>(b));
            for (std::uint8_t const b : table) added.inserted.push_back(static_cast<std::byte>(b));
        }
        if (!added.inserted.empty()) says.edits.push_back(std::move(added));
        at = skip_jpeg_scan(file, at);
    }
    if (frames == 0 || scans == 0) file.refuse("a JPEG without a picture");
    says.colour = colour_of_jpeg(file, frame, is_jfif, transform);
    return says;
}

/// The file with its header's edits.
inline std::vector<std::byte> edited(source const& file, jpeg_header const& says) {
    std::vector<std::byte> out;
    std::size_t at = 0;
    auto const add = [&out](std::span<std::byte const> part) { out.insert(out.end(), part.begin(), part.end()); };
    for (jpeg_edit const& edit : says.edits) {
        add(file.bytes.subspan(at, edit.at - at));
        add(edit.inserted);
        at = edit.at + edit.removed;
    }
    add(file.bytes.subspan(at, says.end - at));
    return out;
}

} // namespace llamavision::image::detail
