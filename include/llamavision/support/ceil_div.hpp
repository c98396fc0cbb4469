// SPDX-License-Identifier: Apache-2.0
// Division that rounds up.
#pragma once

#include <cstddef>

namespace llamavision {

/// a / b, rounded up.
/// @pre b > 0, and a + b fits
[[nodiscard]] constexpr std::size_t ceil_div(std::size_t a, std::size_t b) { return (a + b - 1) / b; }

/// The least multiple of b that is not below a.
/// @pre b > 0, and a + b fits
[[nodiscard]] constexpr std::size_t round_up(std::size_t a, std::size_t b) { return ceil_div(a, b) * b; }

} // namespace llamavision
