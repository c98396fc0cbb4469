// SPDX-License-Identifier: Apache-2.0
// Breaks a wall twice on purpose: uses the `detail` of another room, in a namespace of its own and in the library's.
#pragma once

#include <llamavision/support/counter.hpp>

namespace llamavision {

inline int twice() { return checkpoint::detail::hidden() + detail::counted(1); }

} // namespace llamavision
