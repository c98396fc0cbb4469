// SPDX-License-Identifier: Apache-2.0
// Conversations as the JSON that chat templates are written for.
#pragma once

#include <llamavision/tokens/chat_json.hpp>
#include <llamavision/tokens/message.hpp>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace llamavision::tokens {

namespace detail {

inline nlohmann::ordered_json template_content(std::vector<part> const& parts, bool listed) {
    if (!listed) return parts.empty() ? std::string() : std::get<std::string>(parts[0]);
    auto list = nlohmann::ordered_json::array();
    for (auto const& p : parts) {
        if (auto const* const text = std::get_if<std::string>(&p))
            list.push_back({{"type", "text"}, {"text", *text}});
        else
            list.push_back({{"type", "image"}});
    }
    return list;
}

} // namespace detail

/// The messages as transformers' documentation writes them: a content is a string, or a list if it came as one or shows
/// an image; a tool's result has the role "tool"; an assistant's message that only calls tools has no content; a call
/// is
/// {"type": "function", "function": {"name", "arguments"}}. Throws token_error for arguments that are not JSON.
[[nodiscard]] inline nlohmann::ordered_json template_messages(std::span<message const> messages) {
    auto list = nlohmann::ordered_json::array();
    for (auto const& m : messages) {
        nlohmann::ordered_json made;
        made["role"] = m.speaker == role::tool ? std::string("tool") : std::string(role_name(m.speaker));
        if (m.json)
            made["content"] = parse_ordered_json(*m.json);
        else if (!m.content.empty() || m.tool_calls.empty())
            made["content"] = detail::template_content(m.content, m.is_list());
        for (auto const& call : m.tool_calls)
            made["tool_calls"].push_back(
                {{"type", "function"},
                 {"function", {{"name", call.name}, {"arguments", parse_ordered_json(call.arguments)}}}});
        list.push_back(std::move(made));
    }
    return list;
}

} // namespace llamavision::tokens
