// SPDX-License-Identifier: Apache-2.0
// Text that knows which of its bytes a user wrote. Whatever a template does with a string is built from append(), so
// the marks move with the bytes, and no special token is ever read out of what a user said.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace llamavision::tokens {

/// Bytes [begin, end) of a text.
struct text_range {
    std::size_t begin = 0;
    std::size_t end = 0;
    friend bool operator==(text_range, text_range) = default;
};

class marked_text {
  public:
    marked_text() = default;
    marked_text(std::string_view bytes, bool from_user) { append(bytes, from_user); }

    [[nodiscard]] std::string const& bytes() const { return bytes_; }
    [[nodiscard]] std::size_t size() const { return bytes_.size(); }
    [[nodiscard]] bool empty() const { return bytes_.empty(); }

    /// What came from a user: ascending, neither empty nor touching one another.
    [[nodiscard]] std::vector<text_range> const& from_user() const { return ranges_; }

    /// Whether byte `at` came from a user.
    [[nodiscard]] bool is_from_user(std::size_t at) const {
        auto const after = first_ending_after(at);
        return after != ranges_.end() && after->begin <= at;
    }

    void append(std::string_view bytes, bool from_user) {
        auto const begin = bytes_.size();
        bytes_ += bytes;
        if (from_user) mark(begin, bytes_.size());
    }
    void append(marked_text const& other) { append(other, 0, other.size()); }

    /// Bytes [begin, end) of another text.
    void append(marked_text const& other, std::size_t begin, std::size_t end) {
        auto const start = bytes_.size();
        bytes_.append(other.bytes_, begin, end - begin);
        for (auto range = other.first_ending_after(begin); range != other.ranges_.end() && range->begin < end; ++range)
            mark(start + std::max(range->begin, begin) - begin, start + std::min(range->end, end) - begin);
    }

    [[nodiscard]] marked_text slice(std::size_t begin, std::size_t end) const {
        marked_text made;
        made.append(*this, begin, end);
        return made;
    }

    /// Bytes of memory that it takes, but for spare room.
    [[nodiscard]] std::size_t footprint() const { return bytes_.size() + ranges_.size() * sizeof(text_range); }

    [[nodiscard]] std::string take_bytes() && { return std::move(bytes_); }
    [[nodiscard]] std::vector<text_range> take_ranges() && { return std::move(ranges_); }

  private:
    [[nodiscard]] std::vector<text_range>::const_iterator first_ending_after(std::size_t at) const {
        return std::upper_bound(ranges_.begin(), ranges_.end(), at,
                                [](std::size_t byte, text_range const& range) { return byte < range.end; });
    }
    void mark(std::size_t begin, std::size_t end) {
        if (begin == end) return;
        if (!ranges_.empty() && ranges_.back().end == begin)
            ranges_.back().end = end;
        else
            ranges_.push_back({begin, end});
    }

    std::string bytes_;
    std::vector<text_range> ranges_;
};

} // namespace llamavision::tokens
