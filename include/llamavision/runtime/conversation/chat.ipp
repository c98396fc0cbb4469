// SPDX-License-Identifier: Apache-2.0
// A turn of a conversation, or of several: pictures encoded, words put in their frame, and read.
#pragma once

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include <llamavision/runtime/conversation/chat.hpp>

namespace llamavision {

LLAMAVISION_INLINE chat::chat(model const& m, conversation_options options)
    : model_(m), options_(std::move(options)), session_(m.open_session(options_.session)),
      format_(m.tokenizer(), m.defaults().chat) {}

LLAMAVISION_INLINE answer chat::ask(tokens::message const& turn, std::span<session::image_ptr const> pictures,
                                    ask_options options) {
    read_options reading;
    reading.on_progress = options.on_prompt;
    reading.stop = options.stop;
    if (!options.answer.stop.stop_possible()) options.answer.stop = options.stop;
    question const asked{this, turn, pictures, std::move(options.answer)};
    return ask_together({&asked, 1}, reading).front();
}

LLAMAVISION_INLINE std::vector<answer> ask_together(std::span<question const> questions, read_options const& options) {
    std::vector<std::vector<token>> prompts;
    prompts.reserve(questions.size()); // the inputs point into it
    std::vector<session::input> inputs;
    std::vector<generation> begun; // before anything is read: not every answer that is asked for can be made
    std::vector<answer> answers;
    answers.reserve(questions.size());
    for (question const& q : questions) {
        if (!q.to) throw argument_error("a question is put to a chat, and this one names none");
        prompts.push_back(q.to->prompt(q.turn));
        inputs.push_back({&q.to->session_, prompts.back(), q.pictures});
        begun.emplace_back(q.to->session_, q.to->model_.tokenizer(), q.answer);
    }
    session::append_together(inputs, options);
    for (std::size_t i = 0; i < questions.size(); ++i)
        answers.emplace_back(questions[i].to->answer_.emplace(std::move(begun[i])));
    return answers;
}

LLAMAVISION_INLINE void answer_together(std::span<answer const> answers, on_piece const& take) {
    std::vector<generation*> all;
    for (answer const& a : answers) all.push_back(a.generation_);
    while (step_together(all, take)) {}
}

LLAMAVISION_INLINE std::vector<session::image_ptr> chat::encode(std::span<image::pixels const> pictures,
                                                                ask_options const& options) const {
    std::vector<session::image_ptr> seen;
    for (std::size_t i = 0; i < pictures.size(); ++i) {
        encode_options encoding;
        encoding.remember_padding = session_.remembers_padding();
        encoding.stop = options.stop;
        if (options.on_image)
            encoding.on_progress = [&, i](std::size_t done, std::size_t total) {
                options.on_image(i * total + done, pictures.size() * total);
            };
        seen.push_back(model_.encode(pictures[i], std::move(encoding)));
    }
    return seen;
}

LLAMAVISION_INLINE std::vector<token> chat::prompt(tokens::message const& turn) const {
    if (session_.length() == 0) {
        std::vector<tokens::message> messages;
        if (!options_.system.empty()) messages.push_back({tokens::role::system, {options_.system}});
        messages.push_back(turn);
        return format_.encode(messages);
    }
    std::vector<token> ids;
    if (answer_ && answer_->has_pending_token()) ids.push_back(answer_->ids().back());
    if (auto const end = format_.turn_end()) ids.push_back(*end);
    std::vector<token> const rest = format_.encode_turn(turn, false);
    ids.insert(ids.end(), rest.begin(), rest.end());
    return ids;
}

} // namespace llamavision
