// SPDX-License-Identifier: Apache-2.0
// Conversations to ids: in Meta's format, as one of the three chat templates that published checkpoints carry, by any
// other template that is interpreted, or without a frame, for base models.
#pragma once

#include <algorithm>
#include <cstddef>
#include <llamavision/support/error.hpp>
#include <llamavision/support/separate.hpp>
#include <llamavision/tokens/chat_template.hpp>
#include <llamavision/tokens/message.hpp>
#include <llamavision/tokens/python_text.hpp>
#include <llamavision/tokens/template/calendar.hpp>
#include <llamavision/tokens/template/template.hpp>
#include <llamavision/tokens/tokenizer.hpp>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace llamavision::tokens {

struct chat_options {
    preset form = preset::meta;
    std::optional<chat_template> own{};         ///< a checkpoint's own template: it writes, in place of `form`
    std::map<std::string, std::string> words{}; ///< own only: variables, "bos_token" and other special tokens by name
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
    explicit chat_format(llamavision::tokens::tokenizer tokenizer, chat_options options = {})
        : tokenizer_(std::move(tokenizer)), options_(std::move(options)) {
        if (!options_.tools.empty() && !is_hub() && !options_.own)
            throw argument_error("tool definitions need one of the hub's chat formats");
    }

    /// The ids of a whole conversation. If a reply is to follow, they end with the assistant's header, in formats that
    /// have headers. An image is tokenizer::image().
    ///
    /// Two oddities of the hub's templates are kept: a system prompt that is a list is printed as a Python list; and
    /// with tools in the user message, so is a first message with an image, which then shows no image.
    /// @throws token_error with the template's own message for what the template refuses, and with a place in it for
    ///         what is not interpreted
    std::vector<token> encode(std::span<message const> messages, bool add_generation_prompt = true) const {
        if (options_.own) return ids(cut(run(messages, add_generation_prompt)));
        return ids(write(messages, add_generation_prompt));
    }

    /// The same as text, special tokens by name.
    std::string render(std::span<message const> messages, bool add_generation_prompt = true) const {
        if (options_.own) return run(messages, add_generation_prompt).text;
        std::string text;
        for (auto const& p : write(messages, add_generation_prompt).pieces)
            text += p.special ? tokenizer_.bytes(p.id) : p.text;
        return text;
    }

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
    std::vector<token> encode_next(std::span<message const> so_far, message const& turn) const {
        if (options_.own) return ids(cut(run_next(so_far, turn)));
        std::vector<token> next;
        if (auto const end = turn_end()) next.push_back(*end);
        auto const rest = encode_turn(turn, false);
        next.insert(next.end(), rest.begin(), rest.end());
        return next;
    }

    /// Of the formats, not of an own template: one further turn and the assistant's header, for a session whose ids so
    /// far end with turn_end(): all of them
    /// together are what encode() makes of the conversation. If `first`, the conversation begins with this message.
    /// (One difference: the hub's templates write no dates if any turn shows an image; a session keeps the dates that
    /// it has read.)
    std::vector<token> encode_turn(message const& turn, bool first) const {
        if (first) return encode({&turn, 1});
        script s{joins_text(), {}};
        write_message(s, turn);
        write_reply_header(s);
        return ids(s);
    }

    /// A prompt for a base model: no frame. Meta begins with <|begin_of_text|>, as preset::base does; Hugging Face's
    /// processor (the other presets) puts images that stand first before it.
    std::vector<token> encode_base(std::span<part const> content) const {
        script s{joins_text(), {}};
        std::size_t leading = 0;
        if (joins_text())
            while (leading < content.size() && std::holds_alternative<image_mark>(content[leading])) ++leading;
        write_parts(s, content.first(leading));
        if (!content.empty() && !contains_bos(content)) s.add(tokenizer_.bos());
        write_parts(s, content.subspan(leading));
        return ids(s);
    }

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

