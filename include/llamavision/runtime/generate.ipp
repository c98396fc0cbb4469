// SPDX-License-Identifier: Apache-2.0
// One step of an answer: a token chosen, its text, and the reason to stop.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <llamavision/runtime/generate.hpp>

namespace llamavision {

LLAMAVISION_INLINE generation::generation(session& s, tokens::tokenizer const& words, generate_options options)
    : session_(&s), options_(std::move(options)), pick_(options_.sampling, never(s, words)), text_(words, true),
      stops_(options_.stop_ids, options_.stop_strings) {}

LLAMAVISION_INLINE std::optional<std::string> generation::next() {
    while (ending_ == ending::none) {
        std::string piece = step();
        if (ending_ != ending::none && ending_ != ending::stop_string) piece += stops_.finish();
        if (!piece.empty()) return piece;
    }
    return std::nullopt;
}

LLAMAVISION_INLINE std::vector<token> generation::never(session const& s, tokens::tokenizer const& words) {
    std::vector<token> ids = words.image_like();
    ids.push_back(s.image_id());
    return ids;
}

LLAMAVISION_INLINE std::string generation::step() {
    try {
        if (options_.stop.stop_requested()) return end(ending::cancelled);
        if (ids_.size() >= options_.max_tokens) return end(ending::length);
        if (owes_) {
            if (session_->length() == session_->context()) return end(ending::context);
            read_options reading;
            reading.stop = options_.stop;
            session_->append_generated(ids_.back(), reading);
            owes_ = false;
        }
    } catch (cancelled const&) { return end(ending::cancelled); }
    token const id = session_->choose(pick_, choices_);
    if (stops_.ends(id)) return end(ending::stop_id);
    ids_.push_back(id);
    owes_ = true;
    std::string piece = stops_.push(text_.push(id));
    if (stops_.stopped()) ending_ = ending::stop_string;
    return piece;
}

LLAMAVISION_INLINE std::string generation::end(ending why) {
    ending_ = why;
    return stops_.push(text_.finish());
}

} // namespace llamavision
