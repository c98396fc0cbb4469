// SPDX-License-Identifier: Apache-2.0
// A conversation as data: roles, and texts and images in their order.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace llamavision::tokens {

/// Who speaks. `tool` is a tool's result, which Llama's format calls `ipython`.
enum class role { system, user, assistant, tool };

/// Marks where an image is shown; the pictures themselves go to the vision tower in the same order.
struct image_mark {};
inline constexpr image_mark image_here{};

/// A segment of text or an image: `{image_here, "What animal is this?"}`.
using part = std::variant<std::string, image_mark>;

/// A call of a tool by the assistant.
struct tool_call {
    std::string name;
    std::string arguments = "{}";       ///< a JSON object in Python's spacing, `{"city": "Paris"}`; non-ASCII as it is
    std::optional<std::string> value{}; ///< of Meta's built-in tools instead: the `query`, or the `code`
};

/// One turn.
struct message {
    role speaker = role::user;
    std::vector<part> content{}; ///< UTF-8, encoded as it is: nothing is trimmed
    bool listed =
        false; ///< the content came as a list, though it is a single text; the hub's templates print it otherwise
    bool awaits_tool = false;                   ///< an assistant's message that ends with <|eom_id|>
    std::vector<tool_call> tool_calls{};        ///< of an assistant
    std::optional<std::vector<part>> context{}; ///< of a user: retrieved text, after the content and an empty line
    std::optional<std::string> json{};          ///< of a tool: a result that is an object, as JSON in Python's spacing

    /// Whether a template's `content is string` fails.
    bool is_list() const {
        return listed || content.size() > 1 || (content.size() == 1 && std::holds_alternative<image_mark>(content[0]));
    }

    /// How many images the content and the context show.
    std::size_t images() const {
        std::size_t count = 0;
        for (auto const& p : content) count += std::holds_alternative<image_mark>(p);
        if (context)
            for (auto const& p : *context) count += std::holds_alternative<image_mark>(p);
        return count;
    }
};

/// The name in a message's header.
constexpr std::string_view role_name(role speaker) {
    switch (speaker) {
    case role::system: return "system";
    case role::user: return "user";
    case role::assistant: return "assistant";
    case role::tool: break;
    }
    return "ipython";
}

} // namespace llamavision::tokens
