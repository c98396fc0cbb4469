// SPDX-License-Identifier: Apache-2.0
// Byte-pair encoding by rank: of all neighbouring parts whose concatenation is a token, join the pair of lowest rank,
// the leftmost of equals; repeat until no pair is left. With a linked list of parts and a heap of pairs, O(n log n) for
// a piece of n bytes.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <llamavision/support/error.hpp>
#include <llamavision/tokens/token.hpp>
#include <llamavision/tokens/vocabulary.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace llamavision::tokens {

/// Encodes pieces with one vocabulary. Keeps its working memory from piece to piece; not for several threads at once.
class bpe {
  public:
    explicit bpe(vocabulary const& known) : known_(known) {}

    /// Appends the tokens of one piece (not empty) of the pre-tokeniser. A piece that is a token becomes that token,
    /// even if joining pairs would not lead to it.
    /// @throws token_error for a piece of 4 GB or more
    void encode(std::string_view piece, std::vector<token>& out) {
        if (auto const whole = known_.find(piece); whole != vocabulary::none)
            return out.push_back(static_cast<token>(whole));
        if (piece.size() >= std::numeric_limits<std::uint32_t>::max())
            throw token_error("text: a piece of " + std::to_string(piece.size()) + " bytes without a place to split");
        piece_ = piece;
        start();
        join();
        for (std::uint32_t at = 0; at < piece.size(); at = parts_[at].next)
            out.push_back(static_cast<token>(known_.find(piece.substr(at, parts_[at].next - at))));
    }

    /// The length of the first of the two parts that are joined last when pairs are joined to token `r` < size(); 0 if
    /// joining does not lead to that token.
    std::size_t last_join(vocabulary::rank r) {
        piece_ = known_[r];
        start();
        join();
        return parts_[0].next == length() ? last_middle_ : 0;
    }

  private:
    // The part that begins at this index of the piece; entries inside a part are not used.
    struct part {
        std::uint32_t previous;
        std::uint32_t next;                       // where the next part begins; piece.size() after the last
        vocabulary::rank pair = vocabulary::none; // of this part and the next one joined
    };

    std::uint32_t length() const { return static_cast<std::uint32_t>(piece_.size()); }

    // Rank first, then position: the smallest entry is the leftmost pair of lowest rank.
    static std::uint64_t entry(vocabulary::rank pair, std::uint32_t at) { return std::uint64_t{pair} << 32 | at; }

    vocabulary::rank joined_rank(std::uint32_t at) const {
        auto const middle = parts_[at].next;
        return middle == length() ? vocabulary::none : known_.find(piece_.substr(at, parts_[middle].next - at));
    }

    void start() {
        parts_.clear();
        for (std::uint32_t i = 0; i <= length(); ++i) parts_.push_back({i - (i > 0), i + 1});
        heap_.clear();
        for (std::uint32_t i = 0; i < length(); ++i) {
            parts_[i].pair = joined_rank(i);
            if (parts_[i].pair != vocabulary::none) heap_.push_back(entry(parts_[i].pair, i));
        }
        std::make_heap(heap_.begin(), heap_.end(), std::greater{});
    }

    void join() {
        while (!heap_.empty()) {
            std::pop_heap(heap_.begin(), heap_.end(), std::greater{});
            auto const top = heap_.back();
            heap_.pop_back();
            auto const at = static_cast<std::uint32_t>(top);
            if (parts_[at].pair != top >> 32) continue; // the pair has changed since
            auto const middle = last_middle_ = parts_[at].next;
            parts_[at].next = parts_[middle].next;
            parts_[parts_[at].next].previous = at;
            parts_[middle].pair = vocabulary::none;
            update(at);
            if (at > 0) update(parts_[at].previous);
        }
    }

    void update(std::uint32_t at) {
        parts_[at].pair = joined_rank(at);
        if (parts_[at].pair == vocabulary::none) return;
        heap_.push_back(entry(parts_[at].pair, at));
        std::push_heap(heap_.begin(), heap_.end(), std::greater{});
    }

    vocabulary const& known_;
    std::string_view piece_;
    std::vector<part> parts_;
    std::vector<std::uint64_t> heap_;
    std::uint32_t last_middle_ = 0;
};

} // namespace llamavision::tokens
