// SPDX-License-Identifier: Apache-2.0
// What the thread of a stream does.
#pragma once

#include <algorithm>

#include <llamavision/runtime/weights/stream.hpp>
#include <llamavision/support/pages.hpp>

namespace llamavision {

LLAMAVISION_INLINE weight_stream::weight_stream(std::vector<stage> stages, std::size_t budget)
    : stages_(std::move(stages)) {
    std::size_t window = 0;
    for (stage const& s : stages_) window = std::max(window, bytes_of(s));
    window *= ahead + 1;
    budget -= std::min(budget, window);
    while (kept_ < stages_.size() && bytes_of(stages_[kept_]) <= budget) budget -= bytes_of(stages_[kept_++]);
    reader_ = std::thread([this] { read(); });
}

LLAMAVISION_INLINE weight_stream::~weight_stream() {
    wanted_.store(stop, std::memory_order_release);
    wanted_.notify_one();
    reader_.join();
}

LLAMAVISION_INLINE void weight_stream::read() {
    pages_of_files pages;
    std::vector<bool> present(stages_.size(), false);
    std::uint32_t at = none;
    for (std::uint32_t now; (now = wanted_.load(std::memory_order_acquire)) != stop;) {
        if (now == at) {
            wanted_.wait(at, std::memory_order_acquire);
            continue;
        }
        at = now;
        for (std::size_t d = 0; d <= std::min(ahead, stages_.size() - 1); ++d)
            if (std::size_t const i = (at + d) % stages_.size(); !present[i]) {
                for (auto const& bytes : stages_[i]) pages.fetch(bytes);
                present[i] = true;
            }
        for (std::size_t i = kept_; i < stages_.size(); ++i)
            if (present[i] && (i + stages_.size() - at) % stages_.size() > ahead) {
                for (auto const& bytes : stages_[i]) pages.drop(bytes);
                present[i] = false;
            }
    }
}

} // namespace llamavision
