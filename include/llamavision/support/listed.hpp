// SPDX-License-Identifier: Apache-2.0
// Joins names or sentences to one text, for error messages.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace llamavision {

/// The first `limit` of `items`: "a, b, c and 4 more".
[[nodiscard]] inline std::string listed(std::vector<std::string> const& items, std::size_t limit = 8) {
    std::string result;
    for (std::size_t i = 0; i < items.size() && i < limit; ++i) {
        if (i != 0) result += ", ";
        result += items[i];
    }
    if (items.size() > limit) result += " and " + std::to_string(items.size() - limit) + " more";
    return result;
}

/// All sentences: "a; b; c".
[[nodiscard]] inline std::string joined(std::vector<std::string> const& sentences) {
    std::string result;
    for (auto const& sentence : sentences) result += (result.empty() ? "" : "; ") + sentence;
    return result;
}

} // namespace llamavision
