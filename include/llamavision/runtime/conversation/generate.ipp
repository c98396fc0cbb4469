// SPDX-License-Identifier: Apache-2.0
// One step of several answers: read the pending tokens, choose the next ones, turn them into text, look for a reason to
// stop.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <llamavision/runtime/conversation/generate.hpp>

namespace llamavision {

LLAMAVISION_INLINE generation::generation(session& s, tokens::tokenizer const& tokenizer,
                                          answer_defaults const& defaults, generate_options options)
    : session_(&s), options_(std::move(options)),
      sampler_(options_.sampling.with(defaults), forbidden_ids(s, tokenizer)), text_(tokenizer, true),
      stops_(options_.stop_ids.value_or(defaults.stop_ids),
             options_.stop_strings.empty() ? defaults.stop_strings : options_.stop_strings) {
    if (!options_.max_tokens) options_.max_tokens = defaults.max_tokens;
}

LLAMAVISION_INLINE std::optional<std::string> generation::next() {
    generation* const self = this;
    std::string piece;
    while (piece.empty() && goes_on())
        step_together({&self, 1}, [&](std::size_t, std::string_view text) { piece += text; });
    if (piece.empty()) return std::nullopt;
    return piece;
}

LLAMAVISION_INLINE bool step_together(std::span<generation* const> answers, on_piece const& take) {
    if (answers.empty()) return false;
    auto const hand_out = [&](std::size_t i, std::string const& piece) {
        if (!piece.empty() && take) take(i, piece);
    };
    std::vector<session::input>& pending = answers.front()->pending_reads_;
    pending.clear();
    read_options reading;
    for (std::size_t i = 0; i < answers.size(); ++i) {
        generation& g = *answers[i];
        if (g.goes_on()) hand_out(i, g.end_before_reading());
        if (!g.goes_on() || !g.pending_) continue;
        bool const same = pending.empty() || reading.stop == g.options_.stop;
        reading.stop = same ? g.options_.stop : std::stop_token();
        pending.push_back({g.session_, {&g.ids_.back(), 1}, {}, true});
    }
    bool stopped = false;
    try {
        session::append_together(pending, reading);
    } catch (cancelled const&) { stopped = true; }
    bool any = false;
    for (std::size_t i = 0; i < answers.size(); ++i) {
        generation& g = *answers[i];
        if (g.goes_on()) hand_out(i, stopped && g.pending_ ? g.end(ending::cancelled) : g.choose());
        any = any || g.goes_on();
    }
    return any;
}

LLAMAVISION_INLINE std::vector<token> generation::forbidden_ids(session const& s, tokens::tokenizer const& tokenizer) {
    std::vector<token> ids = tokenizer.image_like();
    ids.push_back(s.image_id());
    auto const rows = static_cast<token>(s.net().tokens().head);
    for (token id = s.image_id() + 1; id < rows; ++id) // a resized table may be padded to a round number
        if (!tokenizer.contains(id)) ids.push_back(id);
    return ids;
}

LLAMAVISION_INLINE std::string generation::end_before_reading() {
    if (options_.stop.stop_requested()) return end(ending::cancelled);
    if (options_.max_tokens && ids_.size() >= *options_.max_tokens) return end(ending::length);
    if (pending_ && session_->length() == session_->context()) return end(ending::context);
    return {};
}

LLAMAVISION_INLINE std::string generation::choose() {
    pending_ = false;
    token const id = session_->choose(sampler_, choices_);
    if (stops_.ends(id)) return end(ending::stop_id);
    ids_.push_back(id);
    pending_ = true;
    std::string piece = stops_.push(text_.push(id));
    if (stops_.stopped()) ending_ = ending::stop_string;
    return piece;
}

LLAMAVISION_INLINE std::string generation::end(ending why) {
    ending_ = why;
    std::string rest = stops_.push(text_.finish());
    return rest += stops_.finish();
}

} // namespace llamavision
