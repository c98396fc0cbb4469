// SPDX-License-Identifier: Apache-2.0
// The bytes of a picture file, with checked access and errors that name the file; and what its header says.
#pragma once

#include <cstddef>
#include <cstdint>
#include <llamavision/support/error.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace llamavision::image {

/// A picture file in memory, and its name in errors.
struct source {
    std::span<std::byte const> bytes;
    std::string_view name;

    std::size_t size() const { return bytes.size(); }

    /// Refuses the file.
    /// @throws image_error "NAME: WHAT"
    [[noreturn]] void refuse(std::string const& what) const { throw image_error(std::string(name) + ": " + what); }

    /// Checks that the file has the bytes [at, at + count).
    /// @throws image_error
    void require(std::size_t at, std::size_t count, char const* what) const {
        if (at > size() || count > size() - at)
            refuse("truncated: the file ends at byte " + std::to_string(size()) + ", inside " + what + " at byte "
                   + std::to_string(at));
    }

    std::uint32_t u8(std::size_t at) const {
        require(at, 1, "a byte");
        return std::to_integer<std::uint32_t>(bytes[at]);
    }
    std::uint32_t be16(std::size_t at) const { return u8(at) << 8 | u8(at + 1); }
    std::uint32_t le16(std::size_t at) const { return u8(at) | u8(at + 1) << 8; }
    std::uint32_t be32(std::size_t at) const { return be16(at) << 16 | be16(at + 2); }
    std::uint32_t le32(std::size_t at) const { return le16(at) | le16(at + 2) << 16; }

    /// Whether the bytes from `at` on are `text`; false if the file ends before that.
    bool has(std::size_t at, std::string_view text) const {
        if (at > size() || text.size() > size() - at) return false;
        for (std::size_t i = 0; i < text.size(); ++i)
            if (static_cast<char>(std::to_integer<unsigned char>(bytes[at + i])) != text[i]) return false;
        return true;
    }
};

/// The header of a picture file.
struct header {
    std::size_t width = 0;
    std::size_t height = 0;
    std::size_t data_bytes = 0;       ///< the largest number of bytes that can hold the picture
    std::size_t pixels_per_byte = 1;  ///< the most pixels that one of these bytes can expand to
    std::size_t side_step = 1;        ///< the decoder rounds sides up to a multiple of it
    bool alpha_means_nothing = false; ///< a fourth channel is not transparency
    std::vector<std::byte> exif;      ///< its EXIF data, with the mark "Exif\0\0" before them; empty if there are none
    std::vector<std::byte> xmp;       ///< its XMP, a text; empty if there is none
};

/// Checks the sizes in a header.
/// @throws image_error if a size is 0, if there are more than `max_pixels` pixels, or more than the file's bytes can
///         expand to
inline void check_size(source const& file, header const& says, std::size_t max_pixels) {
    std::string const size = std::to_string(says.width) + " x " + std::to_string(says.height) + " pixels";
    if (says.width == 0 || says.height == 0) file.refuse("its header says " + size);
    if (says.height > max_pixels / says.width)
        file.refuse("its header says " + size + ", more than the allowed " + std::to_string(max_pixels));
    if (says.width * says.height / says.pixels_per_byte > says.data_bytes)
        file.refuse("its header says " + size + ", more than its " + std::to_string(says.data_bytes)
                    + " bytes of picture data can hold");
}

} // namespace llamavision::image
