// SPDX-License-Identifier: Apache-2.0
// Filters that give text, numbers or the value itself. Source: jinja2 3.1.6, filters.py; transformers 4.54.1,
// chat_template_utils.py, for tojson.
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <llamavision/tokens/template/letter_case.hpp>
#include <llamavision/tokens/template/machine.hpp>
#include <llamavision/tokens/template/text_methods.hpp>
#include <system_error>

namespace llamavision::tokens::jinja::filters {

inline bool is_markup(value const& v) { return v.is(kind::text) && v.as<text_object>().markup; }

inline value upper(machine& m, value const& v, arguments& given) {
    bound const none(m, "upper", given, {});
    return m.text(in_case(str(m, v), letter_case::upper), is_markup(v));
}

inline value lower(machine& m, value const& v, arguments& given) {
    bound const none(m, "lower", given, {});
    return m.text(in_case(str(m, v), letter_case::lower), is_markup(v));
}

inline value capitalize(machine& m, value const& v, arguments& given) {
    bound const none(m, "capitalize", given, {});
    return m.text(in_case(str(m, v), letter_case::capitalize), is_markup(v));
}

inline value title(machine& m, value const& v, arguments& given) {
    bound const none(m, "title", given, {});
    return m.text(in_title_filter_case(str(m, v)));
}

inline value trim(machine& m, value const& v, arguments& given) {
    bound const p(m, "trim", given, {"chars"});
    return m.text(stripped(str(m, v), p[0], true, true, m), is_markup(v));
}

inline value string(machine& m, value const& v, arguments& given) {
    bound const none(m, "string", given, {});
    return v.is(kind::text) ? v : m.text(str(m, v));
}

inline value replace(machine& m, value const& v, arguments& given) {
    bound const p(m, "replace", given, {"old", "new", "count"}, 2);
    auto const count = p.has(2) && !p[2].is(kind::none) ? integer_of(m, p[2], "the count") : -1;
    return m.text(replaced(m, str(m, v), str(m, p[0]), str(m, p[1]), count));
}

inline value safe(machine& m, value const& v, arguments& given) {
    bound const none(m, "safe", given, {});
    return m.text(str(m, v), true);
}

inline value escape(machine& m, value const& v, arguments& given) {
    bound const none(m, "escape", given, {});
    return is_markup(v) ? v : m.text(escaped(str(m, v)), true);
}

inline value otherwise(machine& m, value const& v, arguments& given) {
    bound const p(m, "default", given, {"default_value", "boolean"});
    bool const replaces = v.is(kind::undefined) || (p.has(1) && truth(m, p[1]) && !truth(m, v));
    return !replaces ? v : p.has(0) ? p[0] : m.text("");
}

inline value format(machine& m, value const& v, arguments& given) {
    if (!given.named.empty()) m.fail("the filter format with named arguments is not interpreted");
    if (is_markup(v)) m.fail("the filter format on text from \"safe\" or \"escape\" is not interpreted");
    return m.text(formatted(m, str(m, v), given));
}

// Lines as str.splitlines cuts them; the last line's end is not there any more afterwards.
inline value indent(machine& m, value const& v, arguments& given) {
    bound const p(m, "indent", given, {"width", "first", "blank"});
    auto const& text = text_of(m, v, "what is indented");
    constexpr std::int64_t widest = 10000;
    marked_text shift("    ", false);
    if (p.has(0) && p[0].is(kind::text)) {
        shift = p[0].as<text_object>().text;
    } else if (p.has(0)) {
        auto const width = integer_of(m, p[0], "the width");
        if (width > widest) m.fail("a width of more than " + std::to_string(widest));
        shift = marked_text(std::string(static_cast<std::size_t>(std::max<std::int64_t>(width, 0)), ' '), false);
    }
    bool const blank = p.has(2) && truth(m, p[2]);
    marked_text made;
    if (p.has(1) && truth(m, p[1])) made.append(shift);
    auto whole = text;
    whole.append("\n", false);
    for (std::size_t at = 0; at < whole.size();) {
        auto const line = end_of_line(whole.bytes(), at);
        if (at > 0) {
            made.append("\n", false);
            if (blank || line.end > at) made.append(shift);
        }
        made.append(whole, at, line.end);
        m.charge((line.next - at + shift.size()) / 16);
        if (made.footprint() > m.counted().limits.memory) m.fail("text of more than the limit of memory");
        at = line.next;
    }
    return m.text(std::move(made), is_markup(v));
}

// re.findall(r"\w+"): letters, numbers, underscores; marks and the like are not told apart from punctuation.
inline value wordcount(machine& m, value const& v, arguments& given) {
    bound const none(m, "wordcount", given, {});
    auto const text = str(m, v);
    std::int64_t count = 0;
    bool inside = false;
    for (std::size_t at = 0; at < text.size();) {
        auto const step = next_character(text.bytes(), at);
        auto const what = classify(step.code);
        bool const word = what == char_class::letter || what == char_class::number || step.code == U'_';
        count += word && !inside;
        inside = word;
        at += step.length;
    }
    return value(count);
}

inline value length(machine& m, value const& v, arguments& given) {
    bound const none(m, "length", given, {});
    if (v.is(kind::loop)) return value(static_cast<std::int64_t>(loop_length(m, v.as<loop_object>())));
    auto const known = length_of(v);
    if (!known) m.fail("'" + std::string(type_name(v)) + "' has no length");
    return value(static_cast<std::int64_t>(*known));
}

// Digits with single underscores between them are numbers to Python.
inline std::optional<std::string> plain_number(std::string_view text) {
    text = text.substr(0, without_space_behind(text));
    text.remove_prefix(skip_space(text, 0));
    std::string plain;
    auto const digit = [&](std::size_t i) { return i < text.size() && text[i] >= '0' && text[i] <= '9'; };
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '_')
            plain += text[i];
        else if (i == 0 || !digit(i - 1) || !digit(i + 1))
            return std::nullopt;
    }
    if (plain.starts_with('+')) {
        plain.erase(0, 1);
        if (plain.starts_with('-')) return std::nullopt;
    }
    return plain;
}

