// SPDX-License-Identifier: Apache-2.0
// A weight in the layout that the simd backend makes of it.
#pragma once

#include <cstddef>
#include <vector>

#include "backends.hpp"

namespace backends {

class repacked {
  public:
    repacked(lv::simd const& b, weight const& w, lv::weight_format f = lv::weight_format::bf16)
        : lines_(f == lv::weight_format::stored ? 0 : b.repacked_bytes(w.view(), f) / sizeof(line) + 1),
          view_(w.view()) {
        if (!lines_.empty()) view_ = b.repack(view_, f, lines_.data()->bytes);
    }
    /// Of the layout, or of a weight that stays as it is stored, and must outlive this.
    [[nodiscard]] lv::matrix const& view() const { return view_; }

  private:
    struct alignas(64) line {
        std::byte bytes[64];
    };
    std::vector<line> lines_;
    lv::matrix view_;
};

} // namespace backends
