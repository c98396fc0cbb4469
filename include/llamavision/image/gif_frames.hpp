// SPDX-License-Identifier: Apache-2.0
// All pictures of an animated GIF, each drawn over what the ones before it left, as Pillow's GifImagePlugin draws them.
// Rules that the format leaves open are Pillow's and are named where they are.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <llamavision/image/decoder.hpp>
#include <llamavision/image/gif.hpp>
#include <llamavision/image/source.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace llamavision::image::detail {

/// A colour table in the file: the offset of its first colour and their number; 0 if there is none.
struct gif_palette {
    std::size_t at = 0, colours = 0;

    /// Grey levels if there is no table. A colour that the table lacks is `otherwise`.
    std::array<std::uint8_t, 3> colour(source const& file, std::size_t index, std::size_t otherwise) const {
        if (colours == 0) {
            auto const level = static_cast<std::uint8_t>(index);
            return {level, level, level};
        }
        std::array<std::uint8_t, 3> rgb{};
        if (index >= colours) index = otherwise;
        for (std::size_t i = 0; i < 3 && index < colours; ++i)
            rgb[i] = static_cast<std::uint8_t>(file.u8(at + 3 * index + i));
        return rgb;
    }
};

/// One picture of the file.
struct gif_frame {
    std::size_t left = 0, top = 0, width = 0, height = 0; ///< its rectangle on the screen
    gif_palette palette;
    std::optional<std::size_t> transparent; ///< the colour that is not drawn
    unsigned disposal = 0;                  ///< 2: afterwards its rectangle is cleared; 3 and more: restored
    unsigned duration = 0;                  ///< milliseconds
    bool interlaced = false;
    std::size_t data = 0; ///< offset of its first byte of compressed data: the smallest size of a code
};

struct gif_animation {
    std::size_t width = 0, height = 0;
    std::size_t background = 0; ///< index of a colour
    std::vector<gif_frame> frames;
};

/// Reads the structure of a whole GIF. A file that ends between pictures has those that came before, as in Pillow.
inline gif_animation read_gif_animation(source const& file) {
    if (!file.has(0, "GIF87a") && !file.has(0, "GIF89a")) file.refuse("not a GIF");
    gif_animation says;
    says.width = file.le16(6);
    says.height = file.le16(8);
    std::size_t at = 13;
    auto const take_palette = [&](unsigned packed, gif_palette otherwise) {
        if ((packed & 0x80) == 0) return otherwise;
        gif_palette const found{at, std::size_t{2} << (packed & 7)};
        file.require(at, 3 * found.colours, "a GIF palette");
        at += 3 * found.colours;
        return found;
    };
    gif_palette const shared = take_palette(file.u8(10), {});
    if (shared.colours != 0) says.background = file.u8(11);
    gif_frame next;
    unsigned disposal = 0; // stays what it was where a picture does not say it (Pillow)
    while (at < file.size() && file.u8(at) != 0x3B) {
        unsigned const kind = file.u8(at);
        if (kind == 0x21) {
            if (file.u8(at + 1) == 0xF9 && file.u8(at + 2) >= 4) {
                unsigned const packed = file.u8(at + 3);
                if ((packed & 1) != 0) next.transparent = file.u8(at + 6);
                if ((packed >> 2 & 7) != 0) disposal = packed >> 2 & 7;
                next.duration = file.le16(at + 4) * 10;
            }
            at = skip_gif_blocks(file, at + 2);
        } else if (kind == 0x2C) {
            next.left = file.le16(at + 1);
            next.top = file.le16(at + 3);
            next.width = file.le16(at + 5);
            next.height = file.le16(at + 7);
            unsigned const packed = file.u8(at + 9);
            std::string const which = "picture " + std::to_string(says.frames.size() + 1);
            if (says.frames.empty()) { // it may be larger than the screen
                says.width = std::max(says.width, next.left + next.width);
                says.height = std::max(says.height, next.top + next.height);
            }
            if (next.left + next.width > says.width || next.top + next.height > says.height)
                file.refuse("a GIF whose " + which + " lies outside its screen, which is not supported");
            at += 10;
            next.palette = take_palette(packed, shared);
            next.interlaced = (packed & 0x40) != 0;
            next.disposal = disposal;
            next.data = at;
            at = skip_gif_blocks(file, at + 1);
            if (next.width * next.height / pixels_per_gif_byte > at - next.data)
                file.refuse("a damaged GIF: its " + which + " has more pixels than its data can hold");
            says.frames.push_back(next);
            next = {};
        } else {
            ++at; // a stray byte
        }
    }
    if (says.frames.empty()) file.refuse("a GIF without a picture");
    return says;
}

