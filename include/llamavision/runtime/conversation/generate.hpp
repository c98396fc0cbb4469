// SPDX-License-Identifier: Apache-2.0
// Generation: logits of the last row -> a token -> text, and the token back into the session. One step at a time, and
// only when the caller asks for the next piece; of one answer, or of several together.
#pragma once

#include <cstddef>
#include <cstdint>
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

/// What a checkpoint says about answers (generation_config.json).
struct answer_defaults {
    bool greedy = false;         ///< do_sample is false: the most likely token, unless the caller asks for draws
    tokens::sampling sampling{}; ///< of draws
    std::vector<token> stop_ids{};
    std::vector<std::string> stop_strings{};
    std::optional<std::size_t> max_tokens{}; ///< nothing: as many as the context holds
    std::uint64_t seed = 0;
};

/// How tokens are chosen. What is absent is the checkpoint's; whoever names a temperature, top_p or top_k asks for
/// draws.
struct sampling_options {
    std::optional<double> temperature{}; ///< ≥ 0; 0 is greedy
    std::optional<double> top_p{};       ///< in [0, 1]
    std::optional<std::size_t> top_k{};  ///< 0 keeps all
    std::optional<double> repetition_penalty{};
    std::optional<std::uint64_t> seed{};

    /// The same with the checkpoint's values where this names none.
    [[nodiscard]] tokens::sampling with(answer_defaults const& defaults) const {
        tokens::sampling s = defaults.sampling;
        if (defaults.greedy && !top_p && !top_k) s.temperature = 0;
        s.temperature = temperature.value_or(s.temperature);
        s.top_p = top_p.value_or(s.top_p);
        s.top_k = top_k.value_or(s.top_k);
        s.repetition_penalty = repetition_penalty.value_or(s.repetition_penalty);
        s.seed = seed.value_or(defaults.seed);
        return s;
    }
};

/// How an answer is made. What is absent is the checkpoint's.
struct generate_options {
    sampling_options sampling{};
    std::optional<std::size_t> max_tokens{};
    std::optional<std::vector<token>> stop_ids{}; ///< empty: no token ends the answer
    std::vector<std::string> stop_strings{};      ///< empty: the checkpoint's
    std::stop_token stop{};                       ///< ends the answer between two tokens, or inside one
};

class generation;

/// Takes a piece of text, complete UTF-8 and never empty, of the answer of that index.
using on_piece = std::function<void(std::size_t answer, std::string_view piece)>;

/// A token for each answer that has not ended, of several sessions of one model. The tokens before them are read in one
/// pass over the weights (`session::append_together`), so that every answer is what it would be alone, in a fraction of
/// the time. An answer that ends leaves the others alone. A stop token that not all of them share ends its answer
/// between two tokens.
/// @param take may be empty: pieces are dropped
/// @return whether any answer goes on
/// @throws argument_error for sessions of different models, or if two answers have one session; memory_error
bool step_together(std::span<generation* const> answers, on_piece const& take);

/// One answer in the making. The session must have read a prompt; it must outlive this, and stay where it is.
class generation {
  public:
    /// @throws argument_error for sampling out of range, or an empty stop string
    generation(session& s, tokens::tokenizer const& tokenizer, answer_defaults const& defaults,
               generate_options options);

    /// The next piece of text, complete UTF-8 and never empty; nothing when the answer has ended. A full context ends
    /// the answer, and is no error.
    /// @throws token_error for logits that are not numbers; memory_error
    [[nodiscard]] std::optional<std::string> next();

    /// The ids so far, without the one that ended the answer.
    [[nodiscard]] std::vector<token> const& ids() const { return ids_; }
    /// While this is true, the session has not read the last id: whoever goes on with the session appends it first.
    [[nodiscard]] bool has_pending_token() const { return pending_; }
    /// `none` while the answer may go on.
    [[nodiscard]] ending reason() const { return ending_; }

  private:
    friend bool step_together(std::span<generation* const> answers, on_piece const& take);

    /// Ids that are never written: those that stand for pictures, and rows of the head that are no token's.
    static std::vector<token> forbidden_ids(session const& s, tokens::tokenizer const& tokenizer);

    [[nodiscard]] bool goes_on() const { return ending_ == ending::none; }
    /// Ends the answer if there is a reason before the model reads; returns the rest of its text.
    std::string end_before_reading();
    /// Chooses the next token by the session's logits; returns its text, as far as it is complete.
    std::string choose();
    /// Returns the text that the decoder and the stop strings still held back.
    std::string end(ending why);

    session* session_;
    generate_options options_;
    tokens::sampler sampler_;
    std::shared_ptr<void> choices_; ///< what the network keeps from one choice to the next
    tokens::stream_decoder text_;
    tokens::stop_watch stops_;
    std::vector<token> ids_;
    bool pending_ = false;
    ending ending_ = ending::none;
    std::vector<session::input> pending_reads_; ///< of all answers that step together, kept by the first of them
};

} // namespace llamavision

#if !defined(LLAMAVISION_SEPARATE)
#include <llamavision/runtime/conversation/generate.ipp>
#endif
