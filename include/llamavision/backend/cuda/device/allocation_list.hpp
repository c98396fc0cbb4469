// SPDX-License-Identifier: Apache-2.0
// The memory blocks that a device has given out: whether a pointer is the device's.
#pragma once

#include <cstddef>
#include <functional>
#include <iterator>
#include <map>

namespace llamavision::gpu {

/// To be used by one thread at a time.
class allocation_list {
  public:
    void add(std::byte const* begin, std::size_t bytes) { rooms_[begin] = bytes; }
    void remove(std::byte const* begin) { rooms_.erase(begin); }
    [[nodiscard]] bool holds(void const* p) const {
        auto const* const at = static_cast<std::byte const*>(p);
        auto const after = rooms_.upper_bound(at);
        if (after == rooms_.begin()) return false;
        auto const& [begin, bytes] = *std::prev(after);
        return static_cast<std::size_t>(at - begin) < bytes;
    }

  private:
    std::map<std::byte const*, std::size_t, std::less<>> rooms_;
};

} // namespace llamavision::gpu
