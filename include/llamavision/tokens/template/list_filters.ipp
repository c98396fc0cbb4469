// SPDX-License-Identifier: Apache-2.0
// Filters over many values. Those that are generators in jinja2 are iterators here: nothing is done, and nothing fails,
// before somebody asks for a value. Source: jinja2 3.1.6, filters.py.
#pragma once

#include <algorithm>
#include <charconv>
#include <llamavision/support/quoted.hpp>
#include <llamavision/tokens/template/letter_case.hpp>
#include <llamavision/tokens/template/machine.hpp>
#include <llamavision/tokens/template/text_methods.hpp>

namespace llamavision::tokens::jinja::filters {

// jinja2: _prepare_attribute_parts. "a.0.b" is three steps, the second by index.
inline values steps_of(machine& m, value const& path) {
    if (path.is_missing() || path.is(kind::none)) return {};
    if (!path.is(kind::text)) return {path};
    values steps;
    auto const& text = path.as<text_object>().text;
    for (std::size_t begin = 0; begin <= text.size();) {
        auto const end = std::min(text.bytes().find('.', begin), text.size());
        auto const* const first = text.bytes().data() + begin;
        auto const* const last = text.bytes().data() + end;
        std::int64_t index = 0;
        bool const digits = first != last && std::all_of(first, last, [](char c) { return c >= '0' && c <= '9'; });
        if (digits && std::from_chars(first, last, index).ec != std::errc{}) m.fail("an index beyond 64 bits");
        steps.push_back(digits ? value(index) : m.text(text.slice(begin, end)));
        begin = end + 1;
    }
    return steps;
}

inline value follow(machine& m, value v, values const& steps, value const& otherwise_value = {}) {
    for (auto const& step : steps) {
        v = item(m, v, step);
        if (v.is(kind::undefined) && !otherwise_value.is_missing()) v = otherwise_value;
    }
    return v;
}

inline value ignoring_case(machine& m, value const& v) {
    return v.is(kind::text) ? m.text(in_case(v.as<text_object>().text, letter_case::lower)) : v;
}

// What sort, unique, min and max compare of a value.
struct sort_key {
    std::vector<values> paths;
    bool case_sensitive = false;

    value of(machine& m, value const& v) const {
        values keys;
        for (auto const& steps : paths) {
            auto key = follow(m, v, steps);
            keys.push_back(case_sensitive ? std::move(key) : ignoring_case(m, key));
        }
        return keys.size() == 1 ? keys.front() : m.list(std::move(keys));
    }
};

inline sort_key key_of(machine& m, value const& path, value const& case_sensitive, bool several) {
    sort_key key;
    key.case_sensitive = !case_sensitive.is_missing() && truth(m, case_sensitive);
    if (!several || !path.is(kind::text)) {
        key.paths.push_back(steps_of(m, path));
        return key;
    }
    auto const& text = path.as<text_object>().text;
    for (std::size_t begin = 0; begin <= text.size();) {
        auto const end = std::min(text.bytes().find(',', begin), text.size());
        key.paths.push_back(steps_of(m, m.text(text.slice(begin, end))));
        begin = end + 1;
    }
    return key;
}

// A stable sort by keys; `reverse` keeps the order of equal ones, as Python's does.
inline values sorted(machine& m, values const& items, values const& keys, bool reverse) {
    std::vector<std::size_t> order(items.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
        if (reverse) std::swap(a, b);
        return !equal(m, keys[a], keys[b]) && less(m, keys[a], keys[b]);
    });
    values made;
    for (auto const i : order) made.push_back(items[i]);
    return made;
}

inline value sort(machine& m, value const& v, arguments& given) {
    bound const p(m, "sort", given, {"reverse", "case_sensitive", "attribute"});
    auto const items = drained(m, v);
    auto const key = key_of(m, p[2], p[1], true);
    values keys;
    for (auto const& each : items) keys.push_back(key.of(m, each));
    return m.list(sorted(m, items, keys, p.has(0) && truth(m, p[0])));
}

inline value dictsort(machine& m, value const& v, arguments& given) {
    bound const p(m, "dictsort", given, {"case_sensitive", "by", "reverse"});
    if (!v.is(kind::dict)) m.fail("dictsort of '" + std::string(type_name(v)) + "'");
    auto const by = p.has(1) ? text_of(m, p[1], "what is sorted by").bytes() : "key";
    if (by != "key" && by != "value") m.fail("dictsort sorts by \"key\" or by \"value\"");
    bool const sensitive = p.has(0) && truth(m, p[0]);
    values items, keys;
    for (auto const& [key, mapped] : v.as<dict_object>().entries) {
        items.push_back(m.tuple({key, mapped}));
        auto const& compared = by == "key" ? key : mapped;
        keys.push_back(sensitive ? compared : ignoring_case(m, compared));
    }
    return m.list(sorted(m, items, keys, p.has(2) && truth(m, p[2])));
}

