// SPDX-License-Identifier: Apache-2.0
// Counts the blocks of a JPEG's scan, without decoding them: whether a file that has no end mark has all of its
// picture.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <llamavision/image/jpeg_tables.hpp>
#include <llamavision/image/source.hpp>
#include <llamavision/support/ceil_div.hpp>
#include <span>
#include <string>
#include <vector>

namespace llamavision::image::detail {

/// The Huffman tables that are in force: by class (0: DC, 1: AC) and number, as a DHT segment has them.
class jpeg_huffman_tables {
  public:
    /// Reads the table that begins at byte `at` of a segment that ends at `end`: class and number, 16 counts, values.
    /// Returns its bytes. Releases of stb_image up to 2.27 check neither the number of codes nor the segment's end,
    /// and write outside of their memory.
    /// @throws image_error if it has more than 256 codes, or the segment ends in it
    std::size_t read(source const& file, std::size_t at, std::size_t end) {
        auto const is_cut = [&] {
            file.refuse("a damaged JPEG: a segment ends in its Huffman table at byte " + std::to_string(at));
        };
        if (end - at < 17) is_cut();
        std::size_t codes = 0;
        for (std::size_t length = 1; length <= 16; ++length) codes += file.u8(at + length);
        if (codes > 256)
            file.refuse("a damaged JPEG: a Huffman table of " + std::to_string(codes) + " codes at byte "
                        + std::to_string(at));
        if (end - at < 17 + codes) is_cut();
        // One of a class or number that there is not is left to the decoder, which refuses it.
        if (std::uint32_t const which = file.u8(at); (which & 0xEC) == 0) {
            std::vector<std::uint8_t>& table = tables_[place(which >> 4, which & 3)];
            table.clear();
            for (std::size_t i = 0; i < 17 + codes; ++i) table.push_back(static_cast<std::uint8_t>(file.u8(at + i)));
        }
        return 17 + codes;
    }

    /// Where tables 0 and 1 of a class are not there, the standard ones are meant. Returns those that were not.
    [[nodiscard]] std::vector<std::span<std::uint8_t const>> add_missing() {
        std::array<std::span<std::uint8_t const>, 4> const standard = {dc_luminance, dc_chrominance, ac_luminance,
                                                                       ac_chrominance};
        std::vector<std::span<std::uint8_t const>> added;
        for (std::size_t i = 0; i < 4; ++i) {
            std::vector<std::uint8_t>& table = tables_[place(i / 2, i % 2)];
            if (!table.empty()) continue;
            table.assign(standard[i].begin(), standard[i].end());
            added.push_back(standard[i]);
        }
        return added;
    }

    [[nodiscard]] std::span<std::uint8_t const> table(std::size_t of_class, std::size_t number) const {
        return tables_[place(of_class, number)];
    }

  private:
    static std::size_t place(std::size_t of_class, std::size_t number) { return of_class * 4 + number; }
    std::array<std::vector<std::uint8_t>, 8> tables_;
};

/// The bits of a scan, without its stuffed zeros.
class jpeg_bits {
  public:
    jpeg_bits(source const& file, std::size_t at) : file_(file), at_(at) {}

    /// The next bit; 0 behind the end, and at a marker.
    [[nodiscard]] unsigned next() {
        if (left_ == 0) refill();
        --left_;
        return byte_ >> left_ & 1;
    }
    void skip(unsigned count) {
        while (count-- > 0) static_cast<void>(next());
    }
    /// Goes on behind a restart marker.
    void restart() {
        left_ = 0;
        if (at_ + 1 < file_.size() && file_.u8(at_) == 0xFF && file_.u8(at_ + 1) >= 0xD0 && file_.u8(at_ + 1) <= 0xD7)
            at_ += 2;
    }
    /// Whether bits were asked for that there are not.
    [[nodiscard]] bool is_past_end() const { return past_end_; }

  private:
    void refill() {
        left_ = 8;
        byte_ = 0;
        if (at_ >= file_.size() || (file_.u8(at_) == 0xFF && (at_ + 1 >= file_.size() || file_.u8(at_ + 1) != 0))) {
            past_end_ = true;
            return;
        }
        byte_ = file_.u8(at_);
        at_ += byte_ == 0xFF ? 2 : 1;
    }

    source const& file_;
    std::size_t at_;
    unsigned byte_ = 0, left_ = 0;
    bool past_end_ = false;
};

/// The value of the next code; 256 if no code begins so. Codes of one length follow each other (ITU T.81, annex C).
inline unsigned next_code(jpeg_bits& bits, std::span<std::uint8_t const> table) {
    std::uint32_t code = 0, first = 0;
    std::size_t value = 17;
    for (std::size_t length = 1; length <= 16; ++length) {
        code = code << 1 | bits.next();
        std::uint32_t const count = table[length];
        if (code - first < count && value + (code - first) < table.size()) return table[value + (code - first)];
        value += count;
        first = (first + count) << 1;
    }
    return 256;
}

/// Whether the scan whose marker is at `scan` has all blocks of the picture. Only for baseline files of one scan;
/// others are said to be incomplete.
inline bool has_all_blocks(source const& file, std::size_t frame, std::size_t scan, jpeg_huffman_tables const& tables,
                           std::size_t restart_interval) {
    std::size_t const kind = file.u8(frame + 1), components = file.u8(frame + 9), read = file.u8(scan + 4);
    if (kind > 0xC1 || components == 0 || components > 4 || read != components) return false;
    std::size_t const height = file.be16(frame + 5), width = file.be16(frame + 7);
    std::size_t most_across = 1, most_down = 1;
    struct component {
        std::span<std::uint8_t const> dc, ac;
        std::size_t blocks;
    };
    std::array<component, 4> parts{};
    for (std::size_t i = 0; i < components; ++i) {
        std::uint32_t const sampling = file.u8(frame + 11 + 3 * i), which = file.u8(scan + 6 + 2 * i);
        std::size_t const across = sampling >> 4, down = sampling & 15;
        if (across == 0 || across > 4 || down == 0 || down > 4 || (which >> 4) > 3 || (which & 15) > 3) return false;
        most_across = std::max(most_across, across);
        most_down = std::max(most_down, down);
        parts[i] = {tables.table(0, which >> 4), tables.table(1, which & 15), components == 1 ? 1 : across * down};
        if (parts[i].dc.empty() || parts[i].ac.empty()) return false;
    }
    if (components == 1) most_across = most_down = 1; // the blocks of a single component stand row by row
    std::size_t const units = ceil_div(width, 8 * most_across) * ceil_div(height, 8 * most_down);
    jpeg_bits bits(file, scan + 2 + file.be16(scan + 2));
    for (std::size_t unit = 0; unit < units; ++unit) {
        if (restart_interval > 0 && unit > 0 && unit % restart_interval == 0) bits.restart();
        for (std::size_t i = 0; i < components; ++i)
            for (std::size_t block = 0; block < parts[i].blocks; ++block) {
                unsigned const dc = next_code(bits, parts[i].dc);
                if (dc > 15) return false;
                bits.skip(dc);
                for (std::size_t k = 1; k < 64; ++k) {
                    unsigned const ac = next_code(bits, parts[i].ac), zeros = ac >> 4, size = ac & 15;
                    if (ac > 255) return false;
                    if (size == 0 && zeros != 15) break; // the block ends
                    k += zeros;
                    bits.skip(size);
                }
                if (bits.is_past_end()) return false;
            }
    }
    return true;
}

} // namespace llamavision::image::detail
