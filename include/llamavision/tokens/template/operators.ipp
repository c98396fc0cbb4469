// SPDX-License-Identifier: Apache-2.0
// Python's operators.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <llamavision/tokens/template/machine.hpp>

namespace llamavision::tokens::jinja {

LLAMAVISION_INLINE std::string_view type_name(value const& v) {
    switch (v.what()) {
    case kind::missing:
    case kind::undefined: return "Undefined";
    case kind::none: return "NoneType";
    case kind::boolean: return "bool";
    case kind::integer: return "int";
    case kind::real: return "float";
    case kind::text: return v.as<text_object>().markup ? "Markup" : "str";
    case kind::list: return "list";
    case kind::tuple: return "tuple";
    case kind::dict: return "dict";
    case kind::view: return "dict view";
    case kind::range: return "range";
    case kind::name_space: return "Namespace";
    case kind::iterator: return "generator";
    case kind::loop: return "LoopContext";
    case kind::cycler: return "Cycler";
    case kind::joiner: return "Joiner";
    case kind::macro: return "Macro";
    case kind::method: return "method";
    case kind::function: return "function";
    }
    return "?";
}

LLAMAVISION_INLINE bool truth(machine& m, value const& v) {
    switch (v.what()) {
    case kind::missing:
    case kind::undefined:
    case kind::none: return false;
    case kind::boolean:
    case kind::integer: return v.integer() != 0;
    case kind::real: return v.real() != 0;
    case kind::loop: return loop_length(m, v.as<loop_object>()) > 0;
    default: return length_of(v).value_or(1) > 0; // what has no length is true
    }
}

namespace detail {

// -1, 0 or 1, or 2 if one is no number. Python compares integers and floats exactly.
inline int order(value const& a, value const& b) {
    if (a.is_integral() && b.is_integral()) return a.integer() < b.integer() ? -1 : a.integer() > b.integer();
    if (!a.is(kind::real) && !b.is(kind::real)) return 2;
    if (a.is(kind::real) && b.is(kind::real)) {
        if (std::isnan(a.real()) || std::isnan(b.real())) return 2;
        return a.real() < b.real() ? -1 : a.real() > b.real();
    }
    if (b.is_integral()) {
        auto const reversed = order(b, a);
        return reversed == 2 ? 2 : -reversed;
    }
    if (std::isnan(b.real())) return 2;
    constexpr double limit = 9223372036854775808.0; // 2^63
    if (b.real() >= limit) return -1;
    if (b.real() < -limit) return 1;
    auto const whole = static_cast<std::int64_t>(b.real()); // towards zero
    if (a.integer() != whole) return a.integer() < whole ? -1 : 1;
    auto const rest = b.real() - static_cast<double>(whole);
    return rest > 0 ? -1 : rest < 0;
}

} // namespace detail

LLAMAVISION_INLINE bool equal(machine& m, value const& a, value const& b) {
    machine::level const inside(m);
    m.charge(1);
    if (a.is_number() && b.is_number()) return detail::order(a, b) == 0;
    if (a.what() != b.what()) return false;
    switch (a.what()) {
    case kind::undefined:
    case kind::none: return true;
    case kind::text: {
        auto const& left = a.as<text_object>().text.bytes();
        m.charge(left.size() / 16);
        return left == b.as<text_object>().text.bytes();
    }
    case kind::list:
    case kind::tuple: {
        auto const &left = a.as<sequence_object>().items, &right = b.as<sequence_object>().items;
        return left.size() == right.size()
               && std::equal(left.begin(), left.end(), right.begin(),
                             [&](value const& x, value const& y) { return equal(m, x, y); });
    }
    case kind::dict: {
        auto const &left = a.as<dict_object>(), &right = b.as<dict_object>();
        if (left.entries.size() != right.entries.size()) return false;
        return std::all_of(left.entries.begin(), left.entries.end(), [&](auto const& entry) {
            auto const* const found = find_entry(m, right, entry.first);
            return found && equal(m, entry.second, *found);
        });
    }
    case kind::view: m.fail("a comparison of a dict's keys, values or items is not interpreted");
    case kind::range: {
        auto const &left = a.as<range_object>(), &right = b.as<range_object>();
        return left.length == right.length
               && (left.length == 0 || (left.start == right.start && (left.length == 1 || left.step == right.step)));
    }
    default: return a.held() == b.held();
    }
}

LLAMAVISION_INLINE bool less(machine& m, value const& a, value const& b, char const* symbol) {
    machine::level const inside(m);
    m.charge(1);
    for (auto const* v : {&a, &b})
        if (v->is(kind::undefined)) m.fail(v->as<undefined_object>().hint);
    if (a.is_number() && b.is_number()) return detail::order(a, b) == -1;
    if (a.is(kind::text) && b.is(kind::text)) { // UTF-8 sorts like the code points that it stands for
        auto const& left = a.as<text_object>().text.bytes();
        m.charge(left.size() / 16);
        return left < b.as<text_object>().text.bytes();
    }
    if (a.what() == b.what() && (a.is(kind::list) || a.is(kind::tuple))) {
        auto const &left = a.as<sequence_object>().items, &right = b.as<sequence_object>().items;
        for (std::size_t i = 0; i < left.size() && i < right.size(); ++i)
            if (!equal(m, left[i], right[i])) return less(m, left[i], right[i], symbol);
        return left.size() < right.size();
    }
    m.fail("'" + std::string(symbol) + "' is not defined between '" + std::string(type_name(a)) + "' and '"
           + std::string(type_name(b)) + "'");
}

LLAMAVISION_INLINE bool contains(machine& m, value const& all, value const& one) {
    switch (all.what()) {
    case kind::undefined: return false;
    case kind::text: {
        if (!one.is(kind::text))
            m.fail("'in' of a string needs a string on its left, not '" + std::string(type_name(one)) + "'");
        auto const& text = all.as<text_object>().text.bytes();
        m.charge(text.size() / 16);
        return text.find(one.as<text_object>().text.bytes()) != std::string::npos;
    }
    case kind::dict: return find_entry(m, all.as<dict_object>(), one) != nullptr;
    default: break;
    }
    auto const items = iterate(m, all);
    value each;
    while (m.pull(*items, each))
        if (equal(m, each, one)) return true;
    return false;
}

LLAMAVISION_INLINE bool compare(machine& m, operation op, value const& a, value const& b) {
    bool const unordered = (a.is(kind::real) && std::isnan(a.real())) || (b.is(kind::real) && std::isnan(b.real()));
    switch (op) {
    case operation::equal: return equal(m, a, b);
    case operation::unequal: return !equal(m, a, b);
    case operation::less: return less(m, a, b, "<");
    case operation::greater: return less(m, b, a, ">");
    case operation::less_equal: return !less(m, b, a, "<=") && !(unordered && a.is_number() && b.is_number());
    case operation::greater_equal: return !less(m, a, b, ">=") && !(unordered && a.is_number() && b.is_number());
    case operation::in: return contains(m, b, a);
    case operation::not_in: return !contains(m, b, a);
    default: m.fail("no comparison");
    }
}

LLAMAVISION_INLINE value checked_integer(machine& m, bool overflow, std::int64_t result) {
    if (overflow) m.fail("an integer beyond 64 bits");
    return value(result);
}

LLAMAVISION_INLINE value unary(machine& m, operation op, value const& v) {
    if (v.is(kind::undefined)) m.fail(v.as<undefined_object>().hint);
    if (!v.is_number()) m.fail("a sign before '" + std::string(type_name(v)) + "'");
    if (v.is(kind::real)) return value(op == operation::negative ? -v.real() : v.real());
    if (op == operation::positive) return value(v.integer());
    std::int64_t result = 0;
    bool const overflow = __builtin_sub_overflow(std::int64_t{0}, v.integer(), &result);
    return checked_integer(m, overflow, result);
}

namespace detail {

inline std::string_view symbol_of(operation op) {
    switch (op) {
    case operation::add: return "+";
    case operation::subtract: return "-";
    case operation::multiply: return "*";
    case operation::divide: return "/";
    case operation::floor_divide: return "//";
    case operation::remainder: return "%";
    default: return "**";
    }
}

inline value integer_power(machine& m, std::int64_t base, std::int64_t exponent) {
    if (exponent < 0) {
        if (base == 0) m.fail("zero to a negative power");
        return value(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
    }
    std::int64_t result = 1;
    if (base == 0 || base == 1) return value(exponent == 0 ? std::int64_t{1} : base);
    if (base == -1) return value(exponent % 2 == 0 ? std::int64_t{1} : std::int64_t{-1});
    for (; exponent > 0; --exponent) // at most 63 turns, then it overflows
        if (__builtin_mul_overflow(result, base, &result)) m.fail("an integer beyond 64 bits");
    return value(result);
}

// Python rounds quotients down, and a remainder has the divisor's sign.
inline value integer_arithmetic(machine& m, operation op, std::int64_t a, std::int64_t b) {
    std::int64_t result = 0;
    switch (op) {
    case operation::add: {
        bool const overflow = __builtin_add_overflow(a, b, &result);
        return checked_integer(m, overflow, result);
    }
    case operation::subtract: {
        bool const overflow = __builtin_sub_overflow(a, b, &result);
        return checked_integer(m, overflow, result);
    }
    case operation::multiply: {
        bool const overflow = __builtin_mul_overflow(a, b, &result);
        return checked_integer(m, overflow, result);
    }
    case operation::power: return integer_power(m, a, b);
    default: break;
    }
    if (b == 0) m.fail("a division by zero");
    if (op == operation::divide) return value(static_cast<double>(a) / static_cast<double>(b));
    if (b == -1) return op == operation::remainder ? value(std::int64_t{0}) : unary(m, operation::negative, value(a));
    std::int64_t const remainder = a % b;
    bool const lower = remainder != 0 && (remainder < 0) != (b < 0);
    if (op == operation::remainder) return value(lower ? remainder + b : remainder);
    return value(a / b - (lower ? 1 : 0));
}

inline value real_arithmetic(machine& m, operation op, double a, double b) {
    switch (op) {
    case operation::add: return value(a + b);
    case operation::subtract: return value(a - b);
    case operation::multiply: return value(a * b);
    case operation::power: {
        if (a == 0 && b < 0) m.fail("zero to a negative power");
        if (a < 0 && std::isfinite(a) && std::isfinite(b) && b != std::floor(b))
            m.fail("a power that is a complex number");
        double const result = std::pow(a, b);
        if (std::isinf(result) && std::isfinite(a) && std::isfinite(b)) m.fail("a power that is too large");
        return value(result);
    }
    default: break;
    }
    if (b == 0) m.fail("a division by zero");
    if (op == operation::divide) return value(a / b);
    // CPython: floatobject.c, _float_div_mod
    double remainder = std::fmod(a, b);
    double quotient = (a - remainder) / b;
    if (remainder != 0) {
        if ((b < 0) != (remainder < 0)) {
            remainder += b;
            quotient -= 1;
        }
    } else {
        remainder = std::copysign(0.0, b);
    }
    if (op == operation::remainder) return value(remainder);
    if (quotient == 0) return value(std::copysign(0.0, a / b));
    double const floor = std::floor(quotient);
    return value(quotient - floor > 0.5 ? floor + 1 : floor);
}

inline value repeated(machine& m, value const& v, std::int64_t times) {
    auto const count = static_cast<std::size_t>(std::max<std::int64_t>(times, 0));
    auto const size =
        v.is(kind::text) ? v.as<text_object>().text.footprint() : v.as<sequence_object>().items.size() * sizeof(value);
    if (size > 0 && count > m.counted().limits.memory / size) m.fail("a repetition that is too long");
    m.charge(size * count / 16);
    if (v.is(kind::text)) {
        marked_text made;
        for (std::size_t i = 0; i < count && size > 0; ++i) made.append(v.as<text_object>().text);
        return m.text(std::move(made), v.as<text_object>().markup);
    }
    values made;
    for (std::size_t i = 0; i < count && size > 0; ++i)
        made.insert(made.end(), v.as<sequence_object>().items.begin(), v.as<sequence_object>().items.end());
    return v.is(kind::list) ? m.list(std::move(made)) : m.tuple(std::move(made));
}

inline value joined(machine& m, value const& a, value const& b) {
    if (a.is(kind::text)) {
        auto const &left = a.as<text_object>(), &right = b.as<text_object>();
        bool const markup = left.markup || right.markup; // then what is plain is escaped
        auto made = markup && !left.markup ? escaped(left.text) : left.text;
        made.append(markup && !right.markup ? escaped(right.text) : right.text);
        return m.text(std::move(made), markup);
    }
    auto made = a.as<sequence_object>().items;
    auto const& more = b.as<sequence_object>().items;
    made.insert(made.end(), more.begin(), more.end());
    return a.is(kind::list) ? m.list(std::move(made)) : m.tuple(std::move(made));
}

} // namespace detail

LLAMAVISION_INLINE value binary(machine& m, operation op, value const& a, value const& b) {
    auto const sequence = [](value const& v) { return v.is(kind::text) || v.is(kind::list) || v.is(kind::tuple); };
    if (op == operation::remainder && a.is(kind::text)) {
        if (a.as<text_object>().markup) m.fail("'%' on text from \"safe\" or \"escape\" is not interpreted");
        arguments given;
        if (b.is(kind::tuple))
            given.positional = b.as<sequence_object>().items;
        else
            given.positional = {b};
        if (b.is(kind::dict)) m.fail("'%' with a dict is not interpreted");
        return m.text(formatted(m, a.as<text_object>().text, given));
    }
    for (auto const* v : {&a, &b})
        if (v->is(kind::undefined)) m.fail(v->as<undefined_object>().hint);
    if (a.is_integral() && b.is_integral()) return detail::integer_arithmetic(m, op, a.integer(), b.integer());
    if (a.is_number() && b.is_number()) return detail::real_arithmetic(m, op, a.number(), b.number());
    if (op == operation::add && sequence(a) && a.what() == b.what()) return detail::joined(m, a, b);
    if (op == operation::multiply && sequence(a) && b.is_integral()) return detail::repeated(m, a, b.integer());
    if (op == operation::multiply && sequence(b) && a.is_integral()) return detail::repeated(m, b, a.integer());
    m.fail("'" + std::string(detail::symbol_of(op)) + "' is not defined between '" + std::string(type_name(a))
           + "' and '" + std::string(type_name(b)) + "'");
}

LLAMAVISION_INLINE std::int64_t integer_of(machine& m, value const& v, std::string_view what) {
    if (!v.is_integral()) m.fail(std::string(what) + " is '" + std::string(type_name(v)) + "', not an integer");
    return v.integer();
}

} // namespace llamavision::tokens::jinja
