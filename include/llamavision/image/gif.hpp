// SPDX-License-Identifier: Apache-2.0
// Reads the first picture of a GIF: its place on the screen, its palette, and its indexes, which are packed by LZW.
// Where files are not as the standard wants them, the result is Pillow's; stb_image refuses some of them, and decodes
// others to other pixels.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <llamavision/image/pixels.hpp>
#include <llamavision/image/source.hpp>
#include <optional>
#include <string>
#include <vector>

namespace llamavision::image::detail {

/// The most pixels that a byte can expand to: LZW has codes of at most 12 bits, and a code of 1.5 bytes stands for at
/// most 4096 pixels.
inline constexpr std::size_t pixels_per_gif_byte = 4096;

/// The header of a GIF's first picture. `width` and `height` are the screen's, and larger if the picture sticks out.
struct gif_header : header {
    std::size_t left = 0, top = 0, frame_width = 0, frame_height = 0; ///< the picture's rectangle on the screen
    std::array<std::array<std::uint8_t, 3>, 256> palette{};
    std::optional<std::size_t> transparent; ///< the transparent colour
    bool is_interlaced = false;
    std::size_t code_bits = 0; ///< of an index; of more than 8, the lowest 8 count
    std::size_t data = 0;      ///< where the blocks of codes begin
};

/// Skips blocks, each a length of 1 to 255 and so many bytes, up to the one of length 0. Returns the offset after it.
inline std::size_t skip_gif_blocks(source const& file, std::size_t at) {
    for (std::size_t length; (length = file.u8(at)) != 0; at += 1 + length) file.require(at + 1, length, "a GIF block");
    return at + 1;
}

/// Reads a palette of `colours`. What it lacks is black; but where it is the beginning of a grey ramp, or nothing, the
/// ramp goes on.
inline void read_gif_palette(source const& file, std::size_t at, std::size_t colours, gif_header& says) {
    file.require(at, 3 * colours, "a GIF palette");
    bool is_ramp = true;
    for (std::size_t i = 0; i < 256; ++i)
        for (std::size_t k = 0; k < 3; ++k) {
            says.palette[i][k] = static_cast<std::uint8_t>(i < colours ? file.u8(at + 3 * i + k) : is_ramp ? i : 0);
            is_ramp = is_ramp && says.palette[i][k] == i;
        }
}

/// Reads a file up to the codes of its first picture.
/// @throws image_error if the file ends before that, or has no picture
inline gif_header read_gif_header(source const& file) {
    if (!file.has(0, "GIF87a") && !file.has(0, "GIF89a")) file.refuse("not a GIF");
    gif_header says;
    says.width = file.le16(6);
    says.height = file.le16(8);
    says.pixels_per_byte = pixels_per_gif_byte;
    std::size_t at = 13;
    // Reads a palette, if the highest bit of the packed byte says that there is one.
    auto const take_palette = [&](unsigned packed) {
        std::size_t const colours = packed & 0x80 ? std::size_t{2} << (packed & 7) : 0;
        if (colours == 0 && at > 13) return;
        read_gif_palette(file, at, colours, says);
        at += 3 * colours;
    };
    take_palette(file.u8(10));
    for (unsigned kind; (kind = file.u8(at)) != 0x2C;) {
        if (kind == 0x3B) file.refuse("a GIF without a picture");
        if (kind != 0x21) { // a stray byte
            ++at;
            continue;
        }
        bool const is_control = file.u8(at + 1) == 0xF9 && file.u8(at + 2) >= 4; // a graphic control extension
        if (is_control && (file.u8(at + 3) & 1)) says.transparent = file.u8(at + 6);
        at = skip_gif_blocks(file, at + 2);
    }
    says.left = file.le16(at + 1);
    says.top = file.le16(at + 3);
    says.frame_width = file.le16(at + 5);
    says.frame_height = file.le16(at + 7);
    if (says.frame_width == 0 || says.frame_height == 0) file.refuse("a GIF whose first picture has no pixels");
    says.width = std::max(says.width, says.left + says.frame_width);
    says.height = std::max(says.height, says.top + says.frame_height);
    unsigned const packed = file.u8(at + 9);
    says.is_interlaced = (packed & 0x40) != 0;
    at += 10;
    take_palette(packed);
    says.code_bits = file.u8(at);
    if (says.code_bits > 11)
        file.refuse("a damaged GIF: indexes of " + std::to_string(says.code_bits) + " bits at byte "
                    + std::to_string(at));
    says.data = at + 1;
    says.data_bytes = file.size() - says.data;
    return says;
}

/// The codes of a picture: bits from the lowest on, in blocks.
class gif_codes {
  public:
    gif_codes(source const& file, std::size_t at) : file_(file), at_(at) {}

