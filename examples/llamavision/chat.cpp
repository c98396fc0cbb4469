// SPDX-License-Identifier: Apache-2.0
// `chat`: a conversation at the terminal or through a pipe.
#include "commands.hpp"

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <pthread.h>
#include <unistd.h>

#include "answers.hpp"
#include "console.hpp"

namespace lv = llamavision;

namespace program {

namespace {

/// What Ctrl-C does at a terminal. It stops an answer. At the prompt it ends the program when it is pressed twice: so
/// one that is pressed just after an answer does not end the conversation. While the model is loaded it ends the
/// program. The signal is blocked in all threads that begin later, and a thread waits for it, so that there is no
/// signal handler.
class interrupts {
  public:
    interrupts() {
        sigemptyset(&signals_);
        sigaddset(&signals_, SIGINT);
        pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
        waiter_ = std::thread([this] { wait(); });
    }
    interrupts(interrupts const&) = delete;
    interrupts& operator=(interrupts const&) = delete;
    ~interrupts() {
        done_ = true;
        pthread_kill(waiter_.native_handle(), SIGINT);
        waiter_.join();
    }

    /// Until the next `prompt`, Ctrl-C requests a stop of this token.
    [[nodiscard]] std::stop_token answer() {
        std::lock_guard const lock(mutex_);
        now_ = moment::answering;
        source_ = std::stop_source();
        return source_.get_token();
    }
    /// The user is asked for a line.
    void prompt() {
        std::lock_guard const lock(mutex_);
        now_ = moment::asking;
        print_now("> ");
    }

  private:
    enum class moment { loading, asking, asking_again, answering };

    void wait() {
        for (;;) {
            int signal = 0;
            sigwait(&signals_, &signal);
            if (done_) return;
            std::lock_guard const lock(mutex_);
            switch (now_) {
            case moment::loading:
                std::signal(SIGINT, SIG_DFL);
                pthread_sigmask(SIG_UNBLOCK, &signals_, nullptr);
                std::raise(SIGINT);
                break;
            case moment::answering: source_.request_stop(); break;
            case moment::asking:
                now_ = moment::asking_again;
                std::fputs("\n(Ctrl-C again or /quit leaves)\n> ", stderr); // the terminal drops what was typed
                break;
            case moment::asking_again: say(""); std::_Exit(0); // the main thread waits for a line that will not come
            }
        }
    }

    sigset_t signals_{};
    std::mutex mutex_;
    std::stop_source source_;
    moment now_ = moment::loading;
    std::atomic<bool> done_ = false;
    std::thread waiter_;
};

constexpr std::string_view help = "/image FILE  show a picture with the next question\n"
                                  "/reset       forget everything said and shown\n"
                                  "/help        this list\n"
                                  "/quit        leave, as Ctrl-D does\n"
                                  "Ctrl-C stops an answer; at the prompt it leaves when it is pressed twice.\n";

constexpr char const* blanks = " \t";

std::string trimmed(std::string const& text) {
    auto const first = text.find_first_not_of(blanks), last = text.find_last_not_of(blanks);
    return first == std::string::npos ? "" : text.substr(first, last - first + 1);
}

class talk {
  public:
    explicit talk(chat_options const& options)
        : ctrl_c_(input_is_terminal() ? std::optional<interrupts>(std::in_place) : std::nullopt),
          with_(options.answers, 1, std::max<std::size_t>(options.frames, 1)), frames_(options.frames) {
        for (std::string const& photo : options.photos) show(photo);
    }

    /// Runs until the input ends. Returns the exit status: at a terminal 0, as the user has seen the errors.
    int run() {
        bool const terminal = ctrl_c_.has_value();
        if (terminal) say("Ask something. /help lists what else can be typed.");
        std::string line;
        for (;;) {
            if (terminal) ctrl_c_->prompt();
            if (!std::getline(std::cin, line)) break;
            if (!line.empty() && line.back() == '\r') line.pop_back();
            std::string const text = trimmed(line);
            if (text == "/quit" || text == "/exit") return terminal ? 0 : status_;
            if (!text.empty()) attempt(line);
        }
        if (terminal) print_now("\n");
        return terminal ? 0 : status_;
    }

  private:
    /// Does what a line says, which is not blank. An error does not end the conversation.
    void attempt(std::string const& line) {
        try {
            if (auto const text = trimmed(line); text.front() == '/')
                obey(text);
            else
                ask(line);
        } catch (lv::context_error const& fault) {
            fail(std::string(fault.what()) + "; /reset begins anew");
        } catch (lv::error const& fault) {
            if (std::string_view(fault.what()).starts_with("standard output")) throw;
            fail(fault.what());
        }
    }

    void obey(std::string const& line) {
        auto const space = line.find_first_of(blanks);
        std::string const command = line.substr(0, space);
        std::string const rest = space == std::string::npos ? "" : trimmed(line.substr(space));
        if (command == "/help") {
            print_now(help);
        } else if (command == "/reset") {
            with_.reset();
            pictures_.clear();
        } else if (command == "/image" && !rest.empty()) {
            show(rest);
            say(rest + ": goes with the next question.");
        } else if (command == "/image") {
            fail("/image needs the name of a file");
        } else {
            fail(command + ": no such command; /help lists them");
        }
    }

    /// The next question is about this photo, or about its frames.
    void show(std::string const& photo) {
        for (lv::image::pixels& picture : pictures_of(photo, frames_)) pictures_.push_back(std::move(picture));
    }

    void ask(std::string const& question) {
        std::stop_token const stop = ctrl_c_ ? ctrl_c_->answer() : std::stop_token();
        try {
            reply const r = with_.ask(
                pictures_, question, [](std::string_view piece) { print_now(piece); }, stop);
            pictures_.clear();
            print_now("\n");
            if (r.reason == lv::ending::cancelled) say("(stopped)");
            if (r.reason == lv::ending::length) say("(the answer reached --max-tokens)");
            if (r.reason == lv::ending::context) say("(the context is full; /reset begins anew)");
            say(in_words(r.took));
        } catch (lv::cancelled const&) { say("(stopped before the answer; ask again)"); }
    }

    void fail(std::string const& what) {
        complain(what);
        status_ = 1;
    }

    std::optional<interrupts> ctrl_c_; ///< at a terminal; before the model, whose threads inherit the blocked signal
    conversation with_;
    std::size_t frames_;                      ///< see chat_options
    std::vector<lv::image::pixels> pictures_; ///< that go with the next question
    int status_ = 0;
};

} // namespace

int chat(chat_options const& options) { return talk(options).run(); }

} // namespace program
