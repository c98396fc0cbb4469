// SPDX-License-Identifier: Apache-2.0
// What the operating system says about its last refusal.
#pragma once

#include <cerrno>
#include <string>
#include <system_error>

namespace llamavision {

/// Why the call before this one failed, from `errno`: "Permission denied". File streams leave it there, too.
[[nodiscard]] inline std::string system_reason() { return std::generic_category().message(errno); }

} // namespace llamavision
