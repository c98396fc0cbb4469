// SPDX-License-Identifier: Apache-2.0
// x.name, x[key], x[start:stop:step], and the methods of dicts and lists. As in jinja2's sandbox, `.` asks for an
// attribute first and `[]` for an item first, each then for the other.
#pragma once

#include <algorithm>
#include <array>
#include <llamavision/support/quoted.hpp>
#include <llamavision/tokens/template/machine.hpp>

namespace llamavision::tokens::jinja {

namespace detail {

enum class access : std::uint8_t { none, method, forbidden, missing_here };

template <std::size_t N>
bool among(std::array<std::string_view, N> const& names, std::string_view name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

// What Python's types have under a name. Forbidden is what the sandbox refuses, since it would change the value.
inline access method_of(kind what, std::string_view name) {
    static constexpr std::array<std::string_view, 30> text{
        "strip",   "lstrip",  "rstrip",     "split",      "rsplit",       "startswith",   "endswith",  "upper",
        "lower",   "title",   "capitalize", "swapcase",   "replace",      "join",         "find",      "rfind",
        "index",   "rindex",  "count",      "splitlines", "removeprefix", "removesuffix", "partition", "rpartition",
        "isdigit", "isalpha", "isalnum",    "isspace",    "islower",      "isupper"};
    static constexpr std::array<std::string_view, 6> more_text{"zfill",  "ljust",     "rjust",
                                                               "center", "isdecimal", "isascii"};
    static constexpr std::array<std::string_view, 11> no_text{"casefold",   "encode",       "expandtabs", "format",
                                                              "format_map", "isidentifier", "isnumeric",  "isprintable",
                                                              "istitle",    "maketrans",    "translate"};
    static constexpr std::array<std::string_view, 5> dict{"get", "items", "keys", "values", "copy"};
    static constexpr std::array<std::string_view, 5> dict_changes{"clear", "pop", "popitem", "setdefault", "update"};
    static constexpr std::array<std::string_view, 3> list{"index", "count", "copy"};
    static constexpr std::array<std::string_view, 8> list_changes{"append", "clear", "pop",    "reverse",
                                                                  "insert", "sort",  "extend", "remove"};
    static constexpr std::array<std::string_view, 8> integer{"as_integer_ratio", "bit_count", "bit_length", "conjugate",
                                                             "denominator",      "imag",      "numerator",  "real"};
    static constexpr std::array<std::string_view, 3> more_integer{"to_bytes", "from_bytes", "is_integer"};
    static constexpr std::array<std::string_view, 7> real{"as_integer_ratio", "conjugate", "fromhex", "hex", "imag",
                                                          "is_integer",       "real"};
    static constexpr std::array<std::string_view, 5> range{"count", "index", "start", "step", "stop"};
    switch (what) {
    case kind::text:
        if (among(text, name) || among(more_text, name)) return access::method;
        return among(no_text, name) ? access::missing_here : access::none;
    case kind::dict:
        if (among(dict, name)) return access::method;
        if (name == "fromkeys") return access::missing_here;
        return among(dict_changes, name) ? access::forbidden : access::none;
    case kind::list:
        if (among(list, name)) return access::method;
        return among(list_changes, name) ? access::forbidden : access::none;
    case kind::tuple: return name == "index" || name == "count" ? access::method : access::none;
    case kind::boolean:
    case kind::integer: return among(integer, name) || among(more_integer, name) ? access::missing_here : access::none;
    case kind::real: return among(real, name) ? access::missing_here : access::none;
    case kind::range: return among(range, name) ? access::missing_here : access::none;
    case kind::view: return name == "mapping" || name == "isdisjoint" ? access::missing_here : access::none;
    case kind::cycler: return name == "next" || name == "reset" ? access::method : access::none;
    case kind::loop: return name == "cycle" || name == "changed" ? access::method : access::none;
    default: return access::none;
    }
}

inline value no_attribute(machine& m, value const& self, std::string_view name) {
    return m.undefined("'" + std::string(type_name(self)) + " object' has no attribute " + in_quotes(name));
}

inline value macro_attribute(machine& m, macro_object const& macro, std::string_view name) {
    auto const& body = *macro.body;
    if (name == "name") return m.text(body.name);
    if (name == "catch_kwargs") return value(body.takes_keywords);
    if (name == "catch_varargs") return value(body.takes_rest);
    if (name == "caller") return value(body.takes_caller);
    if (name == "explicit_caller") return value(false);
    if (name != "arguments") return {};
    values names;
    for (auto const& parameter : body.parameters) names.push_back(m.text(parameter));
    return m.tuple(std::move(names));
}

} // namespace detail

LLAMAVISION_INLINE value attribute(machine& m, value const& self, std::string_view name) {
    bool const hidden = name.starts_with('_'); // the sandbox shows no attribute of such a name, but items
    if (self.is(kind::undefined)) m.fail(self.as<undefined_object>().hint);
    if (self.is(kind::function) || self.is(kind::joiner))
        m.fail("attributes of a " + std::string(type_name(self)) + " are not interpreted");
    if (self.is(kind::name_space) && !hidden)
        for (auto const& [known, v] : self.as<name_space_object>().members)
            if (known == name) return v;
    if (self.is(kind::loop)) {
        bool known = false;
        auto v = loop_attribute(m, self.as<loop_object>(), name, known);
        if (known) return v;
    }
    if (self.is(kind::macro))
        if (auto v = detail::macro_attribute(m, self.as<macro_object>(), name); !v.is_missing()) return v;
    if (self.is(kind::cycler)) {
        auto const& cycler = self.as<cycler_object>();
        if (name == "current") return cycler.items[cycler.at];
        if (name == "pos") return value(static_cast<std::int64_t>(cycler.at));
        if (name == "items") return m.tuple(cycler.items);
    }
    switch (detail::method_of(self.what(), name)) {
    case detail::access::method: {
        auto made = m.make<method_object>(name.size());
        made->self = self;
        made->name = std::string(name);
        return {kind::method, std::move(made)};
    }
    case detail::access::forbidden:
        return m.undefined("the sandbox forbids " + std::string(type_name(self)) + "." + std::string(name)
                           + ", which would change the value");
    case detail::access::missing_here:
        m.fail(std::string(type_name(self)) + "." + std::string(name) + " is not interpreted");
    case detail::access::none: break;
    }
    if (self.is(kind::dict))
        if (auto const* const found = find_entry(self.as<dict_object>(), name)) return *found;
    return detail::no_attribute(m, self, name);
}

namespace detail {

// The offset that an index of Python's means, or nothing: -1 is the last one.
inline std::optional<std::size_t> offset_of(std::int64_t index, std::size_t length) {
    auto const size = static_cast<std::int64_t>(length);
    if (index < -size || index >= size) return std::nullopt;
    return static_cast<std::size_t>(index < 0 ? index + size : index);
}

inline value character(machine& m, text_object const& self, std::size_t index) {
    m.charge(self.text.size() / 16);
    auto const begin = byte_of_character(self.text.bytes(), index);
    return m.text(self.text.slice(begin, begin + next_character(self.text.bytes(), begin).length), self.markup);
}

} // namespace detail

LLAMAVISION_INLINE value item(machine& m, value const& self, value const& key) {
    auto const length = length_of(self);
    switch (self.what()) {
    case kind::function: return attribute(m, self, {}); // Python's dict["x"] is a type
    case kind::undefined: m.fail(self.as<undefined_object>().hint);
    case kind::dict:
        if (!is_hashable(key)) break;
        if (auto const* const found = find_entry(m, self.as<dict_object>(), key)) return *found;
        break;
    case kind::list:
    case kind::tuple:
    case kind::text:
    case kind::range: {
        if (!key.is_integral()) break;
        auto const offset = detail::offset_of(key.integer(), *length);
        if (!offset) break;
        if (self.is(kind::text)) return detail::character(m, self.as<text_object>(), *offset);
        if (self.is(kind::range)) return value(self.as<range_object>().at(*offset));
        return self.as<sequence_object>().items[*offset];
    }
    default: break;
    }
    if (key.is(kind::text)) return attribute(m, self, key.as<text_object>().text.bytes());
    return m.undefined("'" + std::string(type_name(self)) + " object' has no such element");
}

// Source: CPython, sliceobject.c, PySlice_AdjustIndices.
LLAMAVISION_INLINE value sliced(machine& m, value const& self, value const& start, value const& stop,
                                value const& step) {
    if (self.is(kind::undefined)) m.fail(self.as<undefined_object>().hint);
    bool const possible = self.is(kind::list) || self.is(kind::tuple) || self.is(kind::text) || self.is(kind::range);
    if (!possible) m.fail("'" + std::string(type_name(self)) + "' object cannot be sliced");
    auto const by = step.is(kind::none) ? 1 : integer_of(m, step, "the step of a slice");
    if (by == 0) m.fail("the step of a slice is zero");
    auto const length = static_cast<std::int64_t>(*length_of(self));
    auto const bound_at = [&](value const& v, std::int64_t otherwise) {
        if (v.is(kind::none)) return otherwise;
        auto at = integer_of(m, v, "a bound of a slice");
        if (at < 0) at = at < -length ? (by < 0 ? -1 : 0) : at + length;
        return std::min(at, by < 0 ? length - 1 : length);
    };
    auto const first = bound_at(start, by < 0 ? length - 1 : 0);
    auto const last = bound_at(stop, by < 0 ? -1 : length);
    auto const distance = by < 0 ? first - last : last - first;
    auto const stride = by < 0 ? std::uint64_t{0} - static_cast<std::uint64_t>(by) : static_cast<std::uint64_t>(by);
    auto const count = distance <= 0
                           ? std::size_t{0}
                           : static_cast<std::size_t>((static_cast<std::uint64_t>(distance) - 1) / stride + 1);
    auto const index = [&](std::size_t i) { // a product beyond 64 bits is one of no element
        return static_cast<std::size_t>(first + static_cast<std::int64_t>(i) * by);
    };
    m.charge(count);
    if (self.is(kind::range)) {
        auto const& r = self.as<range_object>();
        auto made = m.make<range_object>();
        made->length = count;
        made->start = r.start + first * r.step; // in bounds: range() takes small numbers alone
        made->stop = r.start + last * r.step;
        made->step = count > 1 ? r.step * by : r.step;
        return {kind::range, std::move(made)};
    }
    if (!self.is(kind::text)) {
        auto const& items = self.as<sequence_object>().items;
        values made;
        made.reserve(count);
        for (std::size_t i = 0; i < count; ++i) made.push_back(items[index(i)]);
        return self.is(kind::list) ? m.list(std::move(made)) : m.tuple(std::move(made));
    }
    auto const& text = self.as<text_object>();
    m.charge(text.text.size() / 16);
    if (by == 1) {
        auto const begin = byte_of_character(text.text.bytes(), static_cast<std::size_t>(first));
        auto const rest = std::string_view(text.text.bytes()).substr(begin);
        return m.text(text.text.slice(begin, begin + byte_of_character(rest, count)), text.markup);
    }
    std::vector<std::size_t> begins; // of every character, and the end
    for (std::size_t at = 0; at < text.text.size(); at += next_character(text.text.bytes(), at).length)
        begins.push_back(at);
    begins.push_back(text.text.size());
    marked_text made;
    for (std::size_t i = 0; i < count; ++i) made.append(text.text, begins[index(i)], begins[index(i) + 1]);
    return m.text(std::move(made), text.markup);
}

LLAMAVISION_INLINE bool is_hashable(value const& key) {
    if (key.is(kind::list) || key.is(kind::dict) || key.is(kind::view)) return false;
    if (!key.is(kind::tuple)) return true;
    auto const& items = key.as<sequence_object>().items;
    return std::all_of(items.begin(), items.end(), is_hashable);
}

LLAMAVISION_INLINE value const* find_entry(machine& m, dict_object const& d, value const& key) {
    if (!is_hashable(key)) m.fail("a key of a dict is '" + std::string(type_name(key)) + "'");
    m.charge(d.entries.size());
    if (key.is(kind::text)) return find_entry(d, key.as<text_object>().text.bytes());
    for (auto const& [known, v] : d.entries)
        if (equal(m, known, key)) return &v;
    return nullptr;
}

LLAMAVISION_INLINE value const* find_entry(dict_object const& d, std::string_view key) {
    for (auto const& [known, v] : d.entries)
        if (known.is(kind::text) && known.as<text_object>().text.bytes() == key) return &v;
    return nullptr;
}

LLAMAVISION_INLINE void put_entry(machine& m, std::vector<std::pair<value, value>>& entries, value key, value v) {
    if (!is_hashable(key)) m.fail("a key of a dict is '" + std::string(type_name(key)) + "'");
    m.charge(entries.size());
    for (auto& [known, old] : entries)
        if (equal(m, known, key)) {
            old = std::move(v);
            return;
        }
    entries.emplace_back(std::move(key), std::move(v));
}

namespace detail {

inline value view_of(machine& m, value const& dict, view_object::part shown) {
    auto made = m.make<view_object>();
    made->dict = dict;
    made->shown = shown;
    made->depth = dict.depth();
    return {kind::view, std::move(made)};
}

inline value call_dict_method(machine& m, value const& self, std::string_view name, arguments& given) {
    if (name == "get") {
        if (!given.named.empty()) m.fail("dict.get takes no named arguments");
        bound const p(m, "dict.get", given, {"key", "default"}, 1);
        if (auto const* const found = find_entry(m, self.as<dict_object>(), p[0])) return *found;
        return p.has(1) ? p[1] : value(nullptr);
    }
    bound const none(m, "dict." + std::string(name), given, {});
    if (name == "items") return view_of(m, self, view_object::part::item);
    if (name == "keys") return view_of(m, self, view_object::part::key);
    if (name == "values") return view_of(m, self, view_object::part::mapped);
    return self; // copy: nothing could change either
}

inline value call_list_method(machine& m, value const& self, std::string_view name, arguments& given) {
    auto const& items = self.as<sequence_object>().items;
    if (name == "copy") {
        bound const none(m, "list.copy", given, {});
        return self;
    }
    bound const p(m, "list." + std::string(name), given, {"value"}, 1);
    std::int64_t count = 0;
    for (std::size_t i = 0; i < items.size(); ++i)
        if (equal(m, items[i], p[0])) {
            if (name == "index") return value(static_cast<std::int64_t>(i));
            ++count;
        }
    if (name == "index") m.fail("the value is not in the list");
    return value(count);
}

inline value call_loop_method(machine& m, loop_object& loop, std::string_view name, arguments& given) {
    if (!given.named.empty()) m.fail("loop." + std::string(name) + " takes no named arguments");
    if (name == "cycle") {
        if (given.positional.empty()) m.fail("loop.cycle lacks its items");
        return given.positional[static_cast<std::size_t>(loop.index0) % given.positional.size()];
    }
    bool const same = loop.asked && loop.changed.size() == given.positional.size()
                      && std::equal(loop.changed.begin(), loop.changed.end(), given.positional.begin(),
                                    [&](value const& a, value const& b) { return equal(m, a, b); });
    loop.asked = true;
    if (!same) loop.changed = given.positional;
    return value(!same);
}

} // namespace detail

LLAMAVISION_INLINE value call_method(machine& m, method_object const& method, arguments& given) {
    auto const& self = method.self;
    switch (self.what()) {
    case kind::text: return call_text_method(m, self, method.name, given);
    case kind::dict: return detail::call_dict_method(m, self, method.name, given);
    case kind::loop: return detail::call_loop_method(m, self.as<loop_object>(), method.name, given);
    case kind::cycler: {
        auto& cycler = self.as<cycler_object>();
        bound const none(m, "cycler." + method.name, given, {});
        if (method.name == "reset") {
            cycler.at = 0;
            return value(nullptr);
        }
        auto const at = std::exchange(cycler.at, (cycler.at + 1) % cycler.items.size());
        return cycler.items[at];
    }
    default: return detail::call_list_method(m, self, method.name, given);
    }
}

} // namespace llamavision::tokens::jinja
