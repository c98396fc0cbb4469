// SPDX-License-Identifier: Apache-2.0
// A workspace: what a pass over the weights works in while it reads for one conversation, or for several. Whatever
// outlasts the pass is the sessions'.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include <llamavision/expression/context.hpp>
#include <llamavision/runtime/network/network.hpp>
#include <llamavision/support/separate.hpp>
#include <llamavision/tokens/token.hpp>

namespace llamavision {

/// Scratch memory, and the lists of a pass; they grow to what the largest pass needs, once. A session has one of its
/// own unless it is given one. Not for several threads at once: sessions that share a workspace read in turn, or
/// together.
class workspace {
  public:
    explicit workspace(std::shared_ptr<network const> net);
    workspace(workspace const&) = delete;
    workspace& operator=(workspace const&) = delete;

    [[nodiscard]] network const& net() const { return *network_; }
    [[nodiscard]] std::size_t bytes() const { return (scratch_size_ + angles_.size()) * sizeof(float); }

    /// Makes room for passes of so many rows, of which so many reach the head.
    /// @throws memory_error
    void reserve(std::size_t rows, std::size_t logit_rows, bool watched = false);

  private:
    friend class session; // says what a pass reads, and whose it is

    void clear();
    [[nodiscard]] std::size_t rows() const { return ids_.size(); }
    void add(std::span<token const> ids, segment const& whose);
    /// The rows that were added, in one pass.
    void read(read_options const& options);

    std::shared_ptr<network const> network_;
    std::vector<float> frequencies_;
    std::shared_ptr<std::byte> scratch_;
    std::size_t scratch_size_ = 0; ///< floats; enough for
    std::size_t most_rows_ = 0, most_logit_rows_ = 0;
    std::vector<float> angles_; ///< cosines, then sines
    std::vector<token> ids_;
    std::vector<segment> stretches_;
    std::vector<image_visibility> sights_;
    attention_lists lists_;
    pass_tape tape_;
};

} // namespace llamavision

#if !defined(LLAMAVISION_SEPARATE)
#include <llamavision/runtime/conversation/workspace.ipp>
#endif
