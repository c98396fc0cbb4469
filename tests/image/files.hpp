// SPDX-License-Identifier: Apache-2.0
// Makes small PNG, GIF and BMP files byte by byte, correct or with faults.
#pragma once

#include "checksums.hpp"
#include "pictures.hpp"

#include <array>
#include <cstddef>
#include <initializer_list>
#include <string_view>
#include <vector>

namespace files {

using octets = std::vector<std::byte>;

inline octets octets_of(std::string_view text) {
    auto const bytes = std::as_bytes(std::span(text.data(), text.size()));
    return {bytes.begin(), bytes.end()};
}
inline void append(octets& to, std::initializer_list<unsigned> values) {
    for (unsigned const v : values) to.push_back(static_cast<std::byte>(v & 255));
}
inline void append(octets& to, octets const& more) { to.insert(to.end(), more.begin(), more.end()); }
inline void be32(octets& to, std::size_t v) {
    for (int shift = 24; shift >= 0; shift -= 8) to.push_back(static_cast<std::byte>((v >> shift) & 255));
}
inline void le(octets& to, std::size_t v, int bytes) {
    for (int i = 0; i < bytes; ++i) to.push_back(static_cast<std::byte>((v >> (8 * i)) & 255));
}

/// A PNG chunk with its checksum.
inline octets chunk(std::string_view type, octets const& data) {
    octets out;
    be32(out, data.size());
    append(out, octets_of(type));
    append(out, data);
    be32(out, checksum_of(std::span(out).subspan(4)));
    return out;
}

/// A zlib stream that stores up to 65535 bytes as they are.
inline octets stored(octets const& data) {
    octets out;
    append(out, {0x78, 0x01, 0x01});
    le(out, data.size(), 2);
    le(out, ~data.size(), 2);
    append(out, data);
    be32(out, 0);
    return out;
}

/// A zlib stream that expands to 1 + 258 * `runs` zeros: one literal, then runs of the previous byte, 13 bits each.
inline octets bomb(std::size_t runs) {
    octets out;
    append(out, {0x78, 0x01});
    unsigned bits = 0, held = 0;
    auto const put = [&](unsigned value, unsigned count) { // most significant bit first, as Huffman codes are
        for (unsigned i = count; i-- > 0;) {
            held |= ((value >> i) & 1) << bits;
            if (++bits == 8) {
                out.push_back(static_cast<std::byte>(held));
                bits = held = 0;
            }
        }
    };
    put(1, 1);    // the last block
    put(0b10, 2); // fixed codes; the type's low bit comes first
    put(0b00110000, 8);
    for (std::size_t i = 0; i < runs; ++i) put(0b11000101, 8), put(0, 5); // length 258, distance 1
    put(0, 7);
    put(0, 7);
    be32(out, 0);
    return out;
}

inline octets png(std::size_t width, std::size_t height, unsigned depth, unsigned colour, octets const& data,
                  octets const& transparent = {}) {
    octets header, out = octets_of({"\x89PNG\r\n\x1A\n", 8});
    be32(header, width);
    be32(header, height);
    append(header, {depth, colour, 0, 0, 0});
    append(out, chunk("IHDR", header));
    if (!transparent.empty()) append(out, chunk("tRNS", transparent));
    append(out, chunk("IDAT", data));
    append(out, chunk("IEND", {}));
    return out;
}

inline std::array<unsigned, 3> gif_colour(unsigned index) { return {index, 255 - index, 2 * index & 255}; }

/// A GIF with one picture of fewer than 126 pixels, so that with a palette of 128 colours all codes have 8 bits. The
/// background colour is 9; `transparent` is a colour or -1.
inline octets gif(std::size_t width, std::size_t height, std::array<std::size_t, 4> const& left_top_width_height,
                  std::initializer_list<unsigned> colours, int transparent) {
    octets out = octets_of("GIF89a");
    le(out, width, 2);
    le(out, height, 2);
    append(out, {0x86, 9, 0});
    for (unsigned i = 0; i < 128; ++i)
        for (unsigned const v : gif_colour(i)) append(out, {v});
    if (transparent >= 0) append(out, {0x21, 0xF9, 4, 1, 0, 0, static_cast<unsigned>(transparent), 0});
    append(out, {0x2C});
    for (std::size_t const v : left_top_width_height) le(out, v, 2);
    append(out, {0, 7, static_cast<unsigned>(colours.size() + 2), 0x80});
    append(out, colours);
    append(out, {0x81, 0, 0x3B});
    return out;
}

inline octets bmp(std::size_t width, std::size_t height, std::size_t bits, std::size_t compression,
                  std::initializer_list<unsigned> rows) {
    octets out = octets_of("BM");
    le(out, 54 + rows.size(), 4);
    le(out, 0, 4);
    le(out, 54, 4);
    le(out, 40, 4);
    le(out, width, 4);
    le(out, height, 4);
    le(out, 1, 2);
    le(out, bits, 2);
    le(out, compression, 4);
    for (int i = 0; i < 5; ++i) le(out, 0, 4);
    append(out, rows);
    return out;
}

} // namespace files
