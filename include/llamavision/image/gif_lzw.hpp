// SPDX-License-Identifier: Apache-2.0
// The palette indexes of a GIF's picture, which are packed by LZW (GIF89a, appendix F).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <llamavision/image/source.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace llamavision::image::detail {

/// The codes of a picture: bits from the lowest on, in blocks.
class gif_codes {
  public:
    gif_codes(source const& file, std::size_t at) : file_(file), at_(at) {}

    /// The next code; nothing if the blocks end in it, or the file.
    std::optional<std::size_t> next(unsigned bits) {
        for (; held_ < bits; held_ += 8) {
            if (left_ == 0) {
                left_ = at_ < file_.size() ? file_.u8(at_) : 0;
                if (left_ == 0 || left_ > file_.size() - at_ - 1) return std::nullopt;
                ++at_;
            }
            --left_;
            bits_ |= file_.u8(at_++) << held_;
        }
        std::uint32_t const code = bits_ & ((1U << bits) - 1);
        bits_ >>= bits;
        held_ -= bits;
        return code;
    }

    /// Where the next byte is.
    [[nodiscard]] std::size_t at() const { return at_; }

  private:
    source const& file_;
    std::size_t at_, left_ = 0;
    std::uint32_t bits_ = 0;
    unsigned held_ = 0;
};

struct gif_indexes {
    std::vector<std::uint8_t> values; ///< rows in the order of the file; of an index of more than 8 bits, the lowest 8
    std::size_t end;                  ///< where reading ended
};

/// Reads `count` indexes, or fewer if the picture has fewer. A code below `clear` is an index; `clear` empties the
/// table; `clear` + 1 is the end; others stand for the string that they were added for: that of the code before, and
/// the first index of the one after. When all 4096 codes are used, none is added.
/// @param at where the blocks of codes begin
/// @param code_bits of an index
/// @throws image_error if a code is not in the table, or an index has more than 11 bits
inline gif_indexes read_gif_indexes(source const& file, std::size_t at, std::size_t code_bits, std::size_t count) {
    if (code_bits > 11)
        file.refuse("a damaged GIF: indexes of " + std::to_string(code_bits) + " bits at byte "
                    + std::to_string(at - 1));
    constexpr std::size_t most_codes = 4096;
    std::vector<std::uint8_t> out;
    out.reserve(count);
    std::vector<std::uint16_t> before(most_codes); // the code of a string without its last index
    std::vector<std::uint8_t> last(most_codes);    // the last index
    std::vector<std::uint8_t> reversed;            // a string from its end
    std::size_t const clear = std::size_t{1} << code_bits, end = clear + 1;
    std::size_t used = end + 1, previous = clear; // `clear`: there is no code before
    auto bits = static_cast<unsigned>(code_bits) + 1;
    std::uint8_t first = 0; // index of the string of `previous`
    gif_codes codes(file, at);
    while (out.size() < count) {
        auto const code = codes.next(bits);
        if (!code || *code == end) break;
        if (*code == clear) {
            used = end + 1;
            previous = clear;
            bits = static_cast<unsigned>(code_bits) + 1;
            continue;
        }
        if (*code > (previous == clear ? clear : used)) file.refuse("a damaged GIF: a code that is not in its table");
        reversed.clear();
        std::size_t rest = *code;
        if (rest == used) { // the string of this code ends as it begins
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
        previous = *code;
        std::size_t const some = std::min(reversed.size(), count - out.size()); // what is more is dropped
        out.insert(out.end(), reversed.rbegin(), reversed.rbegin() + static_cast<std::ptrdiff_t>(some));
    }
    return {std::move(out), codes.at()};
}

/// The place on the picture of each row in the file. Interlaced, every eighth row from 0 comes first, then every eighth
/// from 4, every fourth from 2, and every second from 1.
inline std::vector<std::size_t> gif_rows(std::size_t height, bool is_interlaced) {
    std::vector<std::size_t> rows;
    auto const add = [&](std::size_t from, std::size_t step) {
        for (std::size_t y = from; y < height; y += step) rows.push_back(y);
    };
    if (is_interlaced)
        add(0, 8), add(4, 8), add(2, 4), add(1, 2);
    else
        add(0, 1);
    return rows;
}

} // namespace llamavision::image::detail