inline std::optional<double> float_of(std::string_view text) {
    auto const plain = plain_number(text);
    double made = 0;
    if (!plain || plain->empty()) return std::nullopt;
    auto const* const end = plain->data() + plain->size();
    auto const [stop, failure] = std::from_chars(plain->data(), end, made);
    if (failure == std::errc::result_out_of_range && stop == end) { // too small or too large
        auto const exponent = plain->find_first_of("eE");
        bool const small = exponent != std::string::npos && (*plain)[exponent + 1] == '-';
        made = small ? 0.0 : HUGE_VAL;
        return plain->starts_with('-') ? -made : made;
    }
    if (failure != std::errc{} || stop != end || plain->find('(') != std::string::npos) return std::nullopt;
    return made;
}

inline value integer(machine& m, value const& v, arguments& given) {
    bound const p(m, "int", given, {"default", "base"});
    if (p.has(1) && !(p[1].is_integral() && p[1].integer() == 10)) m.fail("a base other than 10 is not interpreted");
    value otherwise_value = p.has(0) ? p[0] : value(std::int64_t{0});
    if (v.is(kind::undefined)) m.fail(v.as<undefined_object>().hint);
    if (v.is_integral()) return value(v.integer());
    std::optional<double> real;
    if (v.is(kind::real)) real = v.real();
    if (v.is(kind::text)) {
        auto const& bytes = v.as<text_object>().text.bytes();
        auto const plain = plain_number(bytes);
        std::int64_t made = 0;
        if (plain) {
            auto const [stop, failure] = std::from_chars(plain->data(), plain->data() + plain->size(), made);
            if (failure == std::errc::result_out_of_range) m.fail("an integer beyond 64 bits");
            if (failure == std::errc{} && stop == plain->data() + plain->size()) return value(made);
        }
        real = float_of(bytes);
    }
    if (!real || !std::isfinite(*real)) return otherwise_value;
    if (!(std::abs(*real) < 9.2e18)) m.fail("an integer beyond 64 bits");
    return value(static_cast<std::int64_t>(*real));
}

