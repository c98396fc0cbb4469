// SPDX-License-Identifier: Apache-2.0
// What other rooms must not use.
#pragma once

namespace llamavision {

namespace detail {
inline int counted(int n) { return n + 1; }
} // namespace detail

} // namespace llamavision
