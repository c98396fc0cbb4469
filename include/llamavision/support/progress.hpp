// SPDX-License-Identifier: Apache-2.0
// How the library tells its caller how far it is.
#pragma once

#include <cstddef>
#include <functional>

namespace llamavision {

/// Called with the number of steps done, of `total`; the last call has done == total. May throw to stop the work.
using progress = std::function<void(std::size_t done, std::size_t total)>;

} // namespace llamavision
