// SPDX-License-Identifier: Apache-2.0
// A handler for SIGBUS. It only calls functions that POSIX lists as safe in a signal handler, and allocates nothing.
#include "mapped_guard.hpp"

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include <fcntl.h>
#include <unistd.h>

namespace program {

namespace {

void write_all(std::string_view text) {
    while (!text.empty()) {
        auto const written = ::write(STDERR_FILENO, text.data(), text.size());
        if (written <= 0) return;
        text.remove_prefix(static_cast<std::size_t>(written));
    }
}

/// Removes a hexadecimal number and the character after it from the beginning of `text`, and returns the number.
std::uintptr_t take_number(std::string_view& text) {
    std::uintptr_t value = 0;
    while (!text.empty()) {
        char const c = text.front();
        text.remove_prefix(1);
        if (c >= '0' && c <= '9')
            value = value << 4 | static_cast<std::uintptr_t>(c - '0');
        else if (c >= 'a' && c <= 'f')
            value = value << 4 | static_cast<std::uintptr_t>(c - 'a' + 10);
        else
            break;
    }
    return value;
}

/// The path at the end of a line of /proc/self/maps, if the line's range holds `address`:
/// "7f12-7f34 r--p 00000000 08:01 1234   /path".
std::string_view path_of(std::string_view line, std::uintptr_t address) {
    auto const begin = take_number(line), end = take_number(line);
    if (address < begin || address >= end) return {};
    auto const slash = line.find('/');
    return slash == std::string_view::npos ? std::string_view() : line.substr(slash);
}

/// Prints the path of the file that is mapped at `address`. Returns whether there is one.
bool write_path(std::uintptr_t address) {
    int const maps = ::open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    if (maps < 0) return false;
    static char line[8192];
    std::size_t length = 0;
    for (char c = 0; ::read(maps, &c, 1) == 1;) {
        if (c != '\n') {
            if (length < sizeof line) line[length++] = c;
            continue;
        }
        if (auto const path = path_of({line, length}, address); !path.empty()) {
            write_all(path);
            return true;
        }
        length = 0;
    }
    return false;
}

extern "C" void on_bus_error(int, siginfo_t* what, void*) {
    write_all("\nllamavision: ");
    if (!write_path(reinterpret_cast<std::uintptr_t>(what->si_addr))) write_all("a mapped file");
    write_all(": became shorter while it was in use, or its disk cannot be read\n");
    ::_exit(1);
}

} // namespace

void guard_mapped_files() {
    struct sigaction action {};
    action.sa_sigaction = on_bus_error;
    action.sa_flags = SA_SIGINFO;
    sigemptyset(&action.sa_mask);
    ::sigaction(SIGBUS, &action, nullptr);
}

} // namespace program
