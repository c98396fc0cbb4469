// SPDX-License-Identifier: Apache-2.0
// Generation: from the logits of the last row to a token, from the token to text, and the token back into the session,
// one step at a time and only when somebody asks for the next piece.
#pragma once

#include <cstddef>
#include <limits>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <llamavision/runtime/session.hpp>
#include <llamavision/tokens/sampler.hpp>
#include <llamavision/tokens/stop.hpp>
#include <llamavision/tokens/tokenizer.hpp>

namespace llamavision {

/// Why an answer ended.
enum class ending { none, stop_id, stop_string, length, context, cancelled };

[[nodiscard]] constexpr std::string_view name_of(ending e) {
    switch (e) {
    case ending::stop_id: return "stop";
    case ending::stop_string: return "stop_string";
    case ending::length: return "length";
    case ending::context: return "context";
    case ending::cancelled: return "cancelled";
    default: return "none";
    }
}

struct generate_options {
    tokens::sampling sampling{};
    std::size_t max_tokens = std::numeric_limits<std::size_t>::max();
    std::vector<token> stop_ids{};
    std::vector<std::string> stop_strings{};
    std::stop_token stop{}; ///< ends the answer between two tokens, or inside one
};

/// One answer in the making. The session must have read a prompt, and must outlive this.
class generation {
  public:
    generation(session& s, tokens::tokenizer const& words, generate_options options)
        : session_(&s), options_(std::move(options)), pick_(options_.sampling, never(s, words)), text_(words, true),
          stops_(options_.stop_ids, options_.stop_strings) {}

    /// The next piece of text, complete UTF-8 and never empty; nothing when the answer has ended.
    /// @throws context_error never: a full context ends the answer
    [[nodiscard]] std::optional<std::string> next() {
        while (ending_ == ending::none) {
            std::string piece = step();
            if (ending_ != ending::none && ending_ != ending::stop_string) piece += stops_.finish();
            if (!piece.empty()) return piece;
        }
        return std::nullopt;
    }

    /// The ids so far, without the one that ended the answer.
    [[nodiscard]] std::vector<token> const& ids() const { return ids_; }
    /// The last id is not in the session yet while this is true: whoever goes on with the session appends it first.
    [[nodiscard]] bool owes_last_id() const { return owes_; }
    [[nodiscard]] ending reason() const { return ending_; }

  private:
    /// Ids that stand for pictures are input only.
    static std::vector<token> never(session const& s, tokens::tokenizer const& words) {
        std::vector<token> ids = words.image_like();
        ids.push_back(s.image_id());
        return ids;
    }

    std::string step() {
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
        token const id = pick_(session_->logits(), session_->ids());
        if (stops_.ends(id)) return end(ending::stop_id);
        ids_.push_back(id);
        owes_ = true;
        std::string piece = stops_.push(text_.push(id));
        if (stops_.stopped()) ending_ = ending::stop_string;
        return piece;
    }

    /// What the decoder still held back belongs to the text.
    std::string end(ending why) {
        ending_ = why;
        return stops_.push(text_.finish());
    }

    session* session_;
    generate_options options_;
    tokens::sampler pick_;
    tokens::stream_decoder text_;
    tokens::stop_watch stops_;
    std::vector<token> ids_;
    bool owes_ = false;
    ending ending_ = ending::none;
};

} // namespace llamavision
