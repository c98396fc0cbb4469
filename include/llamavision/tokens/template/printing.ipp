// SPDX-License-Identifier: Apache-2.0
// str() and repr(), with the marks of what a user wrote kept; and the % of strings.
#pragma once

#include <array>
#include <charconv>
#include <cmath>
#include <llamavision/tokens/python_text.hpp>
#include <llamavision/tokens/template/machine.hpp>

namespace llamavision::tokens::jinja {

// repr(float): the shortest digits that give the number back; an exponent below 1e-4 and from 1e16 on.
LLAMAVISION_INLINE std::string real_text(double v) {
    if (std::isnan(v)) return "nan";
    if (std::isinf(v)) return v < 0 ? "-inf" : "inf";
    std::array<char, 64> digits{};
    double const size = std::abs(v);
    bool const plain = size == 0 || (size >= 1e-4 && size < 1e16);
    auto const end = std::to_chars(digits.data(), digits.data() + digits.size(), v,
                                   plain ? std::chars_format::fixed : std::chars_format::scientific)
                         .ptr;
    std::string text(digits.data(), end);
    return plain && text.find('.') == std::string::npos ? text + ".0" : text;
}

namespace detail {

inline void append_text_repr(marked_text& out, marked_text const& text) {
    std::string_view const bytes = text.bytes();
    bool const twice = bytes.find('\'') != std::string_view::npos && bytes.find('"') == std::string_view::npos;
    char const quote = twice ? '"' : '\'';
    out.append(std::string_view(&quote, 1), false);
    std::size_t plain = 0; // where the characters began that stand for themselves
    for (std::size_t at = 0; at < bytes.size();) {
        auto const step = next_character(bytes, at);
        std::string escape;
        if (step.code == U'\\' || step.code == static_cast<unsigned char>(quote))
            escape = {'\\', static_cast<char>(step.code)};
        else if (step.code == U'\n')
            escape = "\\n";
        else if (step.code == U'\r')
            escape = "\\r";
        else if (step.code == U'\t')
            escape = "\\t";
        else if (!python::detail::is_printable(step.code)) {
            auto const small = step.code < 0x100, middle = step.code < 0x10000;
            escape = small ? "\\x" : middle ? "\\u" : "\\U";
            append_hex(escape, step.code, small ? 2 : middle ? 4 : 8);
        }
        if (!escape.empty()) {
            out.append(text, plain, at);
            out.append(escape, text.is_from_user(at));
            plain = at + step.length;
        }
        at += step.length;
    }
    out.append(text, plain, bytes.size());
    out.append(std::string_view(&quote, 1), false);
}

inline void append_items_repr(machine& m, marked_text& out, values const& items, std::string_view open,
                              std::string_view close) {
    out.append(open, false);
    for (std::size_t i = 0; i < items.size(); ++i) {
        if (i > 0) out.append(", ", false);
        append_repr(m, out, items[i]);
    }
    out.append(close, false);
}

inline void append_entries_repr(machine& m, marked_text& out, dict_object const& dict) {
    out.append("{", false);
    for (std::size_t i = 0; i < dict.entries.size(); ++i) {
        if (i > 0) out.append(", ", false);
        append_repr(m, out, dict.entries[i].first);
        out.append(": ", false);
        append_repr(m, out, dict.entries[i].second);
    }
    out.append("}", false);
}

} // namespace detail

LLAMAVISION_INLINE void append_repr(machine& m, marked_text& out, value const& v) {
    machine::level const inside(m);
    auto const put = [&](std::string_view text) { out.append(text, false); };
    auto const before = out.footprint();
    switch (v.what()) {
    case kind::missing:
    case kind::undefined: put("Undefined"); break;
    case kind::none: put("None"); break;
    case kind::boolean: put(v.boolean() ? "True" : "False"); break;
    case kind::integer: put(std::to_string(v.integer())); break;
    case kind::real: put(real_text(v.real())); break;
    case kind::text:
        if (v.as<text_object>().markup) put("Markup(");
        detail::append_text_repr(out, v.as<text_object>().text);
        if (v.as<text_object>().markup) put(")");
        break;
    case kind::list: detail::append_items_repr(m, out, v.as<sequence_object>().items, "[", "]"); break;
    case kind::tuple: {
        auto const& items = v.as<sequence_object>().items;
        detail::append_items_repr(m, out, items, "(", items.size() == 1 ? ",)" : ")");
        break;
    }
    case kind::dict: detail::append_entries_repr(m, out, v.as<dict_object>()); break;
    case kind::view: {
        auto const shown = v.as<view_object>().shown;
        put(shown == view_object::part::key      ? "dict_keys("
            : shown == view_object::part::mapped ? "dict_values("
                                                 : "dict_items(");
        detail::append_items_repr(m, out, drained(m, v), "[", "]");
        put(")");
        break;
    }
    case kind::range: {
        auto const& r = v.as<range_object>();
        put("range(" + std::to_string(r.start) + ", " + std::to_string(r.stop));
        put(r.step == 1 ? ")" : ", " + std::to_string(r.step) + ")");
        break;
    }
    case kind::name_space: {
        put("<Namespace {");
        bool first = true;
        for (auto const& [name, member] : v.as<name_space_object>().members) {
            if (!std::exchange(first, false)) put(", ");
            put("'" + name + "': ");
            append_repr(m, out, member);
        }
        put("}>");
        break;
    }
    case kind::loop: {
        auto& loop = v.as<loop_object>();
        put("<LoopContext " + std::to_string(loop.index0 + 1) + "/" + std::to_string(loop_length(m, loop)) + ">");
        break;
    }
    case kind::macro: put("<Macro '" + v.as<macro_object>().body->name + "'>"); break;
    case kind::iterator:
    case kind::cycler:
    case kind::joiner:
    case kind::method:
    case kind::function:
        m.fail("a " + std::string(type_name(v)) + " is printed, which Python does with its address in memory");
    }
    m.charge((out.footprint() - before) / 16);
    if (out.size() > m.counted().limits.memory) m.fail("text of more than the limit of memory");
}

LLAMAVISION_INLINE void append_str(machine& m, marked_text& out, value const& v) {
    if (v.is(kind::text))
        out.append(v.as<text_object>().text);
    else if (!v.is(kind::undefined))
        append_repr(m, out, v);
    if (out.size() > m.counted().limits.memory) m.fail("text of more than the limit of memory");
}

LLAMAVISION_INLINE marked_text str(machine& m, value const& v) {
    marked_text made;
    append_str(m, made, v);
    return made;
}

// Source: markupsafe 3.0.
LLAMAVISION_INLINE marked_text escaped(marked_text const& text) {
    marked_text made;
    std::size_t plain = 0;
    for (std::size_t at = 0; at < text.size(); ++at) {
        char const c = text.bytes()[at];
        std::string_view const entity = c == '&'    ? "&amp;"
                                        : c == '<'  ? "&lt;"
                                        : c == '>'  ? "&gt;"
                                        : c == '\'' ? "&#39;"
                                        : c == '"'  ? "&#34;"
                                                    : "";
        if (entity.empty()) continue;
        made.append(text, plain, at);
        made.append(entity, text.is_from_user(at));
        plain = at + 1;
    }
    made.append(text, plain, text.size());
    return made;
}

namespace detail {

// One %-code: flags, width, precision and a letter.
struct format_code {
    bool left = false, zero = false, sign = false, space = false;
    std::size_t width = 0;
    int precision = -1;
    char letter = '\0';
};

inline std::string formatted_number(machine& m, format_code const& c, value const& v) {
    constexpr int most_digits = 300;
    if (!v.is_number()) m.fail("%" + std::string(1, c.letter) + " of '" + std::string(type_name(v)) + "'");
    std::array<char, 700> digits{};
    auto* const end = digits.data() + digits.size();
    bool const negative = v.number() < 0 || (v.is(kind::real) && std::signbit(v.real()));
    std::string text;
    if (c.letter == 'f' || c.letter == 'F') {
        if (c.precision > most_digits) m.fail("more than " + std::to_string(most_digits) + " decimals");
        if (!std::isfinite(v.number())) m.fail("%f of a number that is not finite");
        auto const made = std::to_chars(digits.data(), end, std::abs(v.number()), std::chars_format::fixed,
                                        c.precision < 0 ? 6 : c.precision);
        text.assign(digits.data(), made.ptr);
    } else {
        if (c.precision >= 0) m.fail("a precision of an integer is not interpreted");
        bool const hexadecimal = c.letter == 'x';
        if (v.is(kind::real) && (hexadecimal || !(std::abs(v.real()) < 9e18)))
            m.fail("%" + std::string(1, c.letter) + " of this float");
        auto const whole = v.is(kind::real) ? static_cast<std::int64_t>(v.real()) : v.integer();
        auto const size =
            whole < 0 ? std::uint64_t{0} - static_cast<std::uint64_t>(whole) : static_cast<std::uint64_t>(whole);
        auto const made = std::to_chars(digits.data(), end, size, hexadecimal ? 16 : 10);
        text.assign(digits.data(), made.ptr);
        if (whole == 0) return std::string(c.sign ? "+" : c.space ? " " : "") + text;
    }
    return std::string(negative ? "-" : c.sign ? "+" : c.space ? " " : "") + text;
}

inline void append_padded(machine& m, marked_text& out, marked_text const& text, format_code const& c) {
    auto const length = characters_in(text.bytes());
    auto const missing = c.width > length ? c.width - length : 0;
    m.charge(missing / 16);
    if (c.left) {
        out.append(text);
        return out.append(std::string(missing, ' '), false);
    }
    bool const number = c.letter != 's' && c.letter != 'r';
    if (!c.zero || !number) {
        out.append(std::string(missing, ' '), false);
        return out.append(text);
    }
    std::size_t const sign = !text.empty() && std::string_view("+- ").find(text.bytes()[0]) != std::string_view::npos;
    out.append(text, 0, sign);
    out.append(std::string(missing, '0'), false);
    out.append(text, sign, text.size());
}

inline format_code read_format_code(machine& m, std::string_view format, std::size_t& at) {
    constexpr std::size_t widest = 10000;
    format_code c;
    auto const digit = [&] { return at < format.size() && format[at] >= '0' && format[at] <= '9'; };
    auto const number = [&] {
        std::size_t n = 0;
        for (; digit(); ++at) n = std::min(n * 10 + static_cast<std::size_t>(format[at] - '0'), widest + 1);
        if (n > widest) m.fail("a width of more than " + std::to_string(widest));
        return n;
    };
    for (; at < format.size(); ++at) {
        if (format[at] == '-')
            c.left = true;
        else if (format[at] == '0')
            c.zero = true;
        else if (format[at] == '+')
            c.sign = true;
        else if (format[at] == ' ')
            c.space = true;
        else
            break;
    }
    c.width = number();
    if (at < format.size() && format[at] == '.') {
        ++at;
        c.precision = static_cast<int>(number());
    }
    if (at >= format.size()) m.fail("a format that ends within a code");
    c.letter = format[at++];
    return c;
}

} // namespace detail

// The % of strings, and the filter format: %s %r %d %i %u %f %F %x %%, with flags, width and precision.
LLAMAVISION_INLINE marked_text formatted(machine& m, marked_text const& format, arguments const& given) {
    marked_text made;
    std::size_t used = 0, plain = 0;
    std::string_view const bytes = format.bytes();
    m.charge(bytes.size() / 16);
    for (auto at = bytes.find('%'); at != std::string_view::npos; at = bytes.find('%', plain)) {
        made.append(format, plain, at++);
        if (at < bytes.size() && bytes[at] == '(') m.fail("a format with names is not interpreted");
        if (at < bytes.size() && bytes[at] == '%') {
            plain = at + 1;
            made.append("%", format.is_from_user(at));
            continue;
        }
        auto const c = detail::read_format_code(m, bytes, at);
        plain = at;
        if (used >= given.positional.size()) m.fail("too few arguments for the format");
        auto const& v = given.positional[used++];
        marked_text shown;
        switch (c.letter) {
        case 's':
        case 'r':
            c.letter == 's' ? append_str(m, shown, v) : append_repr(m, shown, v);
            if (c.precision >= 0)
                shown = shown.slice(0, byte_of_character(shown.bytes(), static_cast<std::size_t>(c.precision)));
            break;
        case 'd':
        case 'i':
        case 'u':
        case 'f':
        case 'F':
        case 'x': shown = marked_text(detail::formatted_number(m, c, v), false); break;
        default: m.fail(std::string("the format code %") + c.letter + " is not interpreted");
        }
        detail::append_padded(m, made, shown, c);
    }
    made.append(format, plain, bytes.size());
    if (used < given.positional.size()) m.fail("too many arguments for the format");
    return made;
}

} // namespace llamavision::tokens::jinja
