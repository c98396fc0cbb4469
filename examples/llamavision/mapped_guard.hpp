// SPDX-License-Identifier: Apache-2.0
// Files that shrink while they are mapped.
#pragma once

namespace program {

/// From now on, the program ends with a sentence that names the file, and status 1, when a mapped file cannot be read:
/// because another program made it shorter, or because its disk fails. Without this, a signal would end it. The library
/// installs no handlers: that is for a program to decide.
void guard_mapped_files();

} // namespace program
