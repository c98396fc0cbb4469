// SPDX-License-Identifier: Apache-2.0
// Checks the checksums of a PNG file's chunks. stb_image does not, so a damaged file would become another picture.
#pragma once

#include <cstddef>
#include <llamavision/image/png.hpp>
#include <llamavision/image/source.hpp>
#include <llamavision/support/crc32.hpp>
#include <llamavision/support/quoted.hpp>
#include <string>
#include <string_view>

namespace llamavision::image::detail {

/// Checks every chunk before the end of the picture's data, and of those after it only the critical ones, like Pillow.
/// (Pillow also checks the checksum inside of the compressed data; the checksums of chunks cover the same bytes.)
/// @pre read_png_header has read the file, so the chain of chunks is complete
/// @throws image_error with the chunk's name and offset, if its bytes do not match its checksum
inline void check_png_checksums(source const& file) {
    bool data_seen = false;
    for (std::size_t at = png_signature.size(); !file.has(at + 4, "IEND"); at += 12 + file.be32(at)) {
        bool const is_remark = (file.u8(at + 4) & 0x20) != 0; // a small first letter: not critical, like text and time
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
