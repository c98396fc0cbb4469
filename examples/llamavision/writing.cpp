// SPDX-License-Identifier: Apache-2.0
// A signal handler that only sets a flag, which is read between two pieces.
#include "writing.hpp"

#include <csignal>
#include <cstddef>
#include <filesystem>
#include <system_error>
#include <utility>

#include <llamavision/support/error.hpp>
#include <llamavision/support/text_file.hpp>

namespace program {

namespace {
volatile std::sig_atomic_t interrupted = 0;
} // namespace

void catch_signals() {
    for (int const signal : {SIGINT, SIGTERM, SIGHUP}) std::signal(signal, [](int) { interrupted = 1; });
    std::signal(SIGXFSZ, SIG_IGN);
}

void check_vacant(std::string const& out, bool force) {
    if (llamavision::is_there(out) && !force)
        throw llamavision::file_error(out + ": is there already; --force replaces it");
}

bool same_file(std::string const& a, std::string const& b) {
    namespace fs = std::filesystem;
    std::error_code fault;
    auto const status = fs::status(a, fault);
    if (fs::exists(status)) return fs::is_regular_file(status) && fs::equivalent(a, b, fault);
    auto const place = [](std::string const& name) {
        std::error_code unknown;
        return fs::weakly_canonical(fs::absolute(name, unknown), unknown);
    };
    return place(a) == place(b);
}

writing_progress::writing_progress(std::string label) : bar_(std::move(label)), shown_(bar_.report()) {}

llamavision::progress writing_progress::report() {
    return [this](std::size_t done, std::size_t total) {
        if (interrupted != 0) throw llamavision::error("interrupted; nothing was written");
        if (shown_) shown_(done, total);
    };
}

} // namespace program
