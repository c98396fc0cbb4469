// SPDX-License-Identifier: Apache-2.0
// Files that shrink while they are mapped.
#pragma once

namespace program {

/// From now on, reading a mapped file beyond its end, because somebody made it shorter, or where its disk fails, ends
/// the program with a sentence that names the file, and status 1, instead of a signal. The library itself installs no
/// handlers: signals belong to the program.
void guard_mapped_files();

} // namespace program
