// SPDX-License-Identifier: Apache-2.0
// Memory that calls borrow and give back, so that the next call finds it: pages are written once, and no thread keeps
// memory of its own for each call that it ever made.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include <llamavision/support/aligned_bytes.hpp>

namespace llamavision {

/// Any number of threads may borrow at once. What was given back is kept for others, up to a limit.
class memory_lender {
  public:
    static constexpr std::size_t most_kept = std::size_t{64} << 20; ///< bytes

    /// Given back when it is destroyed. The lender must live as long.
    class lent {
      public:
        lent(lent&& other) noexcept
            : lender_(other.lender_), memory_(std::move(other.memory_)), size_(std::exchange(other.size_, 0)) {}
        lent& operator=(lent&&) = delete;
        ~lent() {
            if (memory_) lender_->take_back(std::move(memory_), size_);
        }
        /// Uninitialised, on a cache line.
        [[nodiscard]] std::byte* data() const { return memory_.get(); }

      private:
        friend memory_lender;
        lent(memory_lender& lender, std::shared_ptr<std::byte> memory, std::size_t size)
            : lender_(&lender), memory_(std::move(memory)), size_(size) {}
        memory_lender* lender_;
        std::shared_ptr<std::byte> memory_;
        std::size_t size_;
    };

    memory_lender() { kept_.reserve(most_pieces); } // so that giving back allocates nothing
    memory_lender(memory_lender const&) = delete;
    memory_lender& operator=(memory_lender const&) = delete;

    /// The smallest piece that suffices; if none does, the largest is freed, and a larger one takes its place. So there
    /// are never more pieces than were borrowed at a time.
    /// @throws memory_error if the system refuses the bytes
    [[nodiscard]] lent lend(std::size_t bytes) {
        piece found;
        {
            std::lock_guard const guard(mutex_);
            auto best = kept_.end(), largest = best;
            for (auto it = kept_.begin(); it != kept_.end(); ++it) {
                if (it->size >= bytes && (best == kept_.end() || it->size < best->size)) best = it;
                if (largest == kept_.end() || it->size > largest->size) largest = it;
            }
            if (best == kept_.end() && bytes <= most_kept) best = largest;
            if (best != kept_.end()) {
                found = std::move(*best);
                kept_.erase(best);
            }
        }
        if (found.size < bytes) {
            found = {};
            found = {aligned_bytes(bytes), bytes};
        }
        return {*this, std::move(found.memory), found.size};
    }

    /// Bytes that nobody borrows at the moment, and that are kept.
    [[nodiscard]] std::size_t kept() const {
        std::lock_guard const guard(mutex_);
        return kept_bytes();
    }

  private:
    struct piece {
        std::shared_ptr<std::byte> memory;
        std::size_t size = 0;
    };
    static constexpr std::size_t most_pieces = 16;

    [[nodiscard]] std::size_t kept_bytes() const {
        std::size_t sum = 0;
        for (piece const& p : kept_) sum += p.size;
        return sum;
    }

    /// Small pieces go first: a large one serves whoever wants less.
    void take_back(std::shared_ptr<std::byte> memory, std::size_t size) noexcept {
        if (size > most_kept) return;
        std::lock_guard const guard(mutex_);
        while (!kept_.empty() && (kept_.size() >= most_pieces || kept_bytes() + size > most_kept)) {
            auto const smallest = std::min_element(kept_.begin(), kept_.end(),
                                                   [](piece const& a, piece const& b) { return a.size < b.size; });
            if (smallest->size >= size) return;
            kept_.erase(smallest);
        }
        kept_.push_back({std::move(memory), size});
    }

    mutable std::mutex mutex_;
    std::vector<piece> kept_;
};

} // namespace llamavision
