// SPDX-License-Identifier: Apache-2.0
// The methods of Python's str. Each builds its result from slices of its inputs, which carry the marks of what a user
// wrote.
#pragma once

#include <algorithm>
#include <llamavision/tokens/template/letter_case.hpp>
#include <llamavision/tokens/template/machine.hpp>
#include <llamavision/tokens/template/text_methods.hpp>

namespace llamavision::tokens::jinja {

LLAMAVISION_INLINE marked_text stripped(marked_text const& text, value const& characters, bool left, bool right,
                                        machine& m) {
    std::u32string set;
    bool const spaces = characters.is_missing() || characters.is(kind::none);
    if (!spaces) {
        std::string_view const given = text_of(m, characters, "the characters to strip").bytes();
        for (std::size_t at = 0; at < given.size();) {
            auto const step = next_character(given, at);
            set += step.code;
            at += step.length;
        }
    }
    std::string_view const bytes = text.bytes();
    auto const goes = [&](std::size_t at) {
        auto const code = next_character(bytes, at).code;
        m.charge(set.size() / 16);
        return spaces ? is_space(code) : set.find(code) != std::u32string::npos;
    };
    std::size_t begin = 0, end = bytes.size();
    while (left && begin < end && goes(begin)) begin += next_character(bytes, begin).length;
    while (right && end > begin) {
        auto const last = character_before(bytes, end);
        if (!goes(last)) break;
        end = last;
    }
    return text.slice(begin, end);
}

LLAMAVISION_INLINE marked_text replaced(machine& m, marked_text const& text, marked_text const& old,
                                        marked_text const& made_of_it, std::int64_t count) {
    marked_text made;
    std::string_view const bytes = text.bytes();
    auto const check = [&] {
        m.charge((old.size() + made_of_it.size()) / 16 + 1);
        if (made.footprint() > m.counted().limits.memory) m.fail("text of more than the limit of memory");
    };
    m.charge(bytes.size() / 16);
    std::size_t at = 0;
    while (count != 0) {
        auto const found = bytes.find(old.bytes(), at);
        if (found == std::string_view::npos) break;
        made.append(text, at, found);
        made.append(made_of_it);
        check();
        at = found + old.size();
        --count;
        if (!old.empty()) continue;
        if (at >= bytes.size()) return made; // nothing is found before every character, and once at the end
        auto const next = at + next_character(bytes, at).length;
        made.append(text, at, next);
        at = next;
    }
    made.append(text, at, bytes.size());
    return made;
}

namespace detail {

inline values split_at_spaces(machine& m, text_object const& self, std::int64_t most, bool from_right) {
    std::vector<text_range> words;
    std::string_view const bytes = self.text.bytes();
    if (from_right) {
        auto end = without_space_behind(bytes);
        for (; end > 0 && most != 0; --most) {
            auto begin = end;
            while (begin > 0) {
                auto const last = character_before(bytes, begin);
                if (is_space(next_character(bytes, last).code)) break;
                begin = last;
            }
            words.push_back({begin, end});
            end = without_space_behind(bytes.substr(0, begin));
        }
        if (end > 0) words.push_back({0, end}); // what is left keeps its white space on the other side
        std::reverse(words.begin(), words.end());
    } else {
        auto begin = skip_space(bytes, 0);
        for (; begin < bytes.size() && most != 0; --most) {
            auto end = begin;
            while (end < bytes.size()) {
                auto const step = next_character(bytes, end);
                if (is_space(step.code)) break;
                end += step.length;
            }
            words.push_back({begin, end});
            begin = skip_space(bytes, end);
        }
        if (begin < bytes.size()) words.push_back({begin, bytes.size()});
    }
    values made;
    for (auto const [begin, end] : words) made.push_back(m.text(self.text.slice(begin, end), self.markup));
    return made;
}

inline values split_at(machine& m, text_object const& self, std::string_view separator, std::int64_t most,
                       bool from_right) {
    if (separator.empty()) m.fail("an empty separator");
    std::vector<text_range> parts;
    std::string_view const bytes = self.text.bytes();
    if (from_right) {
        auto end = bytes.size();
        for (; most != 0; --most) {
            auto const found =
                end < separator.size() ? std::string_view::npos : bytes.rfind(separator, end - separator.size());
            if (found == std::string_view::npos) break;
            parts.push_back({found + separator.size(), end});
            end = found;
        }
        parts.push_back({0, end});
        std::reverse(parts.begin(), parts.end());
    } else {
        std::size_t begin = 0;
        for (; most != 0; --most) {
            auto const found = bytes.find(separator, begin);
            if (found == std::string_view::npos) break;
            parts.push_back({begin, found});
            begin = found + separator.size();
        }
        parts.push_back({begin, bytes.size()});
    }
    values made;
    for (auto const [begin, end] : parts) made.push_back(m.text(self.text.slice(begin, end), self.markup));
    return made;
}

inline value split(machine& m, text_object const& self, bool from_right, arguments& given) {
    bound const p(m, from_right ? "str.rsplit" : "str.split", given, {"sep", "maxsplit"});
    auto const most = p.has(1) ? integer_of(m, p[1], "maxsplit") : -1;
    m.charge(self.text.size() / 4);
    if (!p.has(0) || p[0].is(kind::none)) return m.list(split_at_spaces(m, self, most, from_right));
    return m.list(split_at(m, self, text_of(m, p[0], "the separator").bytes(), most, from_right));
}

inline value split_lines(machine& m, text_object const& self, arguments& given) {
    bound const p(m, "str.splitlines", given, {"keepends"});
    bool const keep = p.has(0) && truth(m, p[0]);
    m.charge(self.text.size() / 4);
    values made;
    for (std::size_t at = 0; at < self.text.size();) {
        auto const line = end_of_line(self.text.bytes(), at);
        made.push_back(m.text(self.text.slice(at, keep ? line.next : line.end), self.markup));
        at = line.next;
    }
    return m.list(std::move(made));
}

inline value partition(machine& m, text_object const& self, bool from_right, arguments& given) {
    bound const p(m, "str.partition", given, {"sep"}, 1);
    auto const& separator = text_of(m, p[0], "the separator");
    if (separator.empty()) m.fail("an empty separator");
    auto const& bytes = self.text.bytes();
    auto const found = from_right ? bytes.rfind(separator.bytes()) : bytes.find(separator.bytes());
    auto const piece = [&](std::size_t begin, std::size_t end) { return m.text(self.text.slice(begin, end)); };
    if (found == std::string::npos)
        return from_right ? m.tuple({m.text(""), m.text(""), piece(0, bytes.size())})
                          : m.tuple({piece(0, bytes.size()), m.text(""), m.text("")});
    auto const behind = found + separator.size();
    return m.tuple({piece(0, found), piece(found, behind), piece(behind, bytes.size())});
}

// The bytes between the characters that `start` and `end` mean, as in slices.
inline text_range between(machine& m, text_object const& self, value const& start, value const& end) {
    auto const length = static_cast<std::int64_t>(self.characters);
    auto const at = [&](value const& v, std::int64_t otherwise) {
        if (v.is_missing() || v.is(kind::none)) return otherwise;
        auto const index = integer_of(m, v, "a bound");
        return index < 0 ? std::max<std::int64_t>(index < -length ? 0 : index + length, 0) : index;
    };
    auto const first = at(start, 0), last = std::min(at(end, length), length);
    if (first > length || last < first) return {1, 0}; // nothing at all, not even an empty text
    return {byte_of_character(self.text.bytes(), static_cast<std::size_t>(first)),
            byte_of_character(self.text.bytes(), static_cast<std::size_t>(last))};
}

inline value search(machine& m, text_object const& self, std::string_view name, arguments& given) {
    bound const p(m, "str." + std::string(name), given, {"sub", "start", "end"}, 1);
    auto const& wanted = text_of(m, p[0], "what is searched");
    auto const range = between(m, self, p[1], p[2]);
    m.charge(self.text.size() / 4);
    bool const none = range.begin > range.end;
    auto const inside =
        none ? std::string_view{} : std::string_view(self.text.bytes()).substr(range.begin, range.end - range.begin);
    if (name == "count") {
        if (none) return value(std::int64_t{0});
        if (wanted.empty()) return value(static_cast<std::int64_t>(characters_in(inside)) + 1);
        std::int64_t count = 0;
        for (auto at = inside.find(wanted.bytes()); at != std::string_view::npos;
             at = inside.find(wanted.bytes(), at + wanted.size()))
            ++count;
        return value(count);
    }
    auto const found = none                    ? std::string_view::npos
                       : name.starts_with('r') ? inside.rfind(wanted.bytes())
                                               : inside.find(wanted.bytes());
    if (found != std::string_view::npos)
        return value(static_cast<std::int64_t>(
            characters_in(std::string_view(self.text.bytes()).substr(0, range.begin + found))));
    if (name.ends_with("index")) m.fail("the text is not found");
    return value(std::int64_t{-1});
}

inline value begins_or_ends(machine& m, text_object const& self, bool begins, arguments& given) {
    bound const p(m, begins ? "str.startswith" : "str.endswith", given, {"prefix", "start", "end"}, 1);
    auto const range = between(m, self, p[1], p[2]);
    bool const none = range.begin > range.end;
    auto const inside =
        none ? std::string_view{} : std::string_view(self.text.bytes()).substr(range.begin, range.end - range.begin);
    auto const holds = [&](value const& v) {
        std::string_view const affix = text_of(m, v, begins ? "a prefix" : "a suffix").bytes();
        return !none && (begins ? inside.starts_with(affix) : inside.ends_with(affix));
    };
    if (!p[0].is(kind::tuple)) return value(holds(p[0]));
    auto const& all = p[0].as<sequence_object>().items;
    return value(std::any_of(all.begin(), all.end(), holds));
}

template <class Test>
bool all_characters(std::string_view text, Test test) {
    for (std::size_t at = 0; at < text.size();) {
        auto const step = next_character(text, at);
        if (!test(step.code)) return false;
        at += step.length;
    }
    return !text.empty();
}

inline value question(machine& m, std::string_view text, std::string_view name) {
    auto const letter = [](char32_t c) { return classify(c) == char_class::letter; };
    auto const number = [](char32_t c) { return classify(c) == char_class::number; };
    if (name == "islower") return value(is_lower(text));
    if (name == "isupper") return value(is_upper(text));
    if (name == "isspace") return value(all_characters(text, is_space));
    if (name == "isalpha") return value(all_characters(text, letter));
    if (name == "isalnum") return value(all_characters(text, [&](char32_t c) { return letter(c) || number(c); }));
    if (name == "isascii") return value(text.empty() || all_characters(text, [](char32_t c) { return c < 0x80; }));
    return value(all_characters(text, [&](char32_t c) { // isdigit, isdecimal
        if (c >= 0x80 && number(c)) m.fail("str." + std::string(name) + " of digits beyond ASCII is not interpreted");
        return c >= U'0' && c <= U'9';
    }));
}

inline value padded(machine& m, text_object const& self, std::string_view name, arguments& given) {
    bound const p(m, "str." + std::string(name), given, {"width", "fillchar"}, 1);
    auto const width = integer_of(m, p[0], "the width");
    auto const length = static_cast<std::int64_t>(self.characters);
    if (width > static_cast<std::int64_t>(m.counted().limits.memory / 4)) m.fail("a width that is too large");
    auto const missing = static_cast<std::size_t>(std::max<std::int64_t>(width - length, 0));
    m.charge(missing / 4);
    marked_text const fill = name == "zfill" ? marked_text("0", false)
                             : p.has(1)      ? text_of(m, p[1], "the fill")
                                             : marked_text(" ", false);
    if (characters_in(fill.bytes()) != 1) m.fail("the fill is not one character");
    marked_text made;
    auto const add = [&](std::size_t count) {
        for (std::size_t i = 0; i < count; ++i) made.append(fill);
    };
    // CPython: unicode_center_impl
    std::size_t const left = name == "ljust"    ? 0
                             : name == "center" ? missing / 2 + (missing & static_cast<std::size_t>(width) & 1u)
                                                : missing;
    std::size_t const sign =
        name == "zfill" && !self.text.empty() && (self.text.bytes()[0] == '+' || self.text.bytes()[0] == '-');
    made.append(self.text, 0, sign);
    add(left);
    made.append(self.text, sign, self.text.size());
    add(missing - left);
    return m.text(std::move(made));
}

inline value strip(machine& m, text_object const& self, std::string_view name, arguments& given) {
    bound const p(m, "str." + std::string(name), given, {"chars"});
    m.charge(self.text.size() / 16);
    return m.text(stripped(self.text, p[0], name != "rstrip", name != "lstrip", m), self.markup);
}

inline value without_affix(machine& m, text_object const& self, bool prefix, arguments& given) {
    bound const p(m, prefix ? "str.removeprefix" : "str.removesuffix", given, {prefix ? "prefix" : "suffix"}, 1);
    auto const& affix = text_of(m, p[0], "the affix").bytes();
    auto const& bytes = self.text.bytes();
    if (prefix) return m.text(self.text.slice(bytes.starts_with(affix) ? affix.size() : 0, bytes.size()), self.markup);
    return m.text(self.text.slice(0, bytes.size() - (bytes.ends_with(affix) ? affix.size() : 0)), self.markup);
}

} // namespace detail

LLAMAVISION_INLINE marked_text const& text_of(machine& m, value const& v, std::string_view what) {
    if (v.is(kind::undefined)) m.fail(v.as<undefined_object>().hint);
    if (!v.is(kind::text)) m.fail(std::string(what) + " is '" + std::string(type_name(v)) + "', not a string");
    return v.as<text_object>().text;
}

LLAMAVISION_INLINE marked_text joined(machine& m, marked_text const& separator, value const& items, bool strict) {
    auto const from = iterate(m, items);
    marked_text made;
    value each;
    for (bool first = true; m.pull(*from, each); first = false) {
        if (!first) made.append(separator);
        auto const before = made.footprint();
        if (strict)
            made.append(text_of(m, each, "an item to join"));
        else
            append_str(m, made, each);
        m.charge((made.footprint() - before + separator.size()) / 16);
        if (made.footprint() > m.counted().limits.memory) m.fail("text of more than the limit of memory");
    }
    return made;
}

LLAMAVISION_INLINE value call_text_method(machine& m, value const& held, std::string_view name, arguments& given) {
    auto const& self = held.as<text_object>();
    auto const is = [&](std::string_view a, std::string_view b = {}) { return name == a || name == b; };
    if (is("strip") || is("lstrip", "rstrip")) return detail::strip(m, self, name, given);
    if (is("split", "rsplit")) return detail::split(m, self, name == "rsplit", given);
    if (is("startswith", "endswith")) return detail::begins_or_ends(m, self, name == "startswith", given);
    if (is("find", "rfind") || is("index", "rindex") || is("count")) return detail::search(m, self, name, given);
    if (is("splitlines")) return detail::split_lines(m, self, given);
    if (is("removeprefix", "removesuffix")) return detail::without_affix(m, self, name == "removeprefix", given);
    if (name.starts_with("is")) {
        bound const none(m, "str." + std::string(name), given, {});
        return detail::question(m, self.text.bytes(), name);
    }
    static constexpr std::pair<std::string_view, letter_case> cases[] = {{"upper", letter_case::upper},
                                                                         {"lower", letter_case::lower},
                                                                         {"title", letter_case::title},
                                                                         {"capitalize", letter_case::capitalize},
                                                                         {"swapcase", letter_case::swap}};
    for (auto const& [known, wanted] : cases)
        if (name == known) {
            bound const none(m, "str." + std::string(name), given, {});
            m.charge(self.text.size());
            return m.text(in_case(self.text, wanted), self.markup);
        }
    if (self.markup) m.fail("str." + std::string(name) + " on text from \"safe\" or \"escape\" is not interpreted");
    if (is("partition", "rpartition")) return detail::partition(m, self, name == "rpartition", given);
    if (is("ljust", "rjust") || is("center", "zfill")) return detail::padded(m, self, name, given);
    if (is("replace")) {
        bound const p(m, "str.replace", given, {"old", "new", "count"}, 2);
        auto const count = p.has(2) ? integer_of(m, p[2], "the count") : -1;
        return m.text(
            replaced(m, self.text, text_of(m, p[0], "the old text"), text_of(m, p[1], "the new text"), count));
    }
    bound const p(m, "str.join", given, {"iterable"}, 1);
    return m.text(joined(m, self.text, p[0], true));
}

} // namespace llamavision::tokens::jinja
