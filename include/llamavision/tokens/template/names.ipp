// SPDX-License-Identifier: Apache-2.0
// The tables of names: tests, global functions, and where each filter is.
#pragma once

#include <algorithm>
#include <array>
#include <llamavision/tokens/template/list_filters.ipp>
#include <llamavision/tokens/template/names.hpp>
#include <llamavision/tokens/template/text_filters.ipp>

namespace llamavision::tokens::jinja {

namespace tests {

inline bool is_undefined(machine&, value const& v) { return v.is(kind::undefined); }
inline bool is_defined(machine&, value const& v) { return !v.is(kind::undefined); }
inline bool is_none(machine&, value const& v) { return v.is(kind::none); }
inline bool is_boolean(machine&, value const& v) { return v.is(kind::boolean); }
inline bool is_true(machine&, value const& v) { return v.is(kind::boolean) && v.boolean(); }
inline bool is_false(machine&, value const& v) { return v.is(kind::boolean) && !v.boolean(); }
inline bool is_integer(machine&, value const& v) { return v.is(kind::integer); }
inline bool is_float(machine&, value const& v) { return v.is(kind::real); }
inline bool is_number(machine&, value const& v) { return v.is_number(); }
inline bool is_string(machine&, value const& v) { return v.is(kind::text); }
inline bool is_mapping(machine&, value const& v) { return v.is(kind::dict); }
inline bool is_escaped(machine&, value const& v) { return filters::is_markup(v); }
inline bool is_lower_text(machine& m, value const& v) { return is_lower(str(m, v).bytes()); }
inline bool is_upper_text(machine& m, value const& v) { return is_upper(str(m, v).bytes()); }

// What has a length and indices: dicts and undefined values too.
inline bool is_sequence(machine&, value const& v) { return length_of(v).has_value() && !v.is(kind::view); }
inline bool is_iterable(machine&, value const& v) {
    return length_of(v).has_value() || v.is(kind::iterator) || v.is(kind::loop);
}
inline bool is_callable(machine&, value const& v) {
    return v.is(kind::undefined) || v.is(kind::function) || v.is(kind::method) || v.is(kind::macro)
           || v.is(kind::joiner) || v.is(kind::loop);
}

inline bool is_remainder(machine& m, value const& v, value const& divisor, std::int64_t wanted) {
    return equal(m, binary(m, operation::remainder, v, divisor), value(wanted));
}
inline bool is_odd(machine& m, value const& v) { return is_remainder(m, v, value(std::int64_t{2}), 1); }
inline bool is_even(machine& m, value const& v) { return is_remainder(m, v, value(std::int64_t{2}), 0); }

inline bool names_filter(machine&, value const& v) {
    return v.is(kind::text) && is_jinja_filter(v.as<text_object>().text.bytes());
}
inline bool names_test(machine&, value const& v) {
    return v.is(kind::text) && is_jinja_test(v.as<text_object>().text.bytes());
}

template <bool (*holds)(machine&, value const&)>
value alone(machine& m, value const& v, arguments& given) {
    bound const none(m, "the test", given, {});
    return value(holds(m, v));
}

template <operation op>
value with_other(machine& m, value const& v, arguments& given) {
    bound const p(m, "the test", given, {"other"}, 1);
    return value(compare(m, op, v, p[0]));
}

inline value divisible_by(machine& m, value const& v, arguments& given) {
    bound const p(m, "divisibleby", given, {"num"}, 1);
    return value(is_remainder(m, v, p[0], 0));
}

inline value in(machine& m, value const& v, arguments& given) {
    bound const p(m, "in", given, {"seq"}, 1);
    return value(contains(m, p[0], v));
}

// Python's `is`, of values of which there is but one.
inline value same_as(machine& m, value const& v, arguments& given) {
    bound const p(m, "sameas", given, {"other"}, 1);
    if (v.what() != p[0].what()) return value(false);
    if (v.is(kind::none)) return value(true);
    if (v.is(kind::boolean)) return value(v.boolean() == p[0].boolean());
    if (v.held() && v.held() == p[0].held()) return value(true);
    if (v.is(kind::name_space) || v.is(kind::macro)) return value(false);
    m.fail("sameas of '" + std::string(type_name(v)) + "' is not interpreted");
}

} // namespace tests

namespace globals {

inline value range(machine& m, arguments& given) {
    bound const p(m, "range", given, {"start", "stop", "step"}, 1);
    if (!given.named.empty()) m.fail("range takes no named arguments");
    auto const first = integer_of(m, p[0], "an argument of range");
    auto made = m.make<range_object>();
    made->start = p.has(1) ? first : 0;
    made->stop = p.has(1) ? integer_of(m, p[1], "an argument of range") : first;
    made->step = p.has(2) ? integer_of(m, p[2], "an argument of range") : 1;
    constexpr std::int64_t largest = std::int64_t{1} << 40, longest = 100'000; // jinja2's sandbox: MAX_RANGE
    if (made->step == 0) m.fail("the step of range is zero");
    for (auto const n : {made->start, made->stop, made->step})
        if (n > largest || n < -largest) m.fail("an argument of range that is too large");
    auto const distance = made->step > 0 ? made->stop - made->start : made->start - made->stop;
    auto const length = distance <= 0 ? 0 : (distance - 1) / (made->step > 0 ? made->step : -made->step) + 1;
    if (length > longest) m.fail("a range of more than " + std::to_string(longest) + " values");
    made->length = static_cast<std::size_t>(length);
    return {kind::range, std::move(made)};
}

// dict(pairs, key=value, ...)
inline std::vector<std::pair<value, value>> entries_of(machine& m, char const* name, arguments& given) {
    std::vector<std::pair<value, value>> entries;
    if (given.positional.size() > 1) m.fail(std::string(name) + " takes at most one argument without a name");
    if (!given.positional.empty()) {
        auto const& from = given.positional[0];
        if (from.is(kind::undefined)) m.fail(from.as<undefined_object>().hint);
        if (from.is(kind::dict)) {
            entries = from.as<dict_object>().entries;
        } else {
            for (auto const& pair : drained(m, from)) {
                auto const two = drained(m, pair);
                if (two.size() != 2) m.fail(std::string(name) + " of values that are no pairs");
                put_entry(m, entries, two[0], two[1]);
            }
        }
    }
    for (auto const& [key, v] : given.named) put_entry(m, entries, m.text(key), v);
    return entries;
}

inline value dict(machine& m, arguments& given) { return m.dict(entries_of(m, "dict", given)); }

inline value name_space(machine& m, arguments& given) {
    std::vector<std::pair<std::string, value>> members;
    for (auto const& [key, v] : entries_of(m, "namespace", given))
        members.emplace_back(text_of(m, key, "a name of a namespace").bytes(), v);
    return m.name_space(std::move(members));
}

inline value cycler(machine& m, arguments& given) {
    if (!given.named.empty()) m.fail("cycler takes no named arguments");
    if (given.positional.empty()) m.fail("cycler lacks its items");
    auto made = m.make<cycler_object>(given.positional.size() * sizeof(value));
    std::uint32_t depth = 0;
    for (auto const& v : given.positional) depth = std::max(depth, v.depth());
    made->items = given.positional;
    m.check_depth(*made, depth + 1);
    return {kind::cycler, std::move(made)};
}

inline value joiner(machine& m, arguments& given) {
    bound const p(m, "joiner", given, {"sep"});
    auto made = m.make<joiner_object>();
    made->separator = p.has(0) ? p[0] : m.text(", ");
    m.check_depth(*made, made->separator.depth() + 1);
    return {kind::joiner, std::move(made)};
}

inline value raise_exception(machine& m, arguments& given) {
    bound const p(m, "raise_exception", given, {"message"}, 1);
    throw template_refusal(str(m, p[0]).bytes());
}

inline value strftime_now(machine& m, arguments& given) {
    bound const p(m, "strftime_now", given, {"format"}, 1);
    std::string unknown;
    std::string_view format = text_of(m, p[0], "the format").bytes();
    format = format.substr(0, format.find('\0')); // where Python's ends, too
    auto const text = strftime(m.now(), format, unknown);
    if (!text) m.fail("the code " + unknown + " of strftime_now is not interpreted");
    return m.text(*text);
}

inline value lipsum(machine& m, arguments&) { m.fail("lipsum is not interpreted"); }

} // namespace globals

namespace detail {

template <class Function>
struct named {
    std::string_view name;
    Function function;
};

template <class Function, std::size_t N>
Function look_up(std::array<named<Function>, N> const& table, std::string_view name) {
    auto const found = std::find_if(table.begin(), table.end(), [&](auto const& entry) { return entry.name == name; });
    return found == table.end() ? nullptr : found->function;
}

} // namespace detail

LLAMAVISION_INLINE filter_function find_filter(std::string_view name) {
    static constexpr auto table = std::to_array<detail::named<filter_function>>({
        {"abs", filters::absolute},
        {"batch", filters::start<filters::batched>},
        {"capitalize", filters::capitalize},
        {"count", filters::length},
        {"d", filters::otherwise},
        {"default", filters::otherwise},
        {"dictsort", filters::dictsort},
        {"e", filters::escape},
        {"escape", filters::escape},
        {"first", filters::first},
        {"float", filters::real},
        {"format", filters::format},
        {"indent", filters::indent},
        {"int", filters::integer},
        {"items", filters::start<filters::dict_items>},
        {"join", filters::join},
        {"last", filters::last},
        {"length", filters::length},
        {"list", filters::list},
        {"lower", filters::lower},
        {"map", filters::start<filters::mapped>},
        {"max", filters::max},
        {"min", filters::min},
        {"reject", filters::start<filters::selected<false, false>>},
        {"rejectattr", filters::start<filters::selected<false, true>>},
        {"replace", filters::replace},
        {"reverse", filters::reverse},
        {"round", filters::round},
        {"safe", filters::safe},
        {"select", filters::start<filters::selected<true, false>>},
        {"selectattr", filters::start<filters::selected<true, true>>},
        {"sort", filters::sort},
        {"string", filters::string},
        {"sum", filters::sum},
        {"title", filters::title},
        {"tojson", filters::tojson},
        {"trim", filters::trim},
        {"unique", filters::start<filters::unique_items>},
        {"upper", filters::upper},
        {"wordcount", filters::wordcount},
    });
    return detail::look_up(table, name);
}

LLAMAVISION_INLINE filter_function find_test(std::string_view name) {
    using namespace tests;
    static constexpr auto table = std::to_array<detail::named<filter_function>>({
        {"!=", with_other<operation::unequal>},
        {"<", with_other<operation::less>},
        {"<=", with_other<operation::less_equal>},
        {"==", with_other<operation::equal>},
        {">", with_other<operation::greater>},
        {">=", with_other<operation::greater_equal>},
        {"boolean", alone<is_boolean>},
        {"callable", alone<is_callable>},
        {"defined", alone<is_defined>},
        {"divisibleby", divisible_by},
        {"eq", with_other<operation::equal>},
        {"equalto", with_other<operation::equal>},
        {"escaped", alone<is_escaped>},
        {"even", alone<is_even>},
        {"false", alone<is_false>},
        {"filter", alone<names_filter>},
        {"float", alone<is_float>},
        {"ge", with_other<operation::greater_equal>},
        {"greaterthan", with_other<operation::greater>},
        {"gt", with_other<operation::greater>},
        {"in", in},
        {"integer", alone<is_integer>},
        {"iterable", alone<is_iterable>},
        {"le", with_other<operation::less_equal>},
        {"lessthan", with_other<operation::less>},
        {"lower", alone<is_lower_text>},
        {"lt", with_other<operation::less>},
        {"mapping", alone<is_mapping>},
        {"ne", with_other<operation::unequal>},
        {"none", alone<is_none>},
        {"number", alone<is_number>},
        {"odd", alone<is_odd>},
        {"sameas", same_as},
        {"sequence", alone<is_sequence>},
        {"string", alone<is_string>},
        {"test", alone<names_test>},
        {"true", alone<is_true>},
        {"undefined", alone<is_undefined>},
        {"upper", alone<is_upper_text>},
    });
    return detail::look_up(table, name);
}

LLAMAVISION_INLINE global_function find_global(std::string_view name) {
    static constexpr auto table = std::to_array<detail::named<global_function>>({
        {"cycler", globals::cycler},
        {"dict", globals::dict},
        {"joiner", globals::joiner},
        {"lipsum", globals::lipsum},
        {"namespace", globals::name_space},
        {"raise_exception", globals::raise_exception},
        {"range", globals::range},
        {"strftime_now", globals::strftime_now},
    });
    return detail::look_up(table, name);
}

LLAMAVISION_INLINE bool is_jinja_filter(std::string_view name) {
    static constexpr std::string_view others[] = {"attr",      "center", "filesizeformat", "forceescape", "groupby",
                                                  "pprint",    "random", "slice",          "striptags",   "truncate",
                                                  "urlencode", "urlize", "wordwrap",       "xmlattr"};
    return find_filter(name) || std::find(std::begin(others), std::end(others), name) != std::end(others);
}

LLAMAVISION_INLINE bool is_jinja_test(std::string_view name) { return find_test(name) != nullptr; }

} // namespace llamavision::tokens::jinja
