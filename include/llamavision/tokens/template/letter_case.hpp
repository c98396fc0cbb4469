// SPDX-License-Identifier: Apache-2.0
// str.upper, lower, title and their kin, character by character, so that the marks of what a user wrote are kept.
#pragma once

#include <llamavision/support/separate.hpp>
#include <llamavision/tokens/template/marked_text.hpp>
#include <string_view>

namespace llamavision::tokens::jinja {

enum class letter_case {
    upper,
    lower,
    title,      ///< the first letter of every word
    capitalize, ///< the first character, the rest is lower
    swap
};

/// `text` as Python's method of that name gives it.
[[nodiscard]] marked_text in_case(marked_text const& text, letter_case wanted);

/// The filter title: a word begins behind white space and behind one of - ( { [ <. Source: jinja2 3.1.6, do_title.
[[nodiscard]] marked_text in_title_filter_case(marked_text const& text);

/// str.islower() and str.isupper().
[[nodiscard]] bool is_lower(std::string_view text);
[[nodiscard]] bool is_upper(std::string_view text);

} // namespace llamavision::tokens::jinja
