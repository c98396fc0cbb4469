// SPDX-License-Identifier: Apache-2.0
// Conversations to ids: in Meta's format, as one of the three chat templates that published checkpoints carry, by any
// other template that is interpreted, or without a frame, for base models.
#pragma once

#include <llamavision/support/separate.hpp>
#include <llamavision/tokens/chat_template.hpp>
#include <llamavision/tokens/message.hpp>
#include <llamavision/tokens/template/calendar.hpp>
#include <llamavision/tokens/template/template.hpp>
#include <llamavision/tokens/tokenizer.hpp>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace llamavision::tokens {

struct chat_options {
    preset form = preset::meta;
    std::optional<chat_template> own{};           ///< a checkpoint's own template: it writes, in place of `form`
    std::optional<chat_template> own_for_tools{}; ///< another one, which writes in place of both if there are tools
    std::map<std::string, std::string> words{};   ///< own only: variables, "bos_token" and other special tokens by name
    /// The date that the hub's formats write, that strftime_now gives, and, if it is fixed here, that a template finds
    /// as date_string; nothing: today's.
    std::optional<calendar_time> date{};
    std::vector<std::string> tools{};  ///< hub and own only: definitions, JSON indented by 4 as json.dumps does
    bool tools_in_user_message = true; ///< hub only: definitions in the first user message, else in the system block
    /// Hugging Face recognises special tokens inside the content of messages; here that must be asked for.
    special_text content = special_text::as_text;
    text_cuts cuts = text_cuts::none; ///< of long texts
};

/// Writes conversations for one tokenizer. Immutable; safe to share among threads.
class chat_format {
  public:
    /// @throws argument_error for tools with a preset that has no place for them
    explicit chat_format(llamavision::tokens::tokenizer tokenizer, chat_options options = {});

    /// The ids of a whole conversation. If a reply is to follow, they end with the assistant's header, in formats that
    /// have headers. An image is tokenizer::image().
    ///
    /// Two oddities of the hub's templates are kept: a system prompt that is a list is printed as a Python list; and
    /// with tools in the user message, so is a first message with an image, which then shows no image.
    /// @throws token_error with the template's own message for what the template refuses, and with a place in it for
    ///         what is not interpreted
    std::vector<token> encode(std::span<message const> messages, bool add_generation_prompt = true) const;

    /// The same as text, special tokens by name.
    std::string render(std::span<message const> messages, bool add_generation_prompt = true) const;

    /// The token that ends an answer before the next turn; nothing for a base model, whose texts have no turns.
    std::optional<token> turn_end() const {
        return options_.form == preset::base ? std::nullopt : std::optional(tokenizer_.eot());
    }

    /// What follows the last answer: its end, one further turn, and the assistant's header. A session reads it on top
    /// of the conversation so far, whose last message is that answer.
    ///
    /// A template may write earlier turns in another way when the conversation goes on (without the thoughts before an
    /// answer, for example); the session keeps what it has read.
    /// @throws token_error as encode(), and if the template does not write that answer
    std::vector<token> encode_next(std::span<message const> so_far, message const& turn) const;

    /// Of the formats, not of an own template: one further turn and the assistant's header, for a session whose ids so
    /// far end with turn_end(): all of them together are what encode() makes of the conversation. If `first`, the
    /// conversation begins with this message. (One difference: the hub's templates write no dates if any turn shows an
    /// image; a session keeps the dates that it has read.)
    std::vector<token> encode_turn(message const& turn, bool first) const;

    /// A prompt for a base model: no frame. Meta begins with <|begin_of_text|>, as preset::base does; Hugging Face's
    /// processor (the other presets) puts images that stand first before it.
    std::vector<token> encode_base(std::span<part const> content) const;

    chat_options const& options() const { return options_; }

  private:
    struct piece {
        bool special;
        token id;
        std::string text;
    };

    // Special tokens, and texts that are encoded each by itself. Hugging Face encodes the whole text at once, so that
    // neighbouring texts merge: the header's "\n\n" with a newline at the beginning of the content, for example.
    struct script {
        bool joins;
        std::vector<piece> pieces;

        void add(token id);
        void add(std::string_view text);
    };

    /// The conversation as the own template writes it.
    rendering run(std::span<message const> messages, bool add_generation_prompt) const;
    /// The same from behind the last answer on.
    rendering run_next(std::span<message const> so_far, message const& turn) const;
    /// Cut at the special tokens that the template wrote, not at those in users' text.
    script cut(rendering const& made) const;
    std::string date() const;
    /// The template that writes; null if a format does.
    chat_template const* own() const;

    bool is_hub() const { return options_.form == preset::hub || options_.form == preset::hub_original; }
    bool joins_text() const { return options_.form != preset::meta && options_.form != preset::base; }

    std::vector<token> ids(script const& s) const;
    bool contains_bos(std::span<part const> content) const;

    script write(std::span<message const> messages, bool add_generation_prompt) const;
    void write_reply_header(script& s) const;
    void write_message(script& s, message const& m) const;
    void write_header(script& s, std::string_view name) const;
    void write_parts(script& s, std::span<part const> content) const;
    void write_base(script& s, message const& m) const;
    void write_meta(script& s, message const& m) const;
    static std::string meta_call(tool_call const& call);

    // The hub's template, from top to bottom.
    std::span<message const> write_hub_beginning(script& s, std::span<message const> messages) const;
    void write_hub_system(script& s, std::string_view system) const;
    void write_hub_tools(script& s) const;
    static std::string trimmed(message const& m);
    void write_hub(script& s, message const& m) const;
    static std::string hub_result(message const& m);

    tokenizer tokenizer_;
    chat_options options_;
};

} // namespace llamavision::tokens

#if !defined(LLAMAVISION_SEPARATE)
#include <llamavision/tokens/chat.ipp>
#include <llamavision/tokens/own_template.ipp>
#endif