inline value least_or_most(machine& m, char const* name, value const& v, arguments& given, bool most) {
    bound const p(m, name, given, {"case_sensitive", "attribute"});
    auto const items = drained(m, v);
    if (items.empty()) return m.undefined("no item: the sequence was empty");
    auto const key = key_of(m, p[1], p[0], false);
    std::size_t best = 0;
    auto best_key = key.of(m, items[0]);
    for (std::size_t i = 1; i < items.size(); ++i) {
        auto k = key.of(m, items[i]);
        if (!(most ? less(m, best_key, k, ">") : less(m, k, best_key))) continue;
        best = i;
        best_key = std::move(k);
    }
    return items[best];
}

inline value min(machine& m, value const& v, arguments& given) { return least_or_most(m, "min", v, given, false); }
inline value max(machine& m, value const& v, arguments& given) { return least_or_most(m, "max", v, given, true); }

inline value sum(machine& m, value const& v, arguments& given) {
    bound const p(m, "sum", given, {"attribute", "start"});
    auto total = p.has(1) ? p[1] : value(std::int64_t{0});
    if (total.is(kind::text)) m.fail("sum of strings");
    auto const steps = steps_of(m, p[0]);
    for (auto const& each : drained(m, v)) total = binary(m, operation::add, total, follow(m, each, steps));
    return total;
}

inline value join(machine& m, value const& v, arguments& given) {
    bound const p(m, "join", given, {"d", "attribute"});
    auto const separator = p.has(0) ? str(m, p[0]) : marked_text();
    if (!p.has(1) || p[1].is(kind::none)) return m.text(joined(m, separator, v, false));
    auto const steps = steps_of(m, p[1]);
    values items;
    for (auto const& each : drained(m, v)) items.push_back(follow(m, each, steps));
    return m.text(joined(m, separator, m.list(std::move(items)), false));
}

inline value list(machine& m, value const& v, arguments& given) {
    bound const none(m, "list", given, {});
    return m.list(drained(m, v));
}

inline value first(machine& m, value const& v, arguments& given) {
    bound const none(m, "first", given, {});
    value made;
    return m.pull(*iterate(m, v), made) ? made : m.undefined("no first item: the sequence was empty");
}

// The values of what Python's reversed() takes, back to front.
inline std::optional<values> reversed(machine& m, value const& v) {
    if (v.is(kind::undefined)) return values{};
    if (!length_of(v)) return std::nullopt;
    auto items = drained(m, v);
    std::reverse(items.begin(), items.end());
    return items;
}

inline value last(machine& m, value const& v, arguments& given) {
    bound const none(m, "last", given, {});
    auto const items = reversed(m, v);
    if (!items) m.fail("'" + std::string(type_name(v)) + "' object is not reversible");
    return items->empty() ? m.undefined("no last item: the sequence was empty") : items->front();
}

inline value reverse(machine& m, value const& v, arguments& given) {
    bound const none(m, "reverse", given, {});
    if (v.is(kind::text)) return sliced(m, v, value(nullptr), value(nullptr), value(std::int64_t{-1}));
    if (auto items = reversed(m, v)) return {kind::iterator, iterator_of(m, std::move(*items))};
    auto items = drained(m, v);
    std::reverse(items.begin(), items.end());
    return m.list(std::move(items));
}

// A generator: its source is opened when it is first asked.
struct generator : iterator_object {
    value source;
    arguments given;
    std::shared_ptr<iterator_object> from;
    bool begun = false;

    // The next value of the source; nothing of one that is false, if that is asked.
    bool pull_source(machine& m, value& out, bool skips_false) {
        if (!std::exchange(begun, true) && (!skips_false || truth(m, source))) {
            from = iterate(m, source);
            begin(m);
        }
        return from && m.pull(*from, out);
    }
    virtual void begin(machine&) {}
};

template <class Generator>
value start(machine& m, value const& source, arguments& given) {
    auto made = m.make<Generator>((given.positional.size() + given.named.size() + 1) * sizeof(value));
    made->source = source;
    made->given = std::move(given);
    auto depth = source.depth();
    for (auto const& v : made->given.positional) depth = std::max(depth, v.depth());
    for (auto const& [name, v] : made->given.named) depth = std::max(depth, v.depth());
    m.check_depth(*made, depth + 1);
    return {kind::iterator, std::move(made)};
}

