// SPDX-License-Identifier: Apache-2.0
// A conversation: questions with pictures in them, answers that arrive piece by piece. Each turn is read on top of what
// the session already holds. Several conversations may be asked, and answer, together.
#pragma once

#include <cstddef>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <llamavision/runtime/model.hpp>
#include <llamavision/support/separate.hpp>

namespace llamavision {

struct conversation_options {
    session_options session{};
    std::string system{}; ///< system prompt; empty for none
};

/// Who wants to know how far a question is, and who may stop it.
struct ask_options {
    generate_options answer{};
    progress on_image{};  ///< layers done, of all layers of all pictures
    progress on_prompt{}; ///< layers done, of all chunks' layers
    std::stop_token stop{};
};

/// One answer: a range of pieces of text, generated while it is iterated. Belongs to its chat, which must outlive it;
/// the chat's next question ends it.
class answer {
  public:
    explicit answer(generation& g) : generation_(&g) {}

    class iterator {
      public:
        using value_type = std::string_view;
        using difference_type = std::ptrdiff_t;
        using iterator_concept = std::input_iterator_tag;

        iterator() = default;
        explicit iterator(generation* g) : generation_(g) { ++*this; }
        [[nodiscard]] std::string_view operator*() const { return piece_; }
        iterator& operator++() {
            auto piece = generation_->next();
            if (piece)
                piece_ = std::move(*piece);
            else
                generation_ = nullptr;
            return *this;
        }
        void operator++(int) { ++*this; }
        [[nodiscard]] bool operator==(std::default_sentinel_t) const { return generation_ == nullptr; }

      private:
        generation* generation_ = nullptr;
        std::string piece_;
    };

    [[nodiscard]] iterator begin() const { return iterator(generation_); }
    [[nodiscard]] std::default_sentinel_t end() const { return {}; }

    /// The rest of the answer as one string.
    [[nodiscard]] std::string text() const {
        std::string all;
        for (std::string_view const piece : *this) all += piece;
        return all;
    }
    [[nodiscard]] std::vector<token> const& ids() const { return generation_->ids(); }
    [[nodiscard]] ending reason() const { return generation_->reason(); }

  private:
    friend void answer_together(std::span<answer const> answers, on_piece const& take);

    generation* generation_;
};

/// The rest of several answers, of chats of one model: a token of each in every pass over the weights (see
/// `step_together`). Who gives no function finds the tokens in the answers' `ids`.
void answer_together(std::span<answer const> answers, on_piece const& take);

class chat;

/// What one of several chats is asked: a turn, and one encoded picture for each of its image marks.
struct question {
    chat* to = nullptr;
    tokens::message turn;
    std::span<session::image_ptr const> pictures{};
    generate_options answer{};
};

/// Asks several chats of one model; their questions are read together (see `session::append_together`).
/// On an exception all conversations are as before.
/// @return their answers, in the same order
/// @throws argument_error for chats of different models, one that is named twice or none at all, and as `ask`;
///         token_error, context_error, cancelled
[[nodiscard]] std::vector<answer> ask_together(std::span<question const> questions, read_options const& options = {});

/// Not for several threads at once. Only an answer's stop token may be used from another thread.
class chat {
  public:
    explicit chat(model const& m, conversation_options options = {});
    chat(chat const&) = delete; // an answer in the making refers to the session in here
    chat& operator=(chat const&) = delete;

    /// The answers' defaults: the checkpoint's sampling and stop ids.
    [[nodiscard]] ask_options defaults() const {
        ask_options options;
        options.answer = model_.defaults().answers;
        return options;
    }

    /// Asks about pictures, which stand before the text, or goes on with the conversation.
    /// On an exception the conversation is as before.
    /// @throws image_error; argument_error for sampling out of range, an empty stop string, or pictures of another
    ///         model; token_error; context_error; cancelled
    [[nodiscard]] answer ask(std::span<session::image_ptr const> pictures, std::string_view text, ask_options options) {
        return ask(turn_of(pictures.size(), text), pictures, std::move(options));
    }
    [[nodiscard]] answer ask(std::span<image::pixels const> pictures, std::string_view text, ask_options options) {
        std::vector<session::image_ptr> const seen = encode(pictures, options);
        return ask(seen, text, std::move(options));
    }
    [[nodiscard]] answer ask(image::pixels const& picture, std::string_view text) {
        return ask({&picture, 1}, text, defaults());
    }
    [[nodiscard]] answer ask(std::string_view text) { return ask(std::span<image::pixels const>(), text, defaults()); }

    /// A turn with pictures anywhere in it: one encoded picture for each of its image marks.
    [[nodiscard]] answer ask(tokens::message const& turn, std::span<session::image_ptr const> pictures,
                             ask_options options);

    /// A turn that shows so many pictures, and then says something.
    [[nodiscard]] static tokens::message turn_of(std::size_t pictures, std::string_view text) {
        tokens::message turn;
        turn.content.assign(pictures, tokens::image_here);
        if (!text.empty() || pictures == 0) turn.content.emplace_back(std::string(text));
        return turn;
    }

    /// Encodes pictures the way this conversation's parity needs them.
    [[nodiscard]] std::vector<session::image_ptr> encode(std::span<image::pixels const> pictures,
                                                         ask_options const& options = {}) const;

    /// Forgets everything said and shown.
    void reset() {
        answer_.reset();
        session_.reset();
    }

    [[nodiscard]] session const& state() const { return session_; }

  private:
    friend std::vector<answer> ask_together(std::span<question const> questions, read_options const& options);

    /// What the session has not read yet, up to the point where the assistant speaks: the last answer's end and this
    /// turn; or, at the beginning, the system prompt and this turn.
    [[nodiscard]] std::vector<token> prompt(tokens::message const& turn) const;

    model model_;
    conversation_options options_;
    session session_;
    tokens::chat_format format_;
    std::optional<generation> answer_;
};

inline chat model::chat() const { return llamavision::chat(*this); }

} // namespace llamavision

#if !defined(LLAMAVISION_SEPARATE)
#include <llamavision/runtime/conversation/chat.ipp>
#endif
