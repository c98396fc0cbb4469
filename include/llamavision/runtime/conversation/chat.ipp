// SPDX-License-Identifier: Apache-2.0
// A turn of a conversation, or of several: pictures are encoded, the text is put into the chat format, and both are
// read.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <llamavision/runtime/conversation/chat.hpp>

namespace llamavision {

LLAMAVISION_INLINE chat::chat(model const& m, conversation_options options) {
    tokens::chat_options how = m.defaults().chat;
    if (options.session.reading == parity::meta && m.tokenizer().kind() == tokens::tokenizer_kind::meta)
        how.cuts = tokens::text_cuts::as_meta;
    tokens::chat_format format(m.tokenizer(), std::move(how));
    session state = m.open_session(options.session);
    now_ = std::make_shared<detail::conversation>(
        detail::conversation{m, std::move(options), std::move(state), std::move(format)});
}

LLAMAVISION_INLINE answer chat::ask(tokens::message const& turn, std::span<session::image_ptr const> pictures,
                                    ask_options options) {
    read_options reading;
    reading.on_progress = std::move(options.on_prompt);
    reading.stop = options.stop;
    question const asked{this, turn, pictures, std::move(options)};
    return ask_together({&asked, 1}, reading).front();
}

namespace detail {

/// A prompt of a template that writes no <|begin_of_text|>, with one behind the pictures at its beginning:
/// transformers' processor of this model adds it to every text that lacks it (build_string_from_input). For text
/// models, whose tokenizer adds none to a template's text, the prompt as it is.
[[nodiscard]] inline std::vector<token> with_bos(std::vector<token> prompt, model const& m) {
    token const bos = m.tokenizer().bos(), picture = m.tokenizer().image();
    bool const sees = m.net().numbers().kind == config::family::mllama;
    if (!sees || std::find(prompt.begin(), prompt.end(), bos) != prompt.end()) return prompt;
    prompt.insert(std::find_if(prompt.begin(), prompt.end(), [picture](token id) { return id != picture; }), bos);
    return prompt;
}

} // namespace detail

LLAMAVISION_INLINE std::vector<answer> ask_together(std::span<question const> questions, read_options const& options) {
    std::vector<std::vector<token>> prompts;
    prompts.reserve(questions.size()); // the inputs refer to its elements
    std::vector<session::input> inputs;
    std::vector<std::vector<tokens::message>> said;
    std::vector<answer> answers;
    answers.reserve(questions.size());
    for (question const& q : questions) {
        if (!q.to) throw argument_error("a question names no chat to answer it");
        detail::conversation& now = *q.to->now_;
        said.push_back(q.to->so_far());
        prompts.push_back(q.to->prompt(said.back(), q.turn));
        said.back().push_back(q.turn);
        inputs.push_back({&now.state, prompts.back(), q.pictures});
        // Made before anything is read: this throws for options that no answer can have.
        answers.push_back({q.to->now_, std::make_shared<generation>(now.state, now.asked.tokenizer(),
                                                                    now.asked.defaults().answers, q.answer)});
    }
    session::append_together(inputs, options);
    for (std::size_t i = 0; i < answers.size(); ++i) {
        answers[i].of_->latest = answers[i].generation_;
        answers[i].of_->said = std::move(said[i]);
    }
    return answers;
}

LLAMAVISION_INLINE void answer_together(std::span<answer const> answers, on_piece const& take) {
    std::vector<generation*> all;
    for (answer const& a : answers) all.push_back(&a.readable());
    while (step_together(all, take)) {}
}

LLAMAVISION_INLINE std::vector<session::image_ptr> chat::encode(std::span<image::pixels const> pictures,
                                                                ask_options const& options) const {
    std::vector<session::image_ptr> seen;
    for (std::size_t i = 0; i < pictures.size(); ++i) {
        encode_options encoding;
        encoding.remember_padding = now_->state.remembers_padding();
        encoding.stop = options.stop;
        if (options.on_image)
            encoding.on_progress = [&, i](std::size_t done, std::size_t total) {
                options.on_image(i * total + done, pictures.size() * total);
            };
        seen.push_back(now_->asked.encode(pictures[i], std::move(encoding)));
    }
    return seen;
}

LLAMAVISION_INLINE std::vector<tokens::message> chat::so_far() const {
    detail::conversation const& now = *now_;
    std::vector<tokens::message> messages = now.said;
    if (now.latest)
        messages.push_back({tokens::role::assistant, {now.asked.tokenizer().decode(now.latest->ids(), true)}});
    else if (auto const system = now.options.system.value_or(now.asked.defaults().system); !system.empty())
        messages.push_back({tokens::role::system, {system}});
    return messages;
}

LLAMAVISION_INLINE std::vector<token> chat::prompt(std::vector<tokens::message> said,
                                                   tokens::message const& turn) const {
    detail::conversation const& now = *now_;
    if (!now.latest) {
        said.push_back(turn);
        return detail::with_bos(now.format.encode(said), now.asked);
    }
    std::vector<token> ids;
    if (now.latest->has_pending_token()) ids.push_back(now.latest->ids().back());
    std::vector<token> const rest = now.format.encode_next(said, turn);
    ids.insert(ids.end(), rest.begin(), rest.end());
    return ids;
}

LLAMAVISION_INLINE answer::iterator& answer::iterator::operator++() {
    auto piece = from_->next();
    if (piece)
        piece_ = std::move(*piece);
    else
        from_ = nullptr;
    return *this;
}

LLAMAVISION_INLINE answer chat::ask(std::string_view text, ask_options options) {
    return ask(turn_of(0, text), {}, std::move(options));
}

LLAMAVISION_INLINE answer chat::ask(image::pixels const& picture, std::string_view text, ask_options options) {
    return ask(std::span(&picture, 1), text, std::move(options));
}

LLAMAVISION_INLINE answer chat::ask(std::span<image::pixels const> pictures, std::string_view text,
                                    ask_options options) {
    std::vector<session::image_ptr> const seen = encode(pictures, options);
    return ask(seen, text, std::move(options));
}

LLAMAVISION_INLINE answer chat::ask(std::span<session::image_ptr const> pictures, std::string_view text,
                                    ask_options options) {
    return ask(turn_of(pictures.size(), text), pictures, std::move(options));
}

LLAMAVISION_INLINE tokens::message chat::turn_of(std::size_t pictures, std::string_view text) {
    tokens::message turn;
    turn.content.assign(pictures, tokens::image_here);
    if (!text.empty() || pictures == 0) turn.content.emplace_back(std::string(text));
    return turn;
}

LLAMAVISION_INLINE void chat::reset() {
    now_->said.clear();
    now_->latest.reset();
    now_->state.reset();
}

LLAMAVISION_INLINE std::string answer::text() const {
    std::string all;
    while (auto const piece = next()) all += *piece;
    return all;
}

LLAMAVISION_INLINE generation& answer::readable() const {
    if (of_->latest != generation_ && generation_->reason() == ending::none)
        throw argument_error("this answer was not read to its end before its chat was asked again or reset, which "
                             "ended it");
    return *generation_;
}

LLAMAVISION_INLINE answer::iterator answer::begin() const { return iterator(std::make_shared<answer const>(*this)); }

LLAMAVISION_INLINE std::optional<std::string> answer::next() const { return readable().next(); }

LLAMAVISION_INLINE chat model::chat() const { return llamavision::chat(*this); }

LLAMAVISION_INLINE chat model::chat(conversation_options options) const {
    return llamavision::chat(*this, std::move(options));
}

} // namespace llamavision
