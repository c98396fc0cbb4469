// SPDX-License-Identifier: Apache-2.0
// A conversation: questions with pictures in them, answers that arrive piece by piece. Each turn is read on top of what
// the session already holds. Several conversations may be asked, and answer, together.
#pragma once

#include <cstddef>
#include <iterator>
#include <memory>
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
    std::optional<std::string> system{}; ///< system prompt, empty for none; nothing: the checkpoint's
};

/// How a question is asked and answered. What is absent is the checkpoint's. The stop token also stops the encoding of
/// pictures and the reading of the question; those throw `cancelled`, and the conversation is as before.
struct ask_options : generate_options {
    progress on_image{};  ///< layers done, of all layers of all pictures
    progress on_prompt{}; ///< layers done, of all chunks' layers
};

namespace detail {

/// What a chat shares with its answers.
struct conversation {
    model asked;
    conversation_options options;
    session state; ///< what was said and shown so far
    tokens::chat_format format;
    std::vector<tokens::message> said{};  ///< the system prompt, and the turns but for the last answer
    std::shared_ptr<generation> latest{}; ///< the last answer; the next turn begins with what the session lacks of it
};

} // namespace detail

struct question;

/// One answer: a range of pieces of text, which are generated while it is iterated.
///
/// Its chat's next question, and `chat::reset`, end it where it is. To read it further then throws; what it has said so
/// far, and an answer that was complete, stay as they are.
///
/// It shares the conversation's state with its chat, so that it may outlive the chat, as in
/// `for (auto piece : model.chat().ask(photo, question))`, and the chat may be moved. (To forbid such loops, `ask`
/// would have to refuse temporary chats, and could not refuse a chat that goes out of scope.)
class answer {
  public:
    class iterator {
      public:
        using value_type = std::string_view;
        using difference_type = std::ptrdiff_t;
        using iterator_concept = std::input_iterator_tag;

        iterator() = default;
        explicit iterator(std::shared_ptr<answer const> from) : from_(std::move(from)) { ++*this; }
        /// Valid until this iterator moves on.
        [[nodiscard]] std::string_view operator*() const { return piece_; }
        iterator& operator++();
        void operator++(int) { ++*this; }
        [[nodiscard]] bool operator==(std::default_sentinel_t) const { return from_ == nullptr; }

      private:
        std::shared_ptr<answer const> from_;
        std::string piece_;
    };

    /// Generates the first piece. @throws as `next`
    [[nodiscard]] iterator begin() const;
    [[nodiscard]] std::default_sentinel_t end() const { return {}; }

    /// The next piece of text, complete UTF-8 and never empty; nothing when the answer has ended.
    /// @throws argument_error if the answer is not complete and its chat was asked again or reset; token_error for
    ///         logits that are not numbers; memory_error
    [[nodiscard]] std::optional<std::string> next() const;

    /// The rest of the answer as one string. @throws as `next`
    [[nodiscard]] std::string text() const;
    [[nodiscard]] std::vector<token> const& ids() const& { return generation_->ids(); }
    [[nodiscard]] std::vector<token> ids() && { return generation_->ids(); }
    [[nodiscard]] ending reason() const { return generation_->reason(); }

  private:
    friend void answer_together(std::span<answer const> answers, on_piece const& take);
    friend std::vector<answer> ask_together(std::span<question const> questions, read_options const& options);

    answer(std::shared_ptr<detail::conversation> of, std::shared_ptr<generation> g)
        : of_(std::move(of)), generation_(std::move(g)) {}

    /// The generation, unless the session has gone on without it.
    [[nodiscard]] generation& readable() const;

    std::shared_ptr<detail::conversation> of_;
    std::shared_ptr<generation> generation_; ///< refers to the session in `of_`
};

/// The rest of several answers, of chats of one model: a token of each in every pass over the weights (see
/// `step_together`).
/// @param take may be empty: the answers' `ids` hold the tokens
/// @throws as `answer::next`
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
///         token_error, context_error, memory_error, cancelled
[[nodiscard]] std::vector<answer> ask_together(std::span<question const> questions, read_options const& options = {});

/// Not for several threads at once, nor are its answers. Only a stop token may be used from another thread.
/// One that was moved from may only be destroyed or assigned to.
class chat {
  public:
    /// @throws token_error if the checkpoint has no tokenizer; what a session's constructor throws
    explicit chat(model const& m, conversation_options options = {});
    chat(chat const&) = delete; // a copy would share the conversation: ask the model for another chat
    chat& operator=(chat const&) = delete;
    chat(chat&&) noexcept = default;
    chat& operator=(chat&&) noexcept = default;
    ~chat() = default;

    /// Asks about pictures, which stand before the text, or goes on with the conversation.
    /// On an exception the conversation is as before.
    /// @throws image_error; argument_error for sampling out of range, an empty stop string, or pictures of another
    ///         model; token_error; context_error; memory_error; cancelled
    [[nodiscard]] answer ask(std::string_view text, ask_options options = {});
    [[nodiscard]] answer ask(image::pixels const& picture, std::string_view text, ask_options options = {});
    [[nodiscard]] answer ask(std::span<image::pixels const> pictures, std::string_view text, ask_options options = {});
    [[nodiscard]] answer ask(std::span<session::image_ptr const> pictures, std::string_view text,
                             ask_options options = {});
    /// A turn with pictures anywhere in it: one encoded picture for each of its image marks.
    [[nodiscard]] answer ask(tokens::message const& turn, std::span<session::image_ptr const> pictures,
                             ask_options options = {});

    /// A turn that shows so many pictures, and then says something.
    [[nodiscard]] static tokens::message turn_of(std::size_t pictures, std::string_view text);

    /// Encodes pictures as this conversation's parity needs them.
    /// @throws image_error, memory_error, cancelled
    [[nodiscard]] std::vector<session::image_ptr> encode(std::span<image::pixels const> pictures,
                                                         ask_options const& options = {}) const;

    /// Forgets everything said and shown, and ends an answer that is not complete.
    void reset();

    [[nodiscard]] session const& state() const& { return now_->state; }
    session const& state() const&& = delete; // the session would be gone at the end of the statement

  private:
    friend std::vector<answer> ask_together(std::span<question const> questions, read_options const& options);

    /// The conversation without this turn: with the last answer, or at the beginning with the system prompt.
    [[nodiscard]] std::vector<tokens::message> so_far() const;
    /// What the session has not read yet, up to the point where the assistant speaks: the end of the last answer and
    /// this turn; or, at the beginning, the system prompt and this turn.
    [[nodiscard]] std::vector<token> prompt(std::vector<tokens::message> said, tokens::message const& turn) const;

    std::shared_ptr<detail::conversation> now_;
};

} // namespace llamavision

#if !defined(LLAMAVISION_SEPARATE)
#include <llamavision/runtime/conversation/chat.ipp>
#endif
