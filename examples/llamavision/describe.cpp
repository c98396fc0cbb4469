// SPDX-License-Identifier: Apache-2.0
// `describe`: every question about each photo, `batch` of them at a time; answers are printed as they come.
#include "commands.hpp"

#include <algorithm>
#include <exception>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "answers.hpp"
#include "console.hpp"
#include "json_text.hpp"

namespace lv = llamavision;

namespace program {

namespace {

/// Which photo, if any, and which question.
struct heading {
    std::string const* file;
    std::string const* prompt;
};

class describing {
  public:
    explicit describing(describe_options const& options)
        : options_(options), with_(options.answers, options.batch, std::max<std::size_t>(options.frames, 1)) {
        if (options_.prompts.empty()) options_.prompts.emplace_back("Describe this image.");
    }

    int run() {
        if (options_.photos.empty()) ask(nullptr);
        for (std::string const& photo : options_.photos) {
            try {
                ask(&photo);
            } catch (lv::image_error const& fault) { // this photo's fault; the others may be fine
                photo_failed(fault);
            } catch (lv::file_error const& fault) {
                if (std::string_view(fault.what()).starts_with("standard output")) throw;
                photo_failed(fault);
            }
        }
        answer();
        if (sum_.prompt_tokens > 0) say(program::in_words(sum_));
        return status_;
    }

  private:
    void photo_failed(std::exception const& fault) {
        complain(fault.what());
        status_ = 1;
    }

    /// Every question about a photo; it is looked at once.
    void ask(std::string const* photo) {
        encoded_pictures seen;
        if (photo) seen = with_.encode(pictures_of(*photo, options_.frames));
        for (std::string const& prompt : options_.prompts) {
            waiting_.push_back({seen, prompt});
            headings_.push_back({photo, &prompt});
            if (waiting_.size() == options_.batch) answer();
            seen.took.image = 0;
            seen.took.cached = seen.took.images;
        }
    }

    /// What was asked and waits for its answer.
    void answer() {
        if (waiting_.empty()) return;
        auto heading = headings_.begin();
        bool begun = false; // the answer at hand
        auto const begin = [&] {
            if (!begun && !options_.json) print_now(title(*heading));
            begun = true;
        };
        sum_ += with_.ask_together(
            waiting_,
            [&](std::string_view piece) {
                if (options_.json) return;
                begin();
                print_now(piece);
            },
            [&](reply const& r) {
                begin();
                print_now(options_.json ? json_line(*heading, r) : several() ? "\n\n" : "\n");
                begun = false;
                ++heading;
            });
        waiting_.clear();
        headings_.clear();
    }

    [[nodiscard]] bool several() const { return options_.photos.size() > 1 || options_.prompts.size() > 1; }

    [[nodiscard]] std::string title(heading const& h) const {
        std::string text;
        if (options_.photos.size() > 1) text += *h.file + ":\n";
        if (options_.prompts.size() > 1) text += "> " + *h.prompt + "\n";
        return text;
    }

    [[nodiscard]] std::string json_line(heading const& h, reply const& r) const {
        timing const& t = r.took;
        std::vector<std::pair<std::string_view, std::string>> line{{"file", h.file ? json_string(*h.file) : "null"}};
        if (options_.prompts.size() > 1) line.emplace_back("prompt", json_string(*h.prompt));
        line.insert(line.end(),
                    {{"text", json_string(r.text)},
                     {"tokens", json_integers(r.ids)},
                     {"stop", json_string(lv::name_of(r.reason))},
                     {"timing", json_object({{"image", json_number(t.image)},
                                             {"cached", t.images > 0 && t.cached == t.images ? "true" : "false"},
                                             {"prompt", json_number(t.prompt)},
                                             {"prompt_tokens", std::to_string(t.prompt_tokens)},
                                             {"answer", json_number(t.answer)},
                                             {"answer_tokens", std::to_string(t.answer_tokens)},
                                             {"peak_memory", std::to_string(peak_memory())}})}});
        return json_object(line) + "\n";
    }

    describe_options options_;
    conversation with_;
    std::vector<inquiry> waiting_;
    std::vector<heading> headings_; ///< of those that wait
    timing sum_;
    int status_ = 0;
};

} // namespace

int describe(describe_options const& options) { return describing(options).run(); }

} // namespace program
