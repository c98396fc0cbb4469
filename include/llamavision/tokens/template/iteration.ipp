// SPDX-License-Identifier: Apache-2.0
// Walking over values: Python's iter(), len() and what `loop` knows.
#pragma once

#include <algorithm>
#include <llamavision/tokens/template/machine.hpp>

namespace llamavision::tokens::jinja {

namespace detail {

struct values_iterator : iterator_object { // over a list, a tuple, or values of its own
    value source;
    values own;
    std::size_t at = 0;
    bool next(machine&, value& out) override {
        auto const& items = source.is_missing() ? own : source.as<sequence_object>().items;
        if (at >= items.size()) return false;
        out = items[at++];
        return true;
    }
};

struct characters_iterator : iterator_object {
    value source;
    std::size_t at = 0;
    bool next(machine& m, value& out) override {
        auto const& text = source.as<text_object>().text;
        if (at >= text.size()) return false;
        auto const end = at + next_character(text.bytes(), at).length;
        out = m.text(text.slice(std::exchange(at, end), end));
        return true;
    }
};

struct entries_iterator : iterator_object { // over a dict or a view of one
    value dict;
    view_object::part shown = view_object::part::key;
    std::size_t at = 0;
    bool next(machine& m, value& out) override {
        auto const& entries = dict.as<dict_object>().entries;
        if (at >= entries.size()) return false;
        auto const& [key, mapped] = entries[at++];
        out = shown == view_object::part::key      ? key
              : shown == view_object::part::mapped ? mapped
                                                   : m.tuple({key, mapped});
        return true;
    }
};

struct range_iterator : iterator_object {
    value range;
    std::size_t at = 0;
    bool next(machine&, value& out) override {
        auto const& r = range.as<range_object>();
        if (at >= r.length) return false;
        out = value(r.at(at++));
        return true;
    }
};

// Lets one iterator be walked under a second name, as iter() of an iterator is itself.
struct same_iterator : iterator_object {
    value source;
    bool next(machine& m, value& out) override { return m.pull(source.as<iterator_object>(), out); }
};

} // namespace detail

LLAMAVISION_INLINE std::shared_ptr<iterator_object> iterator_of(machine& m, values items) {
    auto made = m.make<detail::values_iterator>(items.size() * sizeof(value));
    std::uint32_t depth = 0;
    for (auto const& v : items) depth = std::max(depth, v.depth());
    made->own = std::move(items);
    m.check_depth(*made, depth + 1);
    return made;
}

LLAMAVISION_INLINE std::shared_ptr<iterator_object> iterate(machine& m, value const& v) {
    switch (v.what()) {
    case kind::undefined: return iterator_of(m, {});
    case kind::list:
    case kind::tuple: {
        auto made = m.make<detail::values_iterator>();
        made->source = v;
        return made;
    }
    case kind::text: {
        auto made = m.make<detail::characters_iterator>();
        made->source = v;
        return made;
    }
    case kind::dict:
    case kind::view: {
        auto made = m.make<detail::entries_iterator>();
        made->dict = v.is(kind::dict) ? v : v.as<view_object>().dict;
        if (v.is(kind::view)) made->shown = v.as<view_object>().shown;
        return made;
    }
    case kind::range: {
        auto made = m.make<detail::range_iterator>();
        made->range = v;
        return made;
    }
    case kind::iterator: {
        auto made = m.make<detail::same_iterator>();
        made->source = v;
        m.check_depth(*made, v.depth() + 1);
        return made;
    }
    case kind::loop: m.fail("iterating over \"loop\" itself is not interpreted");
    default: m.fail("'" + std::string(type_name(v)) + "' object is not iterable");
    }
}

LLAMAVISION_INLINE values drained(machine& m, value const& v) {
    values items;
    auto const from = iterate(m, v);
    value each;
    while (m.pull(*from, each)) {
        items.push_back(each);
        if (items.size() > m.counted().limits.memory / sizeof(value)) m.fail("more values than the limit of memory");
    }
    return items;
}

LLAMAVISION_INLINE std::optional<std::size_t> length_of(value const& v) {
    switch (v.what()) {
    case kind::undefined: return 0;
    case kind::text: return v.as<text_object>().characters;
    case kind::list:
    case kind::tuple: return v.as<sequence_object>().items.size();
    case kind::dict: return v.as<dict_object>().entries.size();
    case kind::view: return v.as<view_object>().dict.as<dict_object>().entries.size();
    case kind::range: return v.as<range_object>().length;
    default: return std::nullopt;
    }
}

// Source: jinja2 3.1.6, runtime.py, LoopContext.length: what has no length is walked to its end.
LLAMAVISION_INLINE std::size_t loop_length(machine& m, loop_object& loop) {
    if (loop.length < 0) {
        if (auto const known = length_of(loop.iterable); known && !loop.iterable.is_missing()) {
            loop.length = static_cast<std::int64_t>(*known);
        } else {
            values rest;
            value each;
            while (m.pull(*loop.items, each)) rest.push_back(each);
            auto const ahead = static_cast<std::int64_t>(rest.size()) + (loop.after.is_missing() ? 0 : 1);
            loop.items = iterator_of(m, std::move(rest));
            loop.length = ahead + loop.index0 + 1;
        }
    }
    return static_cast<std::size_t>(loop.length);
}

LLAMAVISION_INLINE value loop_attribute(machine& m, loop_object& loop, std::string_view name, bool& known) {
    auto const peek = [&] {
        if (loop.after.is_missing() && !m.pull(*loop.items, loop.after)) loop.after = value();
        return !loop.after.is_missing();
    };
    known = true;
    if (name == "index") return value(loop.index0 + 1);
    if (name == "index0") return value(loop.index0);
    if (name == "first") return value(loop.index0 == 0);
    if (name == "last") return value(!peek());
    if (name == "length") return value(static_cast<std::int64_t>(loop_length(m, loop)));
    if (name == "revindex") return value(static_cast<std::int64_t>(loop_length(m, loop)) - loop.index0);
    if (name == "revindex0") return value(static_cast<std::int64_t>(loop_length(m, loop)) - loop.index0 - 1);
    if (name == "depth") return value(loop.depth0 + 1);
    if (name == "depth0") return value(loop.depth0);
    if (name == "previtem") return loop.index0 == 0 ? m.undefined("there is no previous item") : loop.before;
    if (name == "nextitem") return peek() ? loop.after : m.undefined("there is no next item");
    known = false;
    return {};
}

} // namespace llamavision::tokens::jinja