        void add(token id) { pieces.push_back({true, id, {}}); }
        void add(std::string_view text) {
            if (joins && !pieces.empty() && !pieces.back().special)
                pieces.back().text += text;
            else
                pieces.push_back({false, 0, std::string(text)});
        }
    };

    /// The conversation as the own template writes it.
    rendering run(std::span<message const> messages, bool add_generation_prompt) const;
    /// The same from behind the last answer on.
    rendering run_next(std::span<message const> so_far, message const& turn) const;
    /// Cut at the special tokens that the template wrote, not at those in users' text.
    script cut(rendering const& made) const;
    std::string date() const;

    bool is_hub() const { return options_.form == preset::hub || options_.form == preset::hub_original; }
    bool joins_text() const { return options_.form != preset::meta && options_.form != preset::base; }

    std::vector<token> ids(script const& s) const {
        std::vector<token> out;
        for (auto const& p : s.pieces) {
            auto const some =
                p.special ? std::vector<token>{p.id} : tokenizer_.encode(p.text, options_.content, options_.cuts);
            out.insert(out.end(), some.begin(), some.end());
        }
        // Meta: _model_input_from_tokens_images
        std::replace(out.begin(), out.end(), tokenizer_.special("<|image|>").value_or(tokenizer_.image()),
                     tokenizer_.image());
        return out;
    }

    // Hugging Face: build_string_from_input changes no text that has a <|begin_of_text|> in it.
    bool contains_bos(std::span<part const> content) const {
        if (!joins_text() || options_.content == special_text::as_text) return false;
        for (auto const& p : content)
            if (auto const* text = std::get_if<std::string>(&p))
                if (text->find("<|begin_of_text|>") != std::string::npos) return true;
        return false;
    }

    script write(std::span<message const> messages, bool add_generation_prompt) const {
        script s{joins_text(), {}};
        if (options_.form != preset::converter || !messages.empty()) s.add(tokenizer_.bos());
        if (is_hub()) messages = write_hub_beginning(s, messages);
        for (auto const& m : messages) write_message(s, m);
        if (add_generation_prompt) write_reply_header(s);
        return s;
    }

    void write_reply_header(script& s) const {
        if (options_.form != preset::base) write_header(s, role_name(role::assistant));
    }

    void write_message(script& s, message const& m) const {
        switch (options_.form) {
        case preset::meta: return write_meta(s, m);
        case preset::hub:
        case preset::hub_original: return write_hub(s, m);
        case preset::base: return write_base(s, m);
        case preset::converter: break;
        }
        write_header(s,
                     m.speaker == role::tool ? "tool" : role_name(m.speaker)); // the template writes roles as they are
        write_parts(s, m.content);
        s.add(tokenizer_.eot());
    }

    void write_header(script& s, std::string_view name) const {
        s.add(tokenizer_.start_header());
        s.add(name);
        s.add(tokenizer_.end_header());
        s.add("\n\n");
    }

    void write_parts(script& s, std::span<part const> content) const {
        for (auto const& p : content) {
            if (auto const* text = std::get_if<std::string>(&p))
                s.add(std::string_view(*text));
            else
                s.add(tokenizer_.image());
        }
    }

    void write_base(script& s, message const& m) const {
        if (m.speaker == role::system) throw token_error("a base model has no place for a system prompt");
        write_parts(s, m.content);
    }

    // Meta: ChatFormat.encode_message
    void write_meta(script& s, message const& m) const {
        write_header(s, role_name(m.speaker));
        bool const calls = m.speaker == role::assistant && !m.tool_calls.empty();
        if (calls && m.tool_calls[0].name == "code_interpreter") s.add(tokenizer_.python_tag());
        if (m.json) throw token_error("a tool's result that is an object has no form in Meta's chat format");
        write_parts(s, m.content);
        if (m.speaker == role::user && m.context) {
            s.add("\n\n");
            write_parts(s, *m.context);
        }
        if (calls)
            for (auto const& call : m.tool_calls) s.add(meta_call(call));
        s.add(m.speaker == role::assistant && m.awaits_tool ? tokenizer_.eom() : tokenizer_.eot());
    }

    // Meta: ToolUtils.encode_tool_call, JSON format
    static std::string meta_call(tool_call const& call) {
        bool const code = call.name == "code_interpreter";
        if (code || call.name == "brave_search" || call.name == "wolfram_alpha" || call.name == "photogen") {
            if (!call.value)
                throw token_error("call of " + call.name + ": no argument \"" + (code ? "code" : "query") + "\"");
            return code ? *call.value : call.name + ".call(query=\"" + *call.value + "\")";
        }
        return python::ascii_json(R"({"type": "function", "name": )" + python::json_string(call.name)
                                  + R"(, "parameters": )" + call.arguments + "}");
    }

    // The rest of this class is the hub's template, from top to bottom.

    std::span<message const> write_hub_beginning(script& s, std::span<message const> messages) const {
        std::string system;
        bool const given = !messages.empty() && messages[0].speaker == role::system;
        if (given) {
            system = trimmed(messages[0]);
            messages = messages.subspan(1);
        }
        bool images = false;
        for (auto const& m : messages)
            for (auto const& p : m.content) images = images || std::holds_alternative<image_mark>(p);
        if (options_.form == preset::hub_original && images && !system.empty())
            throw token_error("Prompting with images is incompatible with system messages.");
        if (!images || (options_.form == preset::hub && given)) write_hub_system(s, system);
        if (options_.tools.empty() || !options_.tools_in_user_message) return messages;
        if (messages.empty())
            throw token_error("Cannot put tools in the first user message when there's no first user message!");
        write_header(s, role_name(role::user));
        s.add("Given the following functions, please respond with a JSON for a function call with its proper arguments "
              "that best answers the given prompt.\n\n");
        write_hub_tools(s);
        s.add(trimmed(messages[0]));
        s.add(tokenizer_.eot());
        return messages.subspan(1);
    }

    void write_hub_system(script& s, std::string_view system) const {
        write_header(s, role_name(role::system));
        if (!options_.tools.empty()) s.add("Environment: ipython\n");
        s.add("Cutting Knowledge Date: December 2023\nToday Date: " + date() + "\n\n");
        if (!options_.tools.empty() && !options_.tools_in_user_message) {
            s.add("You have access to the following functions. To call a function, please respond with JSON for a "
                  "function call.");
            write_hub_tools(s);
        }
        s.add(system);
        s.add(tokenizer_.eot());
    }

    void write_hub_tools(script& s) const {
        s.add("Respond in the format {\"name\": function name, \"parameters\": dictionary of argument name and its "
              "value}.Do not use variables.\n\n");
        for (auto const& tool : options_.tools) s.add(tool + "\n\n");
    }

    // message['content'] | trim
    static std::string trimmed(message const& m) {
        if (m.json) throw token_error("the first message cannot be an object");
        if (m.is_list()) return python::str(m.content);
        return m.content.empty() ? std::string() : std::string(python::strip(std::get<std::string>(m.content[0])));
    }

    void write_hub(script& s, message const& m) const {
        if (!m.tool_calls.empty()) {
            if (m.tool_calls.size() > 1) throw token_error("This model only supports single tool-calls at once!");
            write_header(s, role_name(role::assistant));
            s.add("{\"name\": \"" + m.tool_calls[0].name + "\", \"parameters\": " + m.tool_calls[0].arguments + "}");
        } else {
            write_header(s, role_name(m.speaker));
            if (m.speaker == role::tool)
                s.add(hub_result(m)); // ... | tojson: even of a string
            else
                write_parts(s, m.content);
        }
        s.add(tokenizer_.eot());
    }

    static std::string hub_result(message const& m) {
        if (m.json) return *m.json;
        if (m.is_list()) return python::json_list(m.content);
        return python::json_string(m.content.empty() ? std::string() : std::get<std::string>(m.content[0]));
    }

    tokenizer tokenizer_;
    chat_options options_;
};

} // namespace llamavision::tokens

#if !defined(LLAMAVISION_SEPARATE)
#include <llamavision/tokens/chat.ipp>
#endif
