// SPDX-License-Identifier: Apache-2.0
// `describe`: one question for each photo, answers as they come.
#include "commands.hpp"

#include <exception>
#include <span>
#include <string_view>

#include <llamavision/image/open.hpp>

#include "answers.hpp"
#include "console.hpp"
#include "json_text.hpp"

namespace lv = llamavision;

namespace program {

namespace {

std::string json_line(std::string const* file, reply const& r) {
    timing const& t = r.took;
    return json_object({{"file", file ? json_string(*file) : "null"},
                        {"text", json_string(r.text)},
                        {"tokens", json_integers(r.ids)},
                        {"stop", json_string(lv::name_of(r.reason))},
                        {"timing", json_object({{"image", json_number(t.image)},
                                                {"cached", t.images > 0 && t.cached == t.images ? "true" : "false"},
                                                {"prompt", json_number(t.prompt)},
                                                {"prompt_tokens", std::to_string(t.prompt_tokens)},
                                                {"answer", json_number(t.answer)},
                                                {"answer_tokens", std::to_string(t.answer_tokens)},
                                                {"peak_memory", std::to_string(peak_memory())}})}})
           + "\n";
}

/// One question; `file` is null for one without a photo.
timing answer(conversation& with, describe_options const& o, std::string const* file) {
    std::string const question = o.prompt.empty() ? "Describe this image." : o.prompt;
    std::vector<lv::image::pixels> pictures;
    if (file) pictures.push_back(lv::image::open(*file));
    with.reset();
    if (o.json) {
        reply const r = with.ask(pictures, question, [](std::string_view) {});
        print_now(json_line(file, r));
        return r.took;
    }
    if (o.photos.size() > 1) print_now(*file + ":\n");
    reply const r = with.ask(pictures, question, [](std::string_view piece) { print_now(piece); });
    print_now(o.photos.size() > 1 ? "\n\n" : "\n");
    return r.took;
}

} // namespace

int describe(describe_options const& options) {
    conversation with(options.answers);
    timing sum;
    int status = 0;
    if (options.photos.empty()) sum += answer(with, options, nullptr);
    for (std::string const& photo : options.photos) {
        try {
            sum += answer(with, options, &photo);
        } catch (lv::image_error const& fault) { // this photo's fault; the others may be fine
            complain(fault.what());
            status = 1;
        } catch (lv::file_error const& fault) {
            if (std::string_view(fault.what()).starts_with("standard output")) throw;
            complain(fault.what());
            status = 1;
        }
    }
    if (sum.prompt_tokens > 0) say(in_words(sum));
    return status;
}

} // namespace program