// The filter or test that a value names.
inline filter_function named_function(machine& m, value const& name, filter_function (*find)(std::string_view),
                                      char const* what) {
    auto const found = name.is(kind::text) ? find(name.as<text_object>().text.bytes()) : nullptr;
    if (!found) m.fail(std::string("no ") + what + " of that name is interpreted");
    return found;
}

struct mapped : generator {
    values steps;
    value otherwise_value;
    filter_function function = nullptr;

    void begin(machine& m) override {
        if (given.positional.empty() && !given.named.empty()) {
            bound const p(m, "map", given, {"attribute", "default"}, 1);
            steps = steps_of(m, p[0]);
            if (!p[1].is(kind::none)) otherwise_value = p[1];
            return;
        }
        if (given.positional.empty()) m.fail("map lacks the name of a filter");
        function = named_function(m, given.positional[0], find_filter, "filter");
        given.positional.erase(given.positional.begin());
    }
    bool next(machine& m, value& out) override {
        if (!pull_source(m, out, true)) return false;
        auto arguments_of_one = given;
        out = function ? function(m, out, arguments_of_one) : follow(m, out, steps, otherwise_value);
        return true;
    }
};

template <bool accepts, bool by_attribute>
struct selected : generator {
    values steps;
    filter_function test = nullptr;

    void begin(machine& m) override {
        auto& names = given.positional;
        if (by_attribute) {
            if (names.empty()) m.fail("the name of an attribute is missing");
            steps = steps_of(m, names[0]);
            names.erase(names.begin());
        }
        if (names.empty()) return;
        test = named_function(m, names[0], find_test, "test");
        names.erase(names.begin());
    }
    bool next(machine& m, value& out) override {
        while (pull_source(m, out, true)) {
            auto const looked_at = follow(m, out, steps);
            auto arguments_of_one = given;
            if (truth(m, test ? test(m, looked_at, arguments_of_one) : looked_at) == accepts) return true;
        }
        return false;
    }
};

struct unique_items : generator {
    sort_key key;
    values seen;
    void begin(machine& m) override {
        bound const p(m, "unique", given, {"case_sensitive", "attribute"});
        key = key_of(m, p[1], p[0], false);
    }
    bool next(machine& m, value& out) override {
        while (pull_source(m, out, false)) {
            auto k = key.of(m, out);
            if (!is_hashable(k)) m.fail("unique of '" + std::string(type_name(k)) + "'");
            if (std::any_of(seen.begin(), seen.end(), [&](value const& s) { return equal(m, s, k); })) continue;
            m.count(*this, sizeof(value));
            seen.push_back(std::move(k));
            return true;
        }
        return false;
    }
};

struct batched : generator {
    std::int64_t size = 0;
    value fill;
    value ahead;
    void begin(machine& m) override {
        bound const p(m, "batch", given, {"linecount", "fill_with"}, 1);
        size = integer_of(m, p[0], "the size of a batch");
        if (!p[1].is(kind::none)) fill = p[1];
    }
    // A batch is given away when the value after it comes.
    bool next(machine& m, value& out) override {
        values items;
        value each;
        if (!ahead.is_missing()) items.push_back(std::exchange(ahead, value()));
        while (pull_source(m, each, false)) {
            if (size < 1) m.fail("batches of less than one value are not interpreted");
            if (items.size() == static_cast<std::size_t>(size)) {
                ahead = each;
                out = m.list(std::move(items));
                return true;
            }
            items.push_back(each);
        }
        if (items.empty()) return false;
        m.charge(static_cast<std::size_t>(fill.is_missing() ? 0 : size));
        if (!fill.is_missing() && size > 1'000'000) m.fail("batches of more than a million values");
        if (!fill.is_missing()) items.resize(static_cast<std::size_t>(size), fill);
        out = m.list(std::move(items));
        return true;
    }
};

struct dict_items : generator {
    bool next(machine& m, value& out) override {
        if (!std::exchange(begun, true)) {
            bound const none(m, "items", given, {});
            if (source.is(kind::undefined)) return false;
            if (!source.is(kind::dict))
                m.fail("items of '" + std::string(type_name(source)) + "', which is no mapping");
            from = iterate(m, attribute_items(m));
        }
        return from && m.pull(*from, out);
    }
    value attribute_items(machine& m) const {
        auto view = m.make<view_object>();
        view->dict = source;
        view->shown = view_object::part::item;
        return {kind::view, std::move(view)};
    }
};

} // namespace llamavision::tokens::jinja::filters
