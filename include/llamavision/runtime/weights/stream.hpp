// SPDX-License-Identifier: Apache-2.0
// Mapped weights that memory has no budget for: while one layer is computed, a thread reads the next two from their
// file, and lets go of the one before. The first layers stay, as many as there is budget for. Without that the system
// drops what was used longest ago, which in a model is just what comes next.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include <llamavision/support/separate.hpp>

namespace llamavision {

/// Goes round the layers of one stack, as every pass does. Several passes at once are computed rightly, but read more.
class weight_stream {
  public:
    /// What one layer reads, in its order.
    using stage = std::vector<std::span<std::byte const>>;

    /// @param stages at least one; they must stay mapped as long as this lives
    /// @param budget bytes that may stay in memory
    weight_stream(std::vector<stage> stages, std::size_t budget);
    weight_stream(weight_stream const&) = delete;
    weight_stream& operator=(weight_stream const&) = delete;
    ~weight_stream();

    /// That stage is about to be computed.
    void enter(std::size_t which) const noexcept {
        wanted_.store(static_cast<std::uint32_t>(which), std::memory_order_release);
        wanted_.notify_one();
    }

    /// Stages that stay in memory.
    [[nodiscard]] std::size_t kept() const noexcept { return kept_; }

  private:
    static constexpr std::uint32_t stop = UINT32_MAX, none = stop - 1;
    static constexpr std::size_t ahead = 2;

    static std::size_t bytes_of(stage const& s) {
        std::size_t sum = 0;
        for (auto const& bytes : s) sum += bytes.size();
        return sum;
    }

    void read();

    std::vector<stage> stages_;
    std::size_t kept_ = 0;
    mutable std::atomic<std::uint32_t> wanted_ = none;
    std::thread reader_;
};

} // namespace llamavision

#if !defined(LLAMAVISION_SEPARATE)
#include <llamavision/runtime/weights/stream.ipp>
#endif
