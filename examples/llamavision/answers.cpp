// SPDX-License-Identifier: Apache-2.0
// Makes answers from settings, with progress bars and times.
#include "answers.hpp"

#include <utility>

#include <llamavision/checkpoint/open.hpp>
#include <llamavision/image/frames.hpp>

#include "bundled.hpp"
#include "console.hpp"
#include "models.hpp"

namespace lv = llamavision;

namespace program {

namespace {

std::shared_ptr<lv::image_cache> cache_of(answer_settings const& s) {
    if (s.image_cache.empty()) return nullptr;
    lv::image_cache_options options;
    options.folder = s.image_cache;
    options.disk = s.image_cache_limit;
    options.on_warning = [](std::string const& what) { warn(what); };
    return std::make_shared<lv::image_cache>(std::move(options));
}

lv::model open(answer_settings const& s, std::shared_ptr<lv::image_cache> images, std::size_t batch,
               std::size_t pictures) {
    auto const path = model_path(s.model);
    check_tokenizer(lv::checkpoint::read_description(path, lv::checkpoint::faults::thrown, dialect_of(s.gguf)));
    lv::model model = open_model(s, std::move(images), {s.context, batch, batch * pictures});
    if (model.defaults().chat.form == lv::tokens::preset::base)
        warn("this is a base model (no chat template, and answers that do not end with <|eot_id|>); it continues "
             "the prompt as it stands, and was not taught to answer.");
    if (is_published(model.net()))
        say("Built with Llama. Llama 3.2 is licensed under the Llama 3.2 Community License, "
            "Copyright (c) Meta Platforms, Inc. All Rights Reserved.");
    return model;
}

lv::conversation_options options_of(answer_settings const& s, std::shared_ptr<lv::workspace> work) {
    lv::conversation_options options;
    options.session.work = std::move(work);
    options.session.context = s.context;
    options.session.reading = parity_of(s.parity);
    options.system = s.system;
    return options;
}

/// What the command line says about answers; the rest is the checkpoint's.
lv::generate_options generate_options_of(answer_settings const& s, lv::model const& model) {
    lv::generate_options answer;
    answer.sampling = {s.greedy ? std::optional(0.0) : s.temperature, s.top_p, s.top_k, s.repetition_penalty, s.seed};
    answer.max_tokens = s.max_tokens;
    if (!answer.max_tokens && !model.defaults().answers.max_tokens) answer.max_tokens = 1024;
    answer.stop_strings = s.stop;
    return answer;
}

/// Throws `fault`, which is being handled, again. A logit that is no number comes from the checkpoint, whose path the
/// sampler does not know.
[[noreturn]] void explain(lv::token_error const& fault, answer_settings const& s) {
    std::string const what = fault.what();
    if (!what.starts_with("the logit of token")) throw;
    throw lv::token_error(model_path(s.model).string() + ": " + what
                          + "; the usual cause is a broken weight, or a broken number in preprocessor_config.json");
}

} // namespace

lv::parity parity_of(std::string const& name) {
    return name == "meta" ? lv::parity::meta : name == "hf" ? lv::parity::hugging_face : lv::parity::usual;
}

timing& timing::operator+=(timing const& other) {
    image += other.image;
    prompt += other.prompt;
    answer += other.answer;
    images += other.images;
    cached += other.cached;
    prompt_tokens += other.prompt_tokens;
    answer_tokens += other.answer_tokens;
    return *this;
}

std::vector<lv::image::pixels> pictures_of(std::string const& photo, std::size_t frames) {
    if (frames > 0) return lv::image::open_frames(photo, frames);
    std::vector<lv::image::pixels> one;
    one.push_back(lv::image::open(photo));
    return one;
}

conversation::conversation(answer_settings const& settings, std::size_t batch, std::size_t pictures)
    : settings_(settings), images_(cache_of(settings)), model_(open(settings, images_, batch, pictures)),
      work_(model_.make_workspace()) {
    add_chat();
}

void conversation::add_chat() { chats_.push_back(model_.chat(options_of(settings_, work_))); }

encoded_pictures conversation::encode(std::span<lv::image::pixels const> pictures, std::stop_token stop) {
    encoded_pictures seen;
    stopwatch watch;
    auto const encoded = [&] { return images_ ? images_->counts().encoded : 0; };
    std::size_t const encoded_before = encoded();
    progress_bar bar("Looking at the image");
    lv::ask_options options;
    options.on_image = bar.report();
    options.stop = std::move(stop);
    seen.images = chats_.front().encode(pictures, options);
    seen.took.images = seen.images.size();
    seen.took.cached = images_ ? seen.images.size() - (encoded() - encoded_before) : 0;
    seen.took.image = watch.seconds();
    return seen;
}

reply conversation::ask(std::span<lv::image::pixels const> pictures, std::string_view question,
                        std::function<void(std::string_view)> const& on_piece, std::stop_token stop) try {
    encoded_pictures const seen = encode(pictures, stop);
    reply result;
    timing& took = result.took;
    took = seen.took;
    stopwatch watch;
    lv::chat& chat = chats_.front();
    std::size_t const before = chat.state().length();
    std::optional<lv::answer> answer;
    {
        progress_bar bar("Reading the question");
        lv::ask_options options{generate_options_of(settings_, model_)};
        options.on_prompt = bar.report();
        options.stop = std::move(stop);
        answer = chat.ask(seen.images, question, std::move(options));
    }
    took.prompt_tokens = chat.state().length() - before;
    took.prompt = watch.lap();
    for (std::string_view const piece : *answer) {
        result.text += piece;
        on_piece(piece);
    }
    result.ids = answer->ids();
    result.reason = answer->reason();
    took.answer_tokens = result.ids.size();
    took.answer = watch.lap();
    return result;
} catch (lv::token_error const& fault) { explain(fault, settings_); }

timing conversation::ask_together(std::span<inquiry const> questions,
                                  std::function<void(std::string_view)> const& on_piece,
                                  std::function<void(reply const&)> const& on_reply) try {
    while (chats_.size() < questions.size()) add_chat();
    timing sum;
    stopwatch watch;
    std::vector<lv::answer> answers;
    {
        progress_bar bar(questions.size() > 1 ? "Reading the questions" : "Reading the question");
        std::vector<lv::question> asked;
        for (std::size_t i = 0; i < questions.size(); ++i) {
            inquiry const& q = questions[i];
            chats_[i].reset();
            asked.push_back({&chats_[i], lv::chat::turn_of(q.seen.images.size(), q.text), q.seen.images,
                             generate_options_of(settings_, model_)});
        }
        lv::read_options reading;
        reading.on_progress = bar.report();
        answers = lv::ask_together(asked, reading);
    }
    sum.prompt = watch.lap();
    std::vector<reply> replies(questions.size());
    for (std::size_t i = 0; i < questions.size(); ++i) {
        replies[i].took = questions[i].seen.took;
        replies[i].took.prompt = sum.prompt;
        replies[i].took.prompt_tokens = chats_[i].state().length();
        timing const& one = replies[i].took;
        sum += {one.image, 0, 0, one.images, one.prompt_tokens, 0, one.cached};
    }
    std::size_t done = 0;
    auto const hand_out = [&] {
        while (done < answers.size() && answers[done].reason() != lv::ending::none) {
            reply& r = replies[done];
            if (r.took.answer == 0) r.took.answer = watch.seconds();
            r.ids = answers[done].ids();
            r.reason = answers[done].reason();
            r.took.answer_tokens = r.ids.size();
            sum.answer_tokens += r.ids.size();
            on_reply(r);
            if (++done < answers.size() && !replies[done].text.empty()) on_piece(replies[done].text);
        }
    };
    lv::answer_together(answers, [&](std::size_t i, std::string_view piece) {
        replies[i].text += piece;
        if (i == done) on_piece(piece);
        if (answers[i].reason() != lv::ending::none) replies[i].took.answer = watch.seconds();
        hand_out();
    });
    hand_out();
    sum.answer = watch.seconds();
    return sum;
} catch (lv::token_error const& fault) { explain(fault, settings_); }

std::string in_words(timing const& t) {
    auto const rate = [](std::size_t tokens, double seconds) {
        std::string text = std::to_string(tokens) + (tokens == 1 ? " token" : " tokens");
        if (tokens > 0 && seconds > 0) text += ", " + fixed(static_cast<double>(tokens) / seconds, 1) + " tok/s";
        return text;
    };
    std::string text;
    if (t.images > 0) text = (t.images == 1 ? "image " : "images ") + fixed(t.image, 2) + " s";
    if (t.cached > 0) text += t.cached == t.images ? " (cached)" : " (" + std::to_string(t.cached) + " cached)";
    if (t.images > 0) text += " | ";
    text += "prompt " + rate(t.prompt_tokens, t.prompt) + " | answer " + rate(t.answer_tokens, t.answer);
    if (std::size_t const peak = peak_memory()) text += " | peak memory " + in_bytes(static_cast<double>(peak));
    return text;
}

} // namespace program
