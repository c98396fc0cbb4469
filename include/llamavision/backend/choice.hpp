// SPDX-License-Identifier: Apache-2.0
// How the next token is chosen from logits by a backend with memory of its own, so that they need not leave it: the
// options of tokens::sampler, and the state of its random numbers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace llamavision {

struct choosing {
    double temperature = 0; ///< 0: the largest logit, of equals the first
    double top_p = 1;       ///< in (0, 1]
    std::size_t top_k = 0;  ///< 0: all
    float penalty = 1;      ///< of what `history` holds
    std::span<std::int32_t const> forbidden{};
    std::span<std::int32_t const> history{}; ///< may grow from one choice to the next
    std::uint64_t random = 0;                ///< state of random_bits
};

struct chosen {
    std::int32_t id = -1;     ///< negative: none was chosen, and the logits must be looked at
    std::uint64_t random = 0; ///< the state after it
};

} // namespace llamavision