/// The header that a picture would have if it were the file's first.
inline gif_header header_of(source const& file, gif_frame const& frame) {
    gif_header says;
    says.left = frame.left;
    says.top = frame.top;
    says.frame_width = frame.width;
    says.frame_height = frame.height;
    says.transparent = frame.transparent;
    says.is_interlaced = frame.interlaced;
    says.code_bits = file.u8(frame.data);
    if (says.code_bits > 11)
        file.refuse("a damaged GIF: indexes of " + std::to_string(says.code_bits) + " bits at byte "
                    + std::to_string(frame.data));
    says.data = frame.data + 1;
    read_gif_palette(file, frame.palette.at, frame.palette.colours, says);
    return says;
}

/// What is visible while an animation plays.
class gif_screen {
  public:
    gif_screen(source const& file, gif_animation const& says)
        : file_(file), says_(says), has_alpha_(says.frames[0].transparent.has_value()),
          rgba_(4 * says.width * says.height) {
        // Behind the first picture is its transparent colour, else its first (Pillow).
        gif_frame const& first = says.frames[0];
        fill({0, 0, says.width, says.height, first.palette, first.transparent, 0, 0, false, 0},
             first.transparent.value_or(0), first.transparent.has_value());
    }

    /// Draws the next picture.
    void draw(std::size_t number) {
        if (number > 0) dispose(number - 1);
        gif_frame const& frame = says_.frames[number];
        if (frame.disposal >= 3 && number > 0) below_ = copy(frame);
        gif_header const says = header_of(file_, frame);
        std::vector<std::uint8_t> const indexes = gif_indexes(file_, says);
        auto index = indexes.begin();
        for (std::size_t const y : gif_rows(says)) {
            std::uint8_t* to = pixel(frame.left, frame.top + y);
            for (std::size_t x = 0; x < frame.width; ++x, ++index, to += 4) {
                bool const drawn = *index != frame.transparent;
                if (!drawn && number > 0) continue;
                std::copy(says.palette[*index].begin(), says.palette[*index].end(), to);
                to[3] = drawn ? 255 : 0;
            }
        }
    }

    /// What is visible.
    raw_picture picture() const { return {says_.width, says_.height, pixel_format::rgba, rgba_}; }

  private:
    std::uint8_t* pixel(std::size_t x, std::size_t y) { return rgba_.data() + 4 * (y * says_.width + x); }

    void fill(gif_frame const& where, std::size_t index, bool see_through) {
        auto const rgb = where.palette.colour(file_, index, 0);
        for (std::size_t y = 0; y < where.height; ++y) {
            std::uint8_t* to = pixel(where.left, where.top + y);
            for (std::size_t x = 0; x < where.width; ++x, to += 4) {
                std::copy(rgb.begin(), rgb.end(), to);
                to[3] = see_through && has_alpha_ ? 0 : 255;
            }
        }
    }

    std::vector<std::uint8_t> copy(gif_frame const& where) {
        std::vector<std::uint8_t> out;
        for (std::size_t y = 0; y < where.height; ++y) {
            std::uint8_t const* from = pixel(where.left, where.top + y);
            out.insert(out.end(), from, from + 4 * where.width);
        }
        return out;
    }

    /// What a picture leaves for the next one.
    void dispose(std::size_t number) {
        gif_frame const& frame = says_.frames[number];
        if (frame.disposal == 2) {
            fill(frame, frame.transparent.value_or(says_.background), frame.transparent.has_value());
        } else if (frame.disposal >= 3 && number > 0) {
            for (std::size_t y = 0; y < frame.height; ++y)
                std::copy_n(below_.begin() + static_cast<std::ptrdiff_t>(4 * frame.width * y), 4 * frame.width,
                            pixel(frame.left, frame.top + y));
        } else if (frame.disposal >= 3 && frame.transparent) { // nothing is below the first
            fill(frame, *frame.transparent, true);
        }
    }

    source const& file_;
    gif_animation const& says_;
    bool has_alpha_; ///< as in Pillow, of the first picture
    std::vector<std::uint8_t> rgba_;
    std::vector<std::uint8_t> below_; ///< what was in the rectangle of a picture that restores it
};

/// GIF as an animation. `decode` and `open`, which want the first picture alone, do not use it.
class gif_decoder final : public decoder {
  public:
    std::string_view name() const override { return "GIF"; }
    bool recognises(source const& file) const override { return file.has(0, "GIF8"); }

    picture_facts read_header(source const& file, std::size_t) const override {
        gif_animation const says = read_gif_animation(file);
        picture_facts facts{says.width, says.height, says.frames.size(), {}, 1};
        for (gif_frame const& frame : says.frames) facts.durations.push_back(frame.duration);
        return facts;
    }

    std::vector<raw_picture> decode(source const& file, std::span<std::size_t const> frames,
                                    std::size_t) const override {
        gif_animation const says = read_gif_animation(file);
        gif_screen screen(file, says);
        std::vector<raw_picture> out;
        for (std::size_t next = 0; std::size_t const wanted : frames) {
            while (next <= wanted) screen.draw(next++);
            out.push_back(screen.picture());
        }
        return out;
    }
};

} // namespace llamavision::image::detail
