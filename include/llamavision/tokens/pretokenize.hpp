// SPDX-License-Identifier: Apache-2.0
// Llama 3 splits text into pieces with a regular expression before it merges bytes. This is that expression, written by
// hand: it goes back by one character at most, so the time is linear in the text.
#pragma once

#include <cstddef>
#include <llamavision/tokens/unicode.hpp>
#include <string_view>

namespace llamavision::tokens {

/// The expression that `piece_end` implements (Meta: tokenizer.py `pat_str`; the same in tokenizer.json).
inline constexpr std::string_view llama3_pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

namespace detail {

struct character {
    char32_t code = 0;
    char_class kind = char_class::other;
    std::size_t end = 0;  // byte after it
    bool present = false; // false: the text is over

    constexpr bool is(char_class wanted) const { return present && kind == wanted; }
    constexpr bool is_break() const { return present && (code == U'\r' || code == U'\n'); }
};

constexpr character character_at(std::string_view text, std::size_t at) {
    if (at >= text.size()) return {0, char_class::other, at, false};
    auto const step = next_character(text, at);
    return {step.code, classify(step.code), at + step.length, true};
}

constexpr std::size_t run_end(std::string_view text, std::size_t at, char_class kind) {
    for (auto c = character_at(text, at); c.is(kind); c = character_at(text, at)) at = c.end;
    return at;
}

// (?i:'s|'t|'re|'ve|'m|'ll|'d) after the apostrophe: its length, or 0. U+017F is the one character outside ASCII that
// folds to one of these letters.
constexpr std::size_t contraction(std::string_view text) {
    auto const lower = [&](std::size_t i) {
        auto const c = i < text.size() ? text[i] : '\0';
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
    };
    switch (lower(0)) {
    case 's':
    case 't':
    case 'm':
    case 'd': return 1;
    case 'r':
    case 'v': return lower(1) == 'e' ? 2 : 0;
    case 'l': return lower(1) == 'l' ? 2 : 0;
    default: return text.substr(0, 2) == "\xC5\xBF" ? 2 : 0;
    }
}

// \s*[\r\n]+|\s+(?!\S)|\s+ on the white space that begins at `at`. The first branch takes everything up to the last
// line break of the white space. If there is none, all but the last character is taken; all of it, if it is one
// character or the text ends after it.
constexpr std::size_t white_space_end(std::string_view text, std::size_t at) {
    std::size_t end = at, last = at, after_break = at;
    for (auto c = character_at(text, at); c.is(char_class::space); c = character_at(text, end)) {
        last = end;
        end = c.end;
        if (c.is_break()) after_break = end;
    }
    if (after_break > at) return after_break;
    return end == text.size() || last == at ? end : last;
}

} // namespace detail

/// The byte after the piece of valid UTF-8 `text` that begins at byte `at` < text.size(). The branches stand in the
/// expression's order.
constexpr std::size_t piece_end(std::string_view text, std::size_t at) {
    using enum char_class;
    auto const first = detail::character_at(text, at);
    if (first.code == U'\'') {
        if (auto const length = detail::contraction(text.substr(first.end)); length > 0) return first.end + length;
    }
    auto const second = detail::character_at(text, first.end);
    // [^\r\n\p{L}\p{N}]?\p{L}+
    auto const leads_letters = first.kind != number && !first.is_break() && second.is(letter);
    if (first.kind == letter || leads_letters) return detail::run_end(text, first.end, letter);
    // \p{N}{1,3}
    if (first.kind == number) {
        auto end = first.end;
        if (second.is(number)) {
            end = second.end;
            if (auto const third = detail::character_at(text, end); third.is(number)) end = third.end;
        }
        return end;
    }
    //  ?[^\s\p{L}\p{N}]+[\r\n]*
    if (first.kind == other || (first.code == U' ' && second.is(other))) {
        auto end = detail::run_end(text, first.end, other);
        while (end < text.size() && (text[end] == '\r' || text[end] == '\n')) ++end;
        return end;
    }
    return detail::white_space_end(text, at);
}

/// Calls `visit(piece)` for each piece of valid UTF-8 `text` in order; the pieces' concatenation is the text.
template <class Visitor>
constexpr void for_each_piece(std::string_view text, Visitor&& visit) {
    for (std::size_t at = 0; at < text.size();) {
        auto const end = piece_end(text, at);
        visit(text.substr(at, end - at));
        at = end;
    }
}

} // namespace llamavision::tokens
