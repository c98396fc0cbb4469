// SPDX-License-Identifier: Apache-2.0
// Reads the structure of a JPEG file, a chain of segments, without decoding it: the size, the EXIF block, and a check
// that decoding will end. What libjpeg reads and releases of stb_image do not is settled in a copy of the file: stray
// bytes before a marker, Huffman tables that are not there, an end mark that is missing.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <llamavision/image/jpeg_scan.hpp>
#include <llamavision/image/jpeg_tables.hpp>
#include <llamavision/image/source.hpp>
#include <span>
#include <string>
#include <string_view>
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

/// A JPEG's header, and the file as every release of stb_image reads it.
struct settled_jpeg : header {
    std::vector<std::byte> file;
};

/// Reads all segments. Errors in the data of a scan are found by the decoder.
/// @throws image_error if the chain of segments is broken, or has no frame header, two of them, too many scans, or ends
///         before the picture does
inline settled_jpeg read_jpeg(source const& file) {
    if (!file.has(0, "\xFF\xD8")) file.refuse("not a JPEG");
    settled_jpeg says;
    says.data_bytes = file.size();
    says.pixels_per_byte = pixels_per_jpeg_byte;
    says.side_step = 32; // a unit of at most 4 x 4 blocks of 8 x 8
    auto const keep = [&](std::size_t from, std::size_t to) {
        auto const part = file.bytes.subspan(from, to - from);
        std::size_t const before = says.file.size();
        says.file.resize(before + part.size());
        std::copy(part.begin(), part.end(), says.file.begin() + static_cast<std::ptrdiff_t>(before));
    };
    auto const add = [&](std::span<std::uint8_t const> bytes) {
        for (std::uint8_t const b : bytes) says.file.push_back(static_cast<std::byte>(b));
    };
    jpeg_huffman_tables tables;
    std::size_t frame = 0, scan = 0, frames = 0, scans = 0, restart_interval = 0;
    keep(0, 2);
    for (std::size_t at = 2;;) {
        // libjpeg skips what stands before a marker: bytes that are no FF, and FF with a stuffed zero.
        while (at + 1 < file.size() && (file.u8(at) != 0xFF || file.u8(at + 1) == 0 || file.u8(at + 1) == 0xFF)) ++at;
        if (at + 2 > file.size()) {
            bool const is_whole =
                frames > 0 && scans == 1 && has_all_blocks(file, frame, scan, tables, restart_interval);
            if (!is_whole) file.refuse("truncated: the JPEG ends without its end mark, before its last row");
            break;
        }
        unsigned const marker = file.u8(at + 1);
        if (marker == 0xD9) break;
        if (marker == 0x01 || (marker >= 0xD0 && marker <= 0xD8)) { // markers without a segment
            at += 2;
            continue;
        }
        std::size_t const length = file.be16(at + 2);
        if (length < 2)
            file.refuse("a damaged JPEG: a segment of length " + std::to_string(length) + " at byte "
                        + std::to_string(at));
        file.require(at + 2, length, "a JPEG segment");
        constexpr std::string_view exif_mark("Exif\0\0", 6);
        if (marker == 0xE1 && length >= 8 && says.exif.empty() && file.has(at + 4, exif_mark) && scans == 0)
            says.exif = file.bytes.subspan(at + 10, length - 8);
        if (marker == 0xC4) read_jpeg_tables(file, at, tables);
        if (marker == 0xDD) restart_interval = file.be16(at + 4);
        // SOF0 to SOF15 are frame headers. DHT, JPG and DAC have numbers among them, but are not.
        if (marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC) {
            if (++frames > 1) file.refuse("a damaged JPEG: two frame headers");
            if (length < 8) file.refuse("a damaged JPEG: a frame header of " + std::to_string(length) + " bytes");
            read_jpeg_frame(file, at, says);
            frame = at;
        }
        if (marker == 0xDA) {
            if (frames == 0) file.refuse("a damaged JPEG: picture data before the frame header");
            if (++scans > most_jpeg_scans)
                file.refuse("a JPEG of more than " + std::to_string(most_jpeg_scans) + " scans");
            for (std::span<std::uint8_t const> const table : tables.add_missing()) {
                std::array<std::uint8_t, 4> const dht = {0xFF, 0xC4, static_cast<std::uint8_t>((table.size() + 2) >> 8),
                                                         static_cast<std::uint8_t>((table.size() + 2) & 255)};
                add(dht);
                add(table);
            }
            scan = at;
        }
        std::size_t const end = marker == 0xDA ? skip_jpeg_scan(file, at + 2 + length) : at + 2 + length;
        keep(at, end);
        at = end;
    }
    if (frames == 0 || scans == 0) file.refuse("a JPEG without a picture");
    add(std::array<std::uint8_t, 2>{0xFF, 0xD9});
    return says;
}

} // namespace llamavision::image::detail
