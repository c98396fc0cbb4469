// SPDX-License-Identifier: Apache-2.0
// Letter case by table. Source of the rules: CPython 3.11, unicodeobject.c (do_upper, do_lower, do_title, ...).
#pragma once

#include <algorithm>
#include <llamavision/tokens/template/letter_case.hpp>
#include <llamavision/tokens/template/letter_case_tables.hpp>
#include <llamavision/tokens/template/text_tools.hpp>

namespace llamavision::tokens::jinja {

namespace detail {

template <std::size_t N>
case_run const* run_of(std::array<case_run, N> const& runs, char32_t code) {
    auto const after =
        std::upper_bound(runs.begin(), runs.end(), code, [](char32_t c, case_run const& run) { return c < run.first; });
    if (after == runs.begin()) return nullptr;
    auto const& run = after[-1];
    return code <= run.last && (code - run.first) % run.step == 0 ? &run : nullptr;
}

template <std::size_t N>
case_several const* several_of(std::array<case_several, N> const& list, char32_t code) {
    auto const found = std::lower_bound(list.begin(), list.end(), code,
                                        [](case_several const& entry, char32_t c) { return entry.from < c; });
    return found != list.end() && found->from == code ? &*found : nullptr;
}

inline bool is_cased(char32_t code) {
    return run_of(small_letters, code) || run_of(capital_letters, code) || run_of(title_letters, code);
}

template <std::size_t N>
std::string mapped(std::array<case_run, N> const& runs, char32_t code) {
    std::string out;
    auto const* const run = run_of(runs, code);
    append_utf8(out, run ? static_cast<char32_t>(static_cast<std::int64_t>(code) + run->delta) : code);
    return out;
}

inline std::string all_of(case_several const& entry) {
    std::string out;
    for (auto const code : entry.to)
        if (code != 0) append_utf8(out, code);
    return out;
}

inline std::string upper_of(char32_t code) {
    auto const* const several = several_of(upper_several, code);
    return several ? all_of(*several) : mapped(upper_runs, code);
}

inline std::string title_of(char32_t code) {
    auto const* const several = several_of(title_several, code);
    return several ? all_of(*several) : upper_of(code);
}

// Whether the capital sigma at byte `at` ends a word: a letter before it and none behind it.
inline bool is_final_sigma(std::string_view text, std::size_t at) {
    auto before = at;
    while (before > 0) {
        auto const begin = character_before(text, before);
        auto const code = next_character(text, begin).code;
        before = begin;
        if (run_of(case_ignorable, code)) continue;
        if (!is_cased(code)) return false;
        for (auto behind = at + 2; behind < text.size();) {
            auto const step = next_character(text, behind);
            behind += step.length;
            if (!run_of(case_ignorable, step.code)) return !is_cased(step.code);
        }
        return true;
    }
    return false;
}

inline std::string lower_of(std::string_view text, std::size_t at, char32_t code) {
    if (code == 0x130) return "i\xCC\x87"; // i and a dot above
    if (code == 0x3A3 && is_final_sigma(text, at)) return "\xCF\x82";
    return mapped(lower_runs, code);
}

} // namespace detail

LLAMAVISION_INLINE marked_text in_case(marked_text const& text, letter_case wanted) {
    marked_text made;
    std::string_view const bytes = text.bytes();
    bool in_word = false;
    for (std::size_t at = 0; at < bytes.size();) {
        auto const step = next_character(bytes, at);
        auto const code = step.code;
        std::string changed;
        switch (wanted) {
        case letter_case::upper: changed = detail::upper_of(code); break;
        case letter_case::lower: changed = detail::lower_of(bytes, at, code); break;
        case letter_case::capitalize:
            changed = at == 0 ? detail::title_of(code) : detail::lower_of(bytes, at, code);
            break;
        case letter_case::title:
            changed = in_word ? detail::lower_of(bytes, at, code) : detail::title_of(code);
            in_word = detail::is_cased(code);
            break;
        case letter_case::swap:
            changed = detail::run_of(capital_letters, code) ? detail::lower_of(bytes, at, code)
                      : detail::run_of(small_letters, code) ? detail::upper_of(code)
                                                            : std::string(bytes.substr(at, step.length));
            break;
        }
        made.append(changed, text.is_from_user(at));
        at += step.length;
    }
    return made;
}

LLAMAVISION_INLINE marked_text in_title_filter_case(marked_text const& text) {
    marked_text made;
    std::string_view const bytes = text.bytes();
    auto const parts = [&](std::size_t at) {
        auto const code = next_character(bytes, at).code;
        return is_space(code) || std::u32string_view(U"-({[<").find(code) != std::u32string_view::npos;
    };
    for (std::size_t begin = 0; begin < bytes.size();) { // words and what lies between them, in turn
        bool const between = parts(begin);
        auto end = begin;
        while (end < bytes.size() && parts(end) == between) end += next_character(bytes, end).length;
        auto const word = text.slice(begin, end);
        auto const first = next_character(word.bytes(), 0);
        made.append(in_case(word.slice(0, first.length), letter_case::upper));
        made.append(in_case(word.slice(first.length, word.size()), letter_case::lower));
        begin = end;
    }
    return made;
}

namespace detail {

template <std::size_t N, std::size_t M>
bool all_cased_are(std::array<case_run, N> const& wanted, std::array<case_run, M> const& other, std::string_view text) {
    bool any = false;
    for (std::size_t at = 0; at < text.size();) {
        auto const step = next_character(text, at);
        at += step.length;
        if (run_of(other, step.code) || run_of(title_letters, step.code)) return false;
        any = any || run_of(wanted, step.code);
    }
    return any;
}

} // namespace detail

LLAMAVISION_INLINE bool is_lower(std::string_view text) {
    return detail::all_cased_are(small_letters, capital_letters, text);
}

LLAMAVISION_INLINE bool is_upper(std::string_view text) {
    return detail::all_cased_are(capital_letters, small_letters, text);
}

} // namespace llamavision::tokens::jinja
