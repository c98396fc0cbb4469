// SPDX-License-Identifier: Apache-2.0
// The operating system's reason for an error.
#pragma once

#include <cerrno>
#include <string>
#include <system_error>

namespace llamavision {

/// The reason why the last call of the system failed, from `errno`: "Permission denied". File streams set it, too.
[[nodiscard]] inline std::string system_reason() { return std::generic_category().message(errno); }

} // namespace llamavision
