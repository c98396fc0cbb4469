// SPDX-License-Identifier: Apache-2.0
// The type of functions that receive progress.
#pragma once

#include <cstddef>
#include <functional>

namespace llamavision {

/// Called with the number of finished steps, of `total`. In the last call both are equal. It may throw, which stops the
/// work.
using progress = std::function<void(std::size_t done, std::size_t total)>;

} // namespace llamavision
