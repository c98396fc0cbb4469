// SPDX-License-Identifier: Apache-2.0
// What commands that write large files share: a bar, and an end without remains when somebody presses Ctrl-C.
#pragma once

#include <string>

#include <llamavision/support/progress.hpp>

#include "console.hpp"

namespace program {

/// From now on Ctrl-C, SIGTERM and SIGHUP end the work at the next report of a writing_progress, by an exception, and a
/// limit on the size of files is an error like a full disk.
void catch_signals();

/// Throws file_error if something is at `out` already, unless it may be replaced.
void check_vacant(std::string const& out, bool force);

/// Whether both names are those of one file, which may have yet to be written. Devices take whatever is written to
/// them.
[[nodiscard]] bool same_file(std::string const& a, std::string const& b);

/// A bar of the bytes written.
class writing_progress {
  public:
    explicit writing_progress(std::string label);

    /// For the library; this must outlive it. Throws error when a signal has come.
    [[nodiscard]] llamavision::progress report();
    void clear() { bar_.clear(); }

  private:
    progress_bar bar_;
    llamavision::progress shown_;
};

} // namespace program
