// SPDX-License-Identifier: Apache-2.0
// Where Meta's tokenizer cuts a long text before it encodes the parts one by one (llama-models: tokenizer.py, encode
// and _split_whitespaces_or_nonwhitespaces). Ids at the cuts differ from those of the whole text.
#pragma once

#include <cstddef>
#include <llamavision/tokens/python_text.hpp>
#include <llamavision/tokens/unicode.hpp>
#include <string_view>

namespace llamavision::tokens {

inline constexpr std::size_t meta_most_characters = 400'000; ///< in a part
inline constexpr std::size_t meta_longest_run = 25'000;      ///< of characters that are all white space, or all not

/// Calls `visit` with each part of valid UTF-8 `text`, in order.
template <class Visitor>
void cut_as_meta(std::string_view text, Visitor&& visit) {
    std::size_t begin = 0, characters = 0, run = 0; // of the part; characters since the last of the cuts by number
    bool spaces = false;
    for (std::size_t at = 0; at < text.size();) {
        auto const step = next_character(text, at);
        bool const space = python::is_space(step.code), starts = characters == meta_most_characters;
        if (starts) characters = 0;
        if (characters++ == 0 || space != spaces) {
            run = 1;
            spaces = space;
        } else if (++run > meta_longest_run) {
            visit(text.substr(begin, at - begin));
            begin = at;
            run = 1;
        }
        if (starts) {
            visit(text.substr(begin, at - begin));
            begin = at;
        }
        at += step.length;
    }
    if (begin < text.size()) visit(text.substr(begin));
}

} // namespace llamavision::tokens
