// SPDX-License-Identifier: Apache-2.0
// Conversations in the formats that are known, each as a list of special tokens and texts.
#pragma once

#include <algorithm>
#include <cstddef>
#include <llamavision/support/error.hpp>
#include <llamavision/tokens/added_tokens.hpp>
#include <llamavision/tokens/chat.hpp>
#include <llamavision/tokens/python_text.hpp>
#include <utility>
#include <variant>

namespace llamavision::tokens {

LLAMAVISION_INLINE void chat_format::script::add(token id) { pieces.push_back({true, id, {}}); }

LLAMAVISION_INLINE void chat_format::script::add(std::string_view text) {
    if (joins && !pieces.empty() && !pieces.back().special)
        pieces.back().text += text;
    else
        pieces.push_back({false, 0, std::string(text)});
}

LLAMAVISION_INLINE chat_format::chat_format(llamavision::tokens::tokenizer tokenizer, chat_options options)
    : tokenizer_(std::move(tokenizer)), options_(std::move(options)) {
    if (!options_.tools.empty() && !is_hub() && !own())
        throw argument_error("tool definitions need one of the hub's chat formats");
}

LLAMAVISION_INLINE std::vector<token> chat_format::encode(std::span<message const> messages,
                                                          bool add_generation_prompt) const {
    if (own()) return ids(cut(run(messages, add_generation_prompt)));
    return ids(write(messages, add_generation_prompt));
}

LLAMAVISION_INLINE std::string chat_format::render(std::span<message const> messages,
                                                   bool add_generation_prompt) const {
    if (own()) return run(messages, add_generation_prompt).text;
    std::string text;
    for (auto const& p : write(messages, add_generation_prompt).pieces)
        text += p.special ? tokenizer_.bytes(p.id) : p.text;
    return text;
}

LLAMAVISION_INLINE std::vector<token> chat_format::encode_next(std::span<message const> so_far,
                                                               message const& turn) const {
    if (own()) return ids(cut(run_next(so_far, turn)));
    std::vector<token> next;
    if (auto const end = turn_end()) next.push_back(*end);
    auto const rest = encode_turn(turn, false);
    next.insert(next.end(), rest.begin(), rest.end());
    return next;
}

LLAMAVISION_INLINE std::vector<token> chat_format::encode_turn(message const& turn, bool first) const {
    if (first) return encode({&turn, 1});
    script s{joins_text(), {}};
    write_message(s, turn);
    write_reply_header(s);
    return ids(s);
}

LLAMAVISION_INLINE std::vector<token> chat_format::encode_base(std::span<part const> content) const {
    script s{joins_text(), {}};
    std::size_t leading = 0;
    if (joins_text())
        while (leading < content.size() && std::holds_alternative<image_mark>(content[leading])) ++leading;
    write_parts(s, content.first(leading));
    if (!content.empty() && !contains_bos(content)) s.add(tokenizer_.bos());
    write_parts(s, content.subspan(leading));
    return ids(s);
}

LLAMAVISION_INLINE std::vector<token> chat_format::ids(script const& s) const {
    std::vector<token> out;
    for (std::size_t i = 0; i < s.pieces.size(); ++i) {
        piece const& p = s.pieces[i];
        if (p.special) {
            out.push_back(p.id);
            continue;
        }
        std::string_view text = p.text;
        // Hugging Face: a token with lstrip or rstrip takes the white space beside it.
        bool const before = i > 0 && s.joins && tokenizer_.takes_space_after(s.pieces[i - 1].id);
        bool const after = i + 1 < s.pieces.size() && s.joins && tokenizer_.takes_space_before(s.pieces[i + 1].id);
        if (before) text.remove_prefix(detail::space_after(text));
        if (after) text = text.substr(0, detail::space_before(text));
        auto const some = tokenizer_.encode(text, options_.content, options_.cuts);
        out.insert(out.end(), some.begin(), some.end());
    }
    // Meta: _model_input_from_tokens_images
    std::replace(out.begin(), out.end(), tokenizer_.special("<|image|>").value_or(tokenizer_.image()),
                 tokenizer_.image());
    return out;
}

// Hugging Face: build_string_from_input changes no text that has a <|begin_of_text|> in it.
LLAMAVISION_INLINE bool chat_format::contains_bos(std::span<part const> content) const {
    if (!joins_text() || options_.content == special_text::as_text) return false;
    for (auto const& p : content)
        if (auto const* text = std::get_if<std::string>(&p))
            if (text->find("<|begin_of_text|>") != std::string::npos) return true;
    return false;
}

LLAMAVISION_INLINE chat_format::script chat_format::write(std::span<message const> messages,
                                                          bool add_generation_prompt) const {
    script s{joins_text(), {}};
    if (options_.form != preset::converter || !messages.empty()) s.add(tokenizer_.bos());
    if (is_hub()) messages = write_hub_beginning(s, messages);
    for (auto const& m : messages) write_message(s, m);
    if (add_generation_prompt) write_reply_header(s);
    return s;
}

LLAMAVISION_INLINE void chat_format::write_reply_header(script& s) const {
    if (options_.form != preset::base) write_header(s, role_name(role::assistant));
}

LLAMAVISION_INLINE void chat_format::write_message(script& s, message const& m) const {
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

LLAMAVISION_INLINE void chat_format::write_header(script& s, std::string_view name) const {
    s.add(tokenizer_.start_header());
    s.add(name);
    s.add(tokenizer_.end_header());
    s.add("\n\n");
}

LLAMAVISION_INLINE void chat_format::write_parts(script& s, std::span<part const> content) const {
    for (auto const& p : content) {
        if (auto const* text = std::get_if<std::string>(&p))
            s.add(std::string_view(*text));
        else
            s.add(tokenizer_.image());
    }
}

LLAMAVISION_INLINE void chat_format::write_base(script& s, message const& m) const {
    if (m.speaker == role::system) throw token_error("a base model has no place for a system prompt");
    write_parts(s, m.content);
}

// Meta: ChatFormat.encode_message
LLAMAVISION_INLINE void chat_format::write_meta(script& s, message const& m) const {
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
LLAMAVISION_INLINE std::string chat_format::meta_call(tool_call const& call) {
    bool const code = call.name == "code_interpreter";
    if (code || call.name == "brave_search" || call.name == "wolfram_alpha" || call.name == "photogen") {
        if (!call.value)
            throw token_error("call of " + call.name + ": no argument \"" + (code ? "code" : "query") + "\"");
        return code ? *call.value : call.name + ".call(query=\"" + *call.value + "\")";
    }
    return python::ascii_json(R"({"type": "function", "name": )" + python::json_string(call.name)
                              + R"(, "parameters": )" + call.arguments + "}");
}

LLAMAVISION_INLINE std::span<message const> chat_format::write_hub_beginning(script& s,
                                                                             std::span<message const> messages) const {
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

LLAMAVISION_INLINE void chat_format::write_hub_system(script& s, std::string_view system) const {
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

LLAMAVISION_INLINE void chat_format::write_hub_tools(script& s) const {
    s.add("Respond in the format {\"name\": function name, \"parameters\": dictionary of argument name and its "
          "value}.Do not use variables.\n\n");
    for (auto const& tool : options_.tools) s.add(tool + "\n\n");
}

// message['content'] | trim
LLAMAVISION_INLINE std::string chat_format::trimmed(message const& m) {
    if (m.json) throw token_error("the first message cannot be an object");
    if (m.is_list()) return python::str(m.content);
    return m.content.empty() ? std::string() : std::string(python::strip(std::get<std::string>(m.content[0])));
}

LLAMAVISION_INLINE void chat_format::write_hub(script& s, message const& m) const {
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

LLAMAVISION_INLINE std::string chat_format::hub_result(message const& m) {
    if (m.json) return *m.json;
    if (m.is_list()) return python::json_list(m.content);
    return python::json_string(m.content.empty() ? std::string() : std::get<std::string>(m.content[0]));
}

} // namespace llamavision::tokens
