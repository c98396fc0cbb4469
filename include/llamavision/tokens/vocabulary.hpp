// SPDX-License-Identifier: Apache-2.0
// The ordinary tokens: byte strings numbered by rank, in one block of memory, and a hash table from bytes to ranks.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <llamavision/support/error.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace llamavision::tokens {

/// Maps byte strings to ranks 0 … size() − 1 and back. Every single byte is a token, so any text can be encoded.
class vocabulary {
  public:
    using rank = std::uint32_t;
    static constexpr rank none = std::numeric_limits<rank>::max();

    /// An empty vocabulary, to be assigned to.
    vocabulary() = default;

    /// `bytes` holds all tokens one after the other; token r ends at `ends[r]`. `file` is named in errors.
    /// @throws format_error if a token is empty or occurs twice, or if a single byte has no token
    vocabulary(std::string bytes, std::vector<std::uint32_t> ends, std::string const& file)
        : bytes_(std::move(bytes)), ends_(std::move(ends)) {
        // At most half full, so that a search soon meets an empty slot.
        slots_.resize(std::bit_ceil(2 * ends_.size() + 2));
        for (rank r = 0; r < ends_.size(); ++r) {
            auto const text = (*this)[r];
            if (text.empty()) throw format_error(file + ": token " + std::to_string(r) + " is empty");
            auto& found = slots_[slot_of(text)];
            if (found.id != none)
                throw format_error(file + ": tokens " + std::to_string(found.id) + " and " + std::to_string(r)
                                   + " are the same bytes");
            found = {tag(hash(text)), r};
            longest_ = std::max(longest_, text.size());
        }
        for (unsigned byte = 0; byte < 256; ++byte) {
            auto const c = static_cast<char>(static_cast<unsigned char>(byte));
            if (find({&c, 1}) == none)
                throw format_error(file + ": no token for the single byte " + std::to_string(byte));
        }
    }

    std::size_t size() const { return ends_.size(); }

    /// The bytes of rank `r` < size().
    std::string_view operator[](rank r) const {
        std::size_t const begin = r == 0 ? 0 : ends_[r - 1];
        return std::string_view(bytes_).substr(begin, ends_[r] - begin);
    }

    /// The rank of exactly these bytes, or `none`.
    rank find(std::string_view text) const {
        if (text.size() > longest_) return none;
        return slots_[slot_of(text)].id;
    }

  private:
    struct slot {
        std::uint32_t tag = 0; // the hash's upper half: where it differs, bytes need not be compared
        rank id = none;
    };

    static std::uint64_t hash(std::string_view text) { // FNV-1a: most tokens are a few bytes long
        std::uint64_t h = 0xCBF29CE484222325u;
        for (char const c : text) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
        return h ^ h >> 29;
    }
    static std::uint32_t tag(std::uint64_t h) { return static_cast<std::uint32_t>(h >> 32); }

    // The slot that holds `text`, or the empty one where it belongs.
    std::size_t slot_of(std::string_view text) const {
        auto const h = hash(text);
        auto const mask = slots_.size() - 1;
        for (auto i = static_cast<std::size_t>(h) & mask;; i = (i + 1) & mask) {
            auto const s = slots_[i];
            if (s.id == none || (s.tag == tag(h) && (*this)[s.id] == text)) return i;
        }
    }

    std::string bytes_;
    std::vector<std::uint32_t> ends_;
    std::vector<slot> slots_;
    std::size_t longest_ = 0;
};

} // namespace llamavision::tokens
