// SPDX-License-Identifier: Apache-2.0
// Reads the header of a BMP file, and checks that the file contains all rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <llamavision/image/source.hpp>
#include <llamavision/support/ceil_div.hpp>

namespace llamavision::image::detail {

/// Reads the header.
/// @throws image_error if the header is of another kind, the picture is compressed, or rows are missing
inline header read_bmp_header(source const& file, std::size_t max_pixels) {
    if (!file.has(0, "BM")) file.refuse("not a BMP");
    std::size_t const offset = file.le32(10), header_size = file.le32(14);
    bool const os2 = header_size == 12;
    if (!os2 && header_size != 40 && header_size != 56 && header_size != 108 && header_size != 124)
        file.refuse("a BMP with a header of " + std::to_string(header_size) + " bytes, which is not supported");
    std::size_t const bits = file.le16(os2 ? 24 : 28), compression = os2 ? 0 : file.le32(30);
    if (compression != 0 && compression != 3) file.refuse("a compressed BMP, which is not supported");
    header says;
    says.width = os2 ? file.le16(18) : file.le32(18);
    std::uint32_t const height = os2 ? file.le16(20) : file.le32(22);
    says.height = height >> 31 ? 0 - height : height; // a negative height: rows from the top down
    if (says.width >> 31 || says.height >> 31) file.refuse("a damaged BMP: a side of 2^31 pixels or more");
    says.data_bytes = file.size();
    says.pixels_per_byte = 8; // one bit a pixel
    check_size(file, says, max_pixels);
    // Without masks the fourth byte of a pixel is padding.
    says.alpha_means_nothing = compression == 0;
    // Rows are padded to 4 bytes; some writers leave out the padding of the last one.
    std::size_t const row = ceil_div(says.width * bits, 8), stride = round_up(row, 4);
    file.require(offset, stride * (says.height - 1) + row, "the rows of a BMP");
    return says;
}

} // namespace llamavision::image::detail