    /// The next code.
    /// @throws image_error if the blocks end in it
    std::size_t next(unsigned bits) {
        for (; held_ < bits; held_ += 8) bits_ |= next_byte() << held_;
        std::uint32_t const code = bits_ & ((1U << bits) - 1);
        bits_ >>= bits;
        held_ -= bits;
        return code;
    }

    [[noreturn]] void refuse_early_end() const {
        file_.refuse("truncated: the GIF's first picture ends at byte " + std::to_string(at_)
                     + ", before its last row");
    }

  private:
    std::uint32_t next_byte() {
        if (left_ == 0) {
            left_ = at_ < file_.size() ? file_.u8(at_) : 0;
            if (left_ == 0 || left_ > file_.size() - at_ - 1) refuse_early_end();
            ++at_;
        }
        --left_;
        return file_.u8(at_++);
    }

    source const& file_;
    std::size_t at_, left_ = 0;
    std::uint32_t bits_ = 0;
    unsigned held_ = 0;
};

/// The palette indexes of the first picture, (frame_height, frame_width), rows in the order of the file. A code below
/// `clear` is an index; `clear` empties the table; `clear` + 1 is the end; others stand for the string that they were
/// added for: that of the code before, and the first index of the one after. When all 4096 codes are used, none is
/// added.
/// @throws image_error if a code is not in the table, or there are too few
inline std::vector<std::uint8_t> gif_indexes(source const& file, gif_header const& says) {
    constexpr std::size_t most_codes = 4096;
    std::vector<std::uint8_t> out(says.frame_width * says.frame_height);
    std::vector<std::uint16_t> before(most_codes); // the code of a string without its last index
    std::vector<std::uint8_t> last(most_codes);    // the last index
    std::vector<std::uint8_t> reversed;            // a string from its end
    std::size_t const clear = std::size_t{1} << says.code_bits, end = clear + 1;
    std::size_t used = end + 1, previous = clear; // `clear`: there is no code before
    auto bits = static_cast<unsigned>(says.code_bits) + 1;
    std::uint8_t first = 0; // index of the string of `previous`
    gif_codes codes(file, says.data);
    for (std::size_t at = 0; at < out.size();) {
        std::size_t const code = codes.next(bits);
        if (code == end) codes.refuse_early_end();
        if (code == clear) {
            used = end + 1;
            previous = clear;
            bits = static_cast<unsigned>(says.code_bits) + 1;
            continue;
        }
        if (code > (previous == clear ? clear : used)) file.refuse("a damaged GIF: a code that is not in its table");
        reversed.clear();
        std::size_t rest = code;
        if (code == used) { // the string of this code ends as it begins
            reversed.push_back(first);
            rest = previous;
        }
        for (; rest >= clear; rest = before[rest]) reversed.push_back(last[rest]);
        first = static_cast<std::uint8_t>(rest);
        reversed.push_back(first);
        if (previous != clear && used < most_codes) {
            before[used] = static_cast<std::uint16_t>(previous);
            last[used] = first;
            if (++used == std::size_t{1} << bits && bits < 12) ++bits;
        }
        previous = code;
        std::size_t const count = std::min(reversed.size(), out.size() - at); // what is more is dropped
        std::copy_n(reversed.rbegin(), count, out.begin() + static_cast<std::ptrdiff_t>(at));
        at += count;
    }
    return out;
}

/// The place on the picture of each row in the file. Interlaced, every eighth row from 0 comes first, then every eighth
/// from 4, every fourth from 2, and every second from 1.
inline std::vector<std::size_t> gif_rows(gif_header const& says) {
    std::vector<std::size_t> rows;
    auto const add = [&](std::size_t from, std::size_t step) {
        for (std::size_t y = from; y < says.frame_height; y += step) rows.push_back(y);
    };
    if (says.is_interlaced)
        add(0, 8), add(4, 8), add(2, 4), add(1, 2);
    else
        add(0, 1);
    return rows;
}

/// The screen with the first picture. Around it the screen has the transparent colour, or colour 0; the background
/// colour of the file is not used.
inline pixels decode_gif(source const& file, gif_header const& says, alpha_policy alpha) {
    std::vector<std::uint8_t> const indexes = gif_indexes(file, says);
    std::vector<std::uint8_t> screen(says.width * says.height, static_cast<std::uint8_t>(says.transparent.value_or(0)));
    std::uint8_t const* from = indexes.data();
    for (std::size_t const y : gif_rows(says)) {
        std::copy_n(from, says.frame_width, screen.data() + (says.top + y) * says.width + says.left);
        from += says.frame_width;
    }
    pixels out = blank(says.width, says.height);
    std::uint8_t* to = out.rgb.data();
    for (std::uint8_t const index : screen) {
        bool const is_white = alpha == alpha_policy::white && index == says.transparent;
        for (std::uint8_t const level : says.palette[index]) *to++ = is_white ? std::uint8_t{255} : level;
    }
    return out;
}

} // namespace llamavision::image::detail
