// SPDX-License-Identifier: Apache-2.0
// Streams, numbers for people, and the progress bar.
#include "console.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>
#include <optional>
#include <set>
#include <system_error>
#include <utility>

#include <llamavision/support/error.hpp>

#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

namespace program {

namespace {

[[noreturn]] void fail_output() {
    throw llamavision::file_error(std::string("standard output: cannot be written: ") + std::strerror(errno));
}

/// `value` divided by 1000 until it is below 1000, and the prefix that stands for the divisions.
std::string scaled(double value, std::string_view last) {
    constexpr std::array<char const*, 7> prefixes{"", "k", "M", "G", "T", "P", "E"};
    std::size_t i = 0;
    while (value >= 999.95 && i + 1 < prefixes.size()) {
        value /= 1000;
        ++i;
    }
    return fixed(value, i == 0 || value >= 99.95 ? 0 : 1) + " " + prefixes[i] + std::string(last);
}

/// Whether standard error is a terminal that knows the escape sequence for erasing a line.
bool shows_bars() {
    char const* const kind = std::getenv("TERM"); // NOLINT(concurrency-mt-unsafe)
    return ::isatty(STDERR_FILENO) == 1 && kind && std::string_view(kind) != "dumb";
}

/// Columns of the terminal at standard error; many if it does not say.
std::size_t columns() {
    winsize size{};
    bool const known = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    return known ? size.ws_col : 1000;
}

} // namespace

void print(std::string_view text) {
    if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) fail_output();
}

void print_now(std::string_view text) {
    print(text);
    if (std::fflush(stdout) != 0) fail_output();
}

void finish_output() {
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) fail_output();
}

void say(std::string_view line) {
    std::string const text = std::string(line) + "\n"; // in one call, as other programs may write there, too
    std::fwrite(text.data(), 1, text.size(), stderr);
}

void warn(std::string const& sentence) {
    static std::set<std::string> printed;
    if (printed.insert(sentence).second) say("Warning: " + sentence);
}

void complain(std::string_view what) {
    constexpr std::size_t longest = 1000;
    std::string line = "llamavision: ";
    for (std::size_t i = 0; i < what.size(); ++i) {
        bool const space = what[i] == '\n' || what[i] == ' ';
        auto const byte = static_cast<unsigned char>(what[i]);
        if (space && line.back() == ' ') continue;
        line += space ? ' ' : byte < 0x20 || byte == 0x7f ? '?' : what[i];
    }
    if (line.size() > longest) {
        std::size_t end = longest;
        while ((static_cast<unsigned char>(line[end]) & 0xC0) == 0x80) --end; // not inside a character
        line = line.substr(0, end) + " ...";
    }
    say(line);
}

bool input_is_terminal() { return ::isatty(STDIN_FILENO) == 1; }

std::string fixed(double value, int digits) {
    std::array<char, 64> text{};
    std::snprintf(text.data(), text.size(), "%.*f", digits, value);
    return text.data();
}

std::optional<std::size_t> bytes_in(std::string const& text) {
    std::size_t number = 0;
    auto const [stop, fault] = std::from_chars(text.data(), text.data() + text.size(), number);
    std::string unit(stop, text.data() + text.size());
    std::erase(unit, ' ');
    constexpr std::pair<char const*, std::size_t> units[] = {
        {"KB", 1'000}, {"MB", 1'000'000}, {"GB", 1'000'000'000}, {"TB", 1'000'000'000'000}};
    for (auto const& [name, bytes] : units)
        if (fault == std::errc{} && unit == name && number < 1'000'000) return number * bytes;
    return std::nullopt;
}

std::string in_bytes(double bytes) { return scaled(bytes, "B"); }
std::string in_thousands(double count) { return scaled(count, ""); }

std::size_t peak_memory() {
    // Linux: VmHWM begins anew with a program. ru_maxrss does not: it keeps the maximum of the process that started
    // this one, if that was larger.
    std::ifstream status("/proc/self/status");
    for (std::string key; status >> key; status.ignore(std::numeric_limits<std::streamsize>::max(), '\n'))
        if (std::size_t kib = 0; key == "VmHWM:" && status >> kib) return kib * 1024;
    rusage usage{};
    if (::getrusage(RUSAGE_SELF, &usage) != 0) return 0;
#ifdef __APPLE__
    return static_cast<std::size_t>(usage.ru_maxrss);
#else
    return static_cast<std::size_t>(usage.ru_maxrss) * 1024;
#endif
}

std::size_t memory_now() {
    std::ifstream numbers("/proc/self/statm"); // Linux: all pages, those that are resident, ...
    std::size_t pages = 0;
    auto const size = ::sysconf(_SC_PAGESIZE);
    return numbers >> pages >> pages && size > 0 ? pages * static_cast<std::size_t>(size) : 0;
}

progress_bar::progress_bar(std::string label) : label_(std::move(label)), terminal_(shows_bars()) {}

llamavision::progress progress_bar::report() {
    if (!terminal_) return {};
    return [this](std::size_t done, std::size_t total) { show(done, total); };
}

void progress_bar::show(std::size_t done, std::size_t total) {
    if (total == 0 || since_begin_.seconds() < 0.5 || (visible_ && since_shown_.seconds() < 0.1)) return;
    since_shown_.lap();
    visible_ = true;
    constexpr std::size_t width = 30;
    double const share = static_cast<double>(done) / static_cast<double>(total);
    std::size_t const full = std::min(width, done * width / total);
    std::string line =
        label_ + " [" + std::string(full, '#') + std::string(width - full, ' ') + "] " + fixed(100 * share, 0) + " %";
    if (done > 0) line += ", " + fixed(std::ceil(since_begin_.seconds() * (1 / share - 1)), 0) + " s left";
    line.resize(std::min(line.size(), columns() - 1)); // a line that wraps could not be erased
    line = "\r" + line + "\x1b[K";
    std::fwrite(line.data(), 1, line.size(), stderr);
}

void progress_bar::clear() {
    if (visible_) std::fputs("\r\x1b[K", stderr);
    visible_ = false;
}

} // namespace program
