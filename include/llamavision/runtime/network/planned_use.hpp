// SPDX-License-Identifier: Apache-2.0
// What a model is loaded for: how much must fit into memory beside its weights.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>

#include <llamavision/config/numbers.hpp>
#include <llamavision/support/error.hpp>

namespace llamavision {

/// Loading refuses a model that does not fit together with these. Sessions may differ from it, and are refused when
/// they take more than what is left.
struct planned_use {
    std::size_t context = 0;       ///< positions of each conversation; 0: all that the model has, but at most 8192
    std::size_t pictures = 1;      ///< encoded pictures of all tiles that are kept at a time
    std::size_t conversations = 1; ///< sessions that share a workspace
};

/// The same with the number of positions that 0 stands for.
/// @throws argument_error for a context beyond the model's
[[nodiscard]] inline planned_use settled(planned_use use, config::text_numbers const& n) {
    if (use.context == 0) use.context = std::min<std::size_t>(n.context, 8192);
    if (use.context > n.context)
        throw argument_error("a context of " + std::to_string(use.context) + " positions: the model has "
                             + std::to_string(n.context));
    return use;
}

} // namespace llamavision
