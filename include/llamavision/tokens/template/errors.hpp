// SPDX-License-Identifier: Apache-2.0
// What can be wrong with a chat template: its text, what it does with this conversation, or what it refuses itself.
#pragma once

#include <cstdint>
#include <llamavision/support/error.hpp>
#include <string>

namespace llamavision::tokens {

/// A place in a template's text; both count from 1, columns in characters.
struct template_position {
    std::uint32_t line = 1;
    std::uint32_t column = 1;
};

/// "chat_template.jinja:3:14".
[[nodiscard]] inline std::string at_position(std::string const& name, template_position where) {
    return name + ":" + std::to_string(where.line) + ":" + std::to_string(where.column);
}

/// The template's text is not Jinja, or holds a construct that is not interpreted here. The message begins with the
/// place and names the construct.
struct template_error : format_error {
    template_error(std::string const& name, template_position at, std::string const& what)
        : format_error(at_position(name, at) + ": " + what), where(at) {}
    template_position where;
};

/// The template cannot be rendered with this conversation: what it asks of a value is an error in Jinja too, or is not
/// interpreted here, or exceeds the limits. The message begins with the place.
struct rendering_error : token_error {
    rendering_error(std::string const& name, template_position at, std::string const& what)
        : token_error(at_position(name, at) + ": " + what), where(at) {}
    template_position where;
};

/// The template called raise_exception; the message is what the template says.
struct template_refusal : token_error {
    using token_error::token_error;
};

} // namespace llamavision::tokens
