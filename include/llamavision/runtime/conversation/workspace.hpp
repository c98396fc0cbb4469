// SPDX-License-Identifier: Apache-2.0
// A workspace: scratch memory and lists for a pass over the weights, which reads for one conversation or for several.
// What must outlast the pass is kept by the sessions.
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

/// Grows once, to what the largest pass needs. A session has one of its own unless it is given one. Not for several
/// threads at once: sessions that share a workspace read in turn, or together.
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
    friend class session; // fills the lists of a pass

    void clear();
    [[nodiscard]] std::size_t rows() const { return ids_.size(); }
    void add(std::span<token const> ids, segment const& owner);
    /// Reads the rows that were added, in one pass.
    void read(read_options const& options);

    std::shared_ptr<network const> network_;
    std::vector<float> frequencies_;
    std::shared_ptr<std::byte> scratch_;
    std::size_t scratch_size_ = 0;                    ///< floats
    std::size_t most_rows_ = 0, most_logit_rows_ = 0; ///< the scratch memory is large enough for passes of these
    std::vector<float> angles_;                       ///< cosines, then sines
    std::vector<token> ids_;
    std::vector<segment> segments_;
    std::vector<image_visibility> visibility_;
    attention_lists lists_;
    pass_tape tape_;
};

} // namespace llamavision

#if !defined(LLAMAVISION_SEPARATE)
#include <llamavision/runtime/conversation/workspace.ipp>
#endif
