// SPDX-License-Identifier: Apache-2.0
// What rendering a template may cost, and the count of what it has cost.
#pragma once

#include <cstddef>

namespace llamavision::tokens {

/// Bounds of one rendering; each is an error when exceeded. The defaults are far above what published templates need.
struct template_limits {
    std::size_t steps = 50'000'000;              ///< nodes evaluated, and 64 bytes of text or 4 values handled each
    std::size_t output = std::size_t{64} << 20;  ///< bytes of rendered text
    std::size_t memory = std::size_t{256} << 20; ///< bytes of values that live at one time
    std::size_t depth = 1000;                    ///< expressions, blocks and calls inside one another, while rendering
};

namespace jinja {

/// The count of one rendering. Lives longer than every value that it counts.
struct meter {
    template_limits limits{};
    std::size_t steps = 0;
    std::size_t memory = 0;
};

} // namespace jinja

} // namespace llamavision::tokens
