// SPDX-License-Identifier: Apache-2.0
// Generation: from the logits of the last row to a token, from the token to text, and the token back into the session,
// one step at a time and only when somebody asks for the next piece; of one answer, or of several together.
#pragma once

#include <cstddef>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <llamavision/runtime/conversation/session.hpp>
#include <llamavision/support/separate.hpp>
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

class generation;

/// Takes a piece of text, complete UTF-8 and never empty, of the answer of that index.
using on_piece = std::function<void(std::size_t answer, std::string_view piece)>;

/// A token for each answer that has not ended, of several sessions of one model. The tokens before them are read in one
/// pass over the weights (`session::append_together`), so that every answer is what it would be alone, at a fraction of
/// the time. An answer that ends, for whatever reason, leaves the others alone. A stop token that not all of them share
/// ends its answer between two tokens. Without a function to take them, pieces are dropped.
/// @return whether any answer goes on
/// @throws argument_error for sessions of different models, or one that two answers belong to
bool step_together(std::span<generation* const> answers, on_piece const& take);

/// One answer in the making. The session must have read a prompt, and must outlive this.
class generation {
  public:
    /// @throws argument_error for sampling out of range, or an empty stop string
    generation(session& s, tokens::tokenizer const& tokenizer, generate_options options);

    /// The next piece of text, complete UTF-8 and never empty; nothing when the answer has ended.
    /// @throws context_error never: a full context ends the answer
    [[nodiscard]] std::optional<std::string> next();

    /// The ids so far, without the one that ended the answer.
    [[nodiscard]] std::vector<token> const& ids() const { return ids_; }
    /// The last id is not in the session yet while this is true: whoever goes on with the session appends it first.
    [[nodiscard]] bool has_pending_token() const { return pending_; }
    [[nodiscard]] ending reason() const { return ending_; }

  private:
    friend bool step_together(std::span<generation* const> answers, on_piece const& take);

    /// Ids that stand for pictures are input only.
    static std::vector<token> never(session const& s, tokens::tokenizer const& tokenizer);

    [[nodiscard]] bool goes_on() const { return ending_ == ending::none; }
    /// What may end it before the model reads; the rest of the text, if it does.
    std::string look_up();
    /// The next token, by the session's logits; its text, as far as it is complete.
    std::string choose();
    /// What the decoder and the stop strings still held back belongs to the text.
    std::string end(ending why);

    session* session_;
    generate_options options_;
    tokens::sampler pick_;
    std::shared_ptr<void> choices_; ///< what the network keeps from one to the next
    tokens::stream_decoder text_;
    tokens::stop_watch stops_;
    std::vector<token> ids_;
    bool pending_ = false;
    ending ending_ = ending::none;
    std::vector<session::input> pending_reads_; ///< of all that step together, of whom this is the first
};

} // namespace llamavision

#if !defined(LLAMAVISION_SEPARATE)
#include <llamavision/runtime/conversation/generate.ipp>
#endif
