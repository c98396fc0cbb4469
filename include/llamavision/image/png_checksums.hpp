// SPDX-License-Identifier: Apache-2.0
// The checksums of a PNG file's chunks: stb_image reads past them, and a damaged file would become another picture.
#pragma once

#include <cstddef>
#include <llamavision/image/png.hpp>
#include <llamavision/image/source.hpp>
#include <llamavision/support/crc32.hpp>
#include <llamavision/support/quoted.hpp>
#include <string>
#include <string_view>

namespace llamavision::image::detail {

/// Throws image_error, naming the chunk and where it begins, if a chunk's bytes are not those that its checksum was
/// made of. As with Pillow, that holds for every chunk before the picture's data, and for no remark (text, time) after
/// it. Pillow also checks the sum inside the compressed data; the checksums of the chunks that hold these cover every
/// byte.
/// @pre read_png_header has walked the file, so that the chain of chunks is whole
inline void check_png_checksums(source const& file) {
    bool data_seen = false;
    for (std::size_t at = png_signature.size(); !file.has(at + 4, "IEND"); at += 12 + file.be32(at)) {
        bool const is_remark = (file.u8(at + 4) & 0x20) != 0; // a small first letter
        if (data_seen && is_remark) continue;
        std::size_t const length = file.be32(at);
        crc32 sum;
        sum.add(file.bytes.subspan(at + 4, 4 + length));
        if (sum.value() != file.be32(at + 8 + length)) {
            std::string type;
            for (std::size_t i = 4; i < 8; ++i) type.push_back(static_cast<char>(file.u8(at + i)));
            file.refuse("a damaged PNG: the chunk " + in_quotes(type) + " at byte " + std::to_string(at)
                        + " does not match its checksum");
        }
        data_seen = data_seen || file.has(at + 4, "IDAT");
    }
}

} // namespace llamavision::image::detail
