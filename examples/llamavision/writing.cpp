// SPDX-License-Identifier: Apache-2.0
// A handler that only takes a note, which is read between two pieces.
#include "writing.hpp"

#include <csignal>
#include <cstddef>
#include <utility>

#include <llamavision/support/error.hpp>

namespace program {

namespace {
volatile std::sig_atomic_t interrupted = 0;
} // namespace

void catch_signals() {
    for (int const signal : {SIGINT, SIGTERM, SIGHUP}) std::signal(signal, [](int) { interrupted = 1; });
    std::signal(SIGXFSZ, SIG_IGN);
}

writing_progress::writing_progress(std::string label) : bar_(std::move(label)), shown_(bar_.report()) {}

llamavision::progress writing_progress::report() {
    return [this](std::size_t done, std::size_t total) {
        if (interrupted != 0) throw llamavision::error("interrupted; nothing was written");
        if (shown_) shown_(done, total);
    };
}

} // namespace program
