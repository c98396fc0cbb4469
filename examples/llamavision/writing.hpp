// SPDX-License-Identifier: Apache-2.0
// For commands that write large files: a progress bar, and an end without unfinished files on Ctrl-C.
#pragma once

#include <string>

#include <llamavision/support/progress.hpp>

#include "console.hpp"

namespace program {

/// From now on Ctrl-C, SIGTERM and SIGHUP end the work by an exception at the next report of a writing_progress, and to
/// reach the limit on the size of files is an error, as a full disk is.
void catch_signals();

/// Throws file_error if something is at `out` already, unless it may be replaced.
void check_vacant(std::string const& out, bool force);

/// Whether both names are those of one file, which may not exist yet. Devices do not count: they may be written to.
[[nodiscard]] bool same_file(std::string const& a, std::string const& b);

/// A bar of the bytes written.
class writing_progress {
  public:
    explicit writing_progress(std::string label);

    /// For the library; this must outlive it. Throws error after a signal.
    [[nodiscard]] llamavision::progress report();
    void clear() { bar_.clear(); }

  private:
    progress_bar bar_;
    llamavision::progress shown_;
};

} // namespace program