inline value real(machine& m, value const& v, arguments& given) {
    bound const p(m, "float", given, {"default"});
    if (v.is(kind::undefined)) m.fail(v.as<undefined_object>().hint);
    if (v.is_number()) return value(v.number());
    if (v.is(kind::text))
        if (auto const made = float_of(v.as<text_object>().text.bytes())) return value(*made);
    return p.has(0) ? p[0] : value(0.0);
}

inline value absolute(machine& m, value const& v, arguments& given) {
    bound const none(m, "abs", given, {});
    if (!v.is_number()) m.fail("abs of '" + std::string(type_name(v)) + "'");
    if (v.is(kind::real)) return value(std::abs(v.real()));
    return v.integer() < 0 ? unary(m, operation::negative, v) : value(v.integer());
}

// Halves go to the even neighbour. Of the exact decimal value, as CPython rounds.
inline double rounded(double v, std::int64_t places) {
    if (!std::isfinite(v) || places > 330) return v;
    std::array<char, 700> digits{};
    auto const end = std::to_chars(digits.data(), digits.data() + digits.size(), v, std::chars_format::fixed,
                                   static_cast<int>(places))
                         .ptr;
    double made = 0;
    std::from_chars(digits.data(), end, made);
    return made;
}

inline value round(machine& m, value const& v, arguments& given) {
    bound const p(m, "round", given, {"precision", "method"});
    auto const places = p.has(0) ? integer_of(m, p[0], "the precision") : 0;
    auto const method = p.has(1) ? text_of(m, p[1], "the method").bytes() : "common";
    if (!v.is_number()) m.fail("round of '" + std::string(type_name(v)) + "'");
    if (places < 0) m.fail("a precision below zero is not interpreted");
    if (method == "common") return v.is_integral() ? value(v.integer()) : value(rounded(v.real(), places));
    if (method != "ceil" && method != "floor") m.fail("the method is none of common, ceil, floor");
    auto const power = std::pow(10.0, static_cast<double>(places));
    auto const scaled = v.number() * power;
    if (!std::isfinite(scaled)) m.fail("round of a number that is not finite");
    return value((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / power);
}

// transformers' own: json.dumps(x, ensure_ascii, indent, separators, sort_keys), the first of which jinja2's does not
// have: x | tojson(4) asks for ASCII, not for an indentation.
inline value tojson(machine& m, value const& v, arguments& given) {
    bound const p(m, "tojson", given, {"ensure_ascii", "indent", "separators", "sort_keys"});
    json_format f;
    f.ascii = p.has(0) && truth(m, p[0]);
    f.sorted = p.has(3) && truth(m, p[3]);
    if (p.has(1) && !p[1].is(kind::none)) {
        constexpr std::int64_t widest = 1000;
        if (p[1].is(kind::text)) {
            f.indent = text_of(m, p[1], "the indentation").bytes();
        } else {
            auto const width = integer_of(m, p[1], "the indentation");
            if (width > widest) m.fail("an indentation of more than " + std::to_string(widest));
            f.indent = std::string(static_cast<std::size_t>(std::max<std::int64_t>(width, 0)), ' ');
        }
        f.item_separator = marked_text(",", false);
    }
    if (p.has(2) && !p[2].is(kind::none)) {
        auto const separators = drained(m, p[2]);
        if (separators.size() != 2) m.fail("the separators of tojson are not two");
        f.item_separator = text_of(m, separators[0], "a separator");
        f.key_separator = text_of(m, separators[1], "a separator");
    }
    marked_text made;
    append_json(m, made, v, f);
    return m.text(std::move(made));
}

} // namespace llamavision::tokens::jinja::filters
