// SPDX-License-Identifier: Apache-2.0
// From settings to an answer, with progress bars and a clock.
#include "answers.hpp"

#include <utility>

#include <llamavision/checkpoint/open.hpp>

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
    options.on_warning = [](std::string const& what) { say("Mind: " + what); };
    return std::make_shared<lv::image_cache>(std::move(options));
}

lv::model open(answer_settings const& s, std::shared_ptr<lv::image_cache> images) {
    auto const path = model_path(s.model);
    lv::model model = open_model(s, std::move(images));
    auto const said = lv::checkpoint::read_description(path, lv::checkpoint::faults::thrown, dialect_of(s.gguf));
    for (std::string const& warning : said.warnings) say("Mind: " + warning);
    if (model.manners().chat.form == lv::tokens::preset::base)
        say("Mind: this is a base model (no chat template, and answers that do not end with <|eot_id|>); it continues "
            "the "
            "prompt as it stands, and was not taught to answer.");
    if (is_published(model.net()))
        say("Built with Llama. Llama 3.2 is licensed under the Llama 3.2 Community License, "
            "Copyright (c) Meta Platforms, Inc. All Rights Reserved.");
    return model;
}

lv::conversation_options options_of(answer_settings const& s) {
    lv::conversation_options options;
    options.session.context = s.context;
    options.session.reading = parity_of(s.parity);
    options.system = s.system;
    return options;
}

/// The checkpoint's defaults, and what the command line says instead: whoever names a temperature wants draws.
void apply(answer_settings const& s, lv::generate_options& answer) {
    lv::tokens::sampling& sampling = answer.sampling;
    if (s.temperature || s.top_p || s.top_k) sampling.greedy = false;
    sampling.temperature = s.temperature.value_or(sampling.temperature);
    sampling.top_p = s.top_p.value_or(sampling.top_p);
    sampling.top_k = s.top_k.value_or(sampling.top_k);
    sampling.repetition_penalty = s.repetition_penalty.value_or(sampling.repetition_penalty);
    sampling.seed = s.seed;
    if (s.greedy) sampling.greedy = true;
    answer.max_tokens = s.max_tokens;
    answer.stop_strings = s.stop;
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

conversation::conversation(answer_settings const& settings)
    : settings_(settings), images_(cache_of(settings)), model_(open(settings, images_)),
      chat_(model_, options_of(settings)) {}

reply conversation::ask(std::span<lv::image::pixels const> pictures, std::string_view question,
                        std::function<void(std::string_view)> const& on_piece, std::stop_token stop) {
    lv::ask_options options = chat_.defaults();
    apply(settings_, options.answer);
    options.stop = std::move(stop);
    reply result;
    timing& took = result.took;
    stopwatch watch;
    std::vector<lv::session::image_ptr> images;
    auto const encoded = [&] { return images_ ? images_->counts().encoded : 0; };
    std::size_t const encoded_before = encoded();
    {
        progress_bar bar("Looking at the image");
        options.on_image = bar.report();
        images = chat_.encode(pictures, options);
    }
    took.images = images.size();
    took.cached = images_ ? images.size() - (encoded() - encoded_before) : 0;
    took.image = watch.lap();
    std::size_t const before = chat_.state().length();
    std::optional<lv::answer> answer;
    {
        progress_bar bar("Reading the question");
        options.on_prompt = bar.report();
        answer = chat_.ask(images, question, options);
    }
    took.prompt_tokens = chat_.state().length() - before;
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
}

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
