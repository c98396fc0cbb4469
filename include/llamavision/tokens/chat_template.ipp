// SPDX-License-Identifier: Apache-2.0
// A template in one spelling, whose hash tells whether it is known.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <llamavision/support/sha256.hpp>
#include <llamavision/tokens/chat_template.hpp>
#include <span>
#include <utility>

namespace llamavision::tokens {

namespace detail {

constexpr bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
constexpr bool is_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/// One piece of a template: text, or a tag without its brackets and dashes.
struct template_piece {
    char kind = 0; ///< 0: text; '%': a statement; '{': an expression; '#': a comment
    std::string_view text;
    bool trims_before = false, trims_after = false; ///< {%- and -%}
};

/// The piece at the beginning of `rest`, which is not empty.
/// @param size how long it is in `rest`
inline template_piece next_piece(std::string_view rest, std::size_t& size) {
    std::size_t begin = 0; // of the first tag
    while (begin + 1 < rest.size() && !(rest[begin] == '{' && std::string_view("%{#").find(rest[begin + 1]) < 3))
        ++begin;
    if (begin + 1 >= rest.size()) begin = rest.size();
    size = begin;
    if (begin > 0) return {0, rest.substr(0, begin), false, false};
    char const kind = rest[1], close[] = {kind == '{' ? '}' : kind, '}', '\0'};
    std::size_t end = 2;
    for (char quote = '\0'; end < rest.size() && (quote != '\0' || !rest.substr(end).starts_with(close)); ++end) {
        char const c = rest[end];
        if (quote != '\0' && c == '\\')
            ++end;
        else if (quote == c)
            quote = '\0';
        else if (quote == '\0' && kind != '#' && (c == '"' || c == '\''))
            quote = c;
    }
    end = std::min(end, rest.size());
    size = std::min(end + 2, rest.size());
    std::string_view text = rest.substr(2, end - 2);
    bool const before = text.starts_with('-'), after = text.size() > 1 && text.ends_with('-');
    if (before) text.remove_prefix(1);
    if (after) text.remove_suffix(1);
    return {kind, text, before, after};
}

/// The text between two tags as Jinja prints it for chat templates (trim_blocks and lstrip_blocks, as transformers sets
/// them): no newline after a statement, no spaces that a line has before one, nothing beside a dash.
inline std::string_view printed_text(std::string_view text, template_piece const* before, template_piece const* after) {
    auto const is_block = [](template_piece const* tag) { return tag && tag->kind != '{'; };
    bool begins_line = before == nullptr;
    if (is_block(before) && text.starts_with('\n')) {
        text.remove_prefix(1);
        begins_line = true;
    }
    if (is_block(after)) {
        auto const last = text.find_last_not_of(" \t");
        if (last == std::string_view::npos ? begins_line : text[last] == '\n') text = text.substr(0, last + 1);
    }
    if (before && before->trims_after)
        while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
    if (after && after->trims_before)
        while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
    return text;
}

/// A tag's code in one spelling: strings in double quotes without escapes, and a space only where two words meet.
inline void append_code(std::string& out, std::string_view code) {
    bool gap = false;
    for (std::size_t at = 0; at < code.size(); ++at) {
        char const c = code[at];
        if (c == '"' || c == '\'') {
            out += '"';
            for (++at; at < code.size() && code[at] != c; ++at) {
                bool const escape = code[at] == '\\' && at + 1 < code.size();
                if (escape) ++at;
                out += escape && code[at] == 'n' ? '\n' : code[at];
            }
            out += '"';
            gap = false;
        } else if (is_blank(c)) {
            gap = true;
        } else {
            if (gap && is_word(c) && is_word(out.back())) out += ' ';
            out += c;
            gap = false;
        }
    }
}

LLAMAVISION_INLINE std::string plain_template(std::string_view text) {
    std::string out;
    template_piece before, piece;
    bool first = true; // nothing stands before the text
    for (std::size_t size = 0; !text.empty(); text.remove_prefix(size), first = false, before = piece) {
        piece = next_piece(text, size);
        if (piece.kind == 0) {
            std::string_view const rest = text.substr(size);
            std::size_t unused = 0;
            template_piece const after = rest.empty() ? template_piece() : next_piece(rest, unused);
            out += printed_text(piece.text, first ? nullptr : &before, rest.empty() ? nullptr : &after);
        } else if (piece.kind != '#') {
            out += '{';
            out += piece.kind;
            append_code(out, piece.text);
            out += piece.kind == '{' ? "}}" : "%}";
        }
    }
    return out;
}

} // namespace detail

LLAMAVISION_INLINE std::optional<preset> recognise(std::string_view source) {
    constexpr std::array<std::pair<std::string_view, preset>, 4> known{{
        {"9d435676916033177f36070519eb12a46dc3484ba444d1ab3f18a6d3b9fa530b", preset::hub},
        {"4e31bd56f1bbfbdc30ece4499aa0a3d29944986a5efefb5e238222e6aefa6aff", preset::hub_original},
        {"56c44f214234a3e7aa35da4adf5ca511b5b6b39318138719db5ebbeef7296efc", preset::converter},
        {"7be56b89328a802caf4770281fdd2c2098e7a1fbab51cdf0859e6b33c71e5782", preset::converter}, // the bundled model's
    }};
    std::string const text = detail::plain_template(source);
    sha256 digest;
    digest.update(std::as_bytes(std::span(text)));
    std::string const hash = digest.hex();
    for (auto const& [of_known, form] : known)
        if (hash == of_known) return form;
    return std::nullopt;
}

LLAMAVISION_INLINE std::optional<preset> resembles(std::string_view source) {
    auto const has = [&](std::string_view text) { return source.find(text) != std::string_view::npos; };
    if (!has("<|start_header_id|>") || !has("<|eot_id|>") || !has("<|image|>")) return std::nullopt;
    if (has("Cutting Knowledge Date"))
        return has("Prompting with images is incompatible with system messages") ? preset::hub_original : preset::hub;
    if (has("loop.index0 == 0") && !has("tool")) return preset::converter;
    return std::nullopt;
}

} // namespace llamavision::tokens
