// SPDX-License-Identifier: Apache-2.0
// Breaks a wall on purpose: declares into the namespace of another room.
#pragma once

namespace llamavision::checkpoint::detail {

inline int hidden() { return 1; }

} // namespace llamavision::checkpoint::detail
