// SPDX-License-Identifier: Apache-2.0
// How the rows of a pass are put together.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>
#include <utility>

#include <llamavision/layers/rope.hpp>
#include <llamavision/runtime/conversation/workspace.hpp>

namespace llamavision {

LLAMAVISION_INLINE workspace::workspace(std::shared_ptr<network const> net) : network_(std::move(net)) {
    config::text_numbers const& n = network_->numbers().text;
    frequencies_ = rope_frequencies(n.rope, n.width / n.heads);
}

LLAMAVISION_INLINE void workspace::reserve(std::size_t rows, std::size_t logit_rows, bool watched) {
    if (!watched && rows <= most_rows_ && logit_rows <= most_logit_rows_) return;
    angles_.resize(std::max(angles_.size(), 2 * rows * frequencies_.size()));
    std::size_t const most_rows = std::max(rows, most_rows_), most_logit_rows = std::max(logit_rows, most_logit_rows_);
    std::size_t const need = watched ? network_->read_scratch(rows, logit_rows, true)
                                     : network_->read_scratch(most_rows, most_logit_rows, false);
    if (need > scratch_size_) {
        scratch_.reset(); // first, so that old and new need not fit into memory together
        scratch_size_ = most_rows_ = most_logit_rows_ = 0;
        scratch_ = network_->allocate(need * sizeof(float));
        scratch_size_ = need;
    }
    if (watched) return;
    most_rows_ = most_rows;
    most_logit_rows_ = most_logit_rows;
}

LLAMAVISION_INLINE void workspace::clear() {
    ids_.clear();
    segments_.clear();
    visibility_.clear();
}

LLAMAVISION_INLINE void workspace::add(std::span<token const> ids, segment const& owner) {
    ids_.insert(ids_.end(), ids.begin(), ids.end());
    segments_.push_back(owner);
}

LLAMAVISION_INLINE void workspace::read(read_options const& options) {
    text_rows pass;
    pass.segments = segments_;
    pass.visibility = visibility_;
    pass.lists = &lists_;
    pass.tape = &tape_;
    reserve(rows(), pass.logit_rows(), bool(options.watch));
    std::size_t const half = frequencies_.size();
    float *cos = angles_.data(), *sin = cos + rows() * half;
    pass.cos = cos;
    pass.sin = sin;
    for (segment const& s : segments_) {
        rope_angles(frequencies_, s.position, s.rows, cos, sin);
        cos += s.rows * half;
        sin += s.rows * half;
    }
    network_->read(pass, ids_, {reinterpret_cast<float*>(scratch_.get()), scratch_size_}, options);
}

} // namespace llamavision
