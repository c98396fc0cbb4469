// SPDX-License-Identifier: Apache-2.0
// The three streams, used as Unix programs do: results go to standard output, and are checked; everything else goes to
// standard error, a progress bar only if that is a terminal.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include <llamavision/support/progress.hpp>

namespace program {

/// Writes to standard output. Throws file_error if that is impossible: a full disk, a closed pipe.
void print(std::string_view text);
/// The same, and flushes: the reader sees it at once.
void print_now(std::string_view text);
/// At the end: throws file_error unless everything printed has arrived.
void finish_output();

/// One line to standard error.
void say(std::string_view line);
/// The same, as "Warning: ..."; each sentence once.
void warn(std::string const& sentence);
/// The same, as an error message: "llamavision: ...", on one line, whatever the text contains.
void complain(std::string_view what);

[[nodiscard]] bool input_is_terminal();

/// "5GB" or "500 MB" as a number of bytes; nothing if it is no size, or a million units or more.
[[nodiscard]] std::optional<std::size_t> bytes_in(std::string const& text);
/// 2'340'000 as "2.3 MB".
[[nodiscard]] std::string in_bytes(double bytes);
/// 2.3e12 as "2.3 T"; the unit follows.
[[nodiscard]] std::string in_thousands(double count);
/// `value` with so many digits behind the point.
[[nodiscard]] std::string fixed(double value, int digits);

/// The most memory that this process has held since it was started, in bytes; 0 if the system does not say.
[[nodiscard]] std::size_t peak_memory();
/// The memory that it holds now; 0 if the system does not say.
[[nodiscard]] std::size_t memory_now();

class stopwatch {
  public:
    /// Seconds since the beginning, or since the last lap.
    double lap() {
        auto const now = clock::now(), before = begin_;
        begin_ = now;
        return std::chrono::duration<double>(now - before).count();
    }
    [[nodiscard]] double seconds() const { return std::chrono::duration<double>(clock::now() - begin_).count(); }

  private:
    using clock = std::chrono::steady_clock;
    clock::time_point begin_ = clock::now();
};

/// A line on a terminal that shows progress and the time left, and is erased at the end. Nothing is shown if standard
/// error is no terminal that can erase a line, nor in the first half second.
class progress_bar {
  public:
    explicit progress_bar(std::string label);
    progress_bar(progress_bar const&) = delete;
    progress_bar& operator=(progress_bar const&) = delete;
    ~progress_bar() { clear(); }

    /// For the library; the bar must outlive it. Empty if there is no terminal.
    [[nodiscard]] llamavision::progress report();
    void clear();

  private:
    void show(std::size_t done, std::size_t total);

    std::string label_;
    bool terminal_;
    bool visible_ = false;
    stopwatch since_begin_, since_shown_;
};

} // namespace program
