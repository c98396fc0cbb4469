// SPDX-License-Identifier: Apache-2.0
// transformers' filter tojson, which is Python's json.dumps, with the marks of what a user wrote kept; and JSON values
// to values.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <llamavision/tokens/template/json_values.hpp>
#include <llamavision/tokens/template/machine.hpp>
#include <nlohmann/json.hpp>

namespace llamavision::tokens::jinja {

namespace detail {

inline void append_unit(std::string& out, char32_t unit) {
    out += "\\u";
    append_hex(out, unit, 4);
}

inline std::string json_escape(char32_t code, bool ascii) {
    switch (code) {
    case U'"': return "\\\"";
    case U'\\': return "\\\\";
    case U'\n': return "\\n";
    case U'\r': return "\\r";
    case U'\t': return "\\t";
    case U'\b': return "\\b";
    case U'\f': return "\\f";
    default: break;
    }
    std::string escape;
    if (code >= 0x10000 && ascii) {
        append_unit(escape, 0xD800 + ((code - 0x10000) >> 10));
        append_unit(escape, 0xDC00 + (code & 0x3FF));
    } else if (code < 0x20 || (ascii && code >= 0x7F)) {
        append_unit(escape, code);
    }
    return escape;
}

inline void append_json_text(marked_text& out, marked_text const& text, bool ascii) {
    out.append("\"", false);
    std::size_t plain = 0;
    for (std::size_t at = 0; at < text.size();) {
        auto const step = next_character(text.bytes(), at);
        if (auto const escape = json_escape(step.code, ascii); !escape.empty()) {
            out.append(text, plain, at);
            out.append(escape, text.is_from_user(at));
            plain = at + step.length;
        }
        at += step.length;
    }
    out.append(text, plain, text.size());
    out.append("\"", false);
}

inline std::string json_number(value const& v) {
    if (v.is(kind::boolean)) return v.boolean() ? "true" : "false";
    if (v.is(kind::integer)) return std::to_string(v.integer());
    if (std::isnan(v.real())) return "NaN";
    if (std::isinf(v.real())) return v.real() < 0 ? "-Infinity" : "Infinity";
    return real_text(v.real());
}

// A key that is no string becomes one.
inline void append_json_key(machine& m, marked_text& out, value const& key, json_format const& f) {
    if (key.is(kind::text)) return append_json_text(out, key.as<text_object>().text, f.ascii);
    if (!key.is_number() && !key.is(kind::none)) m.fail("a key of JSON is '" + std::string(type_name(key)) + "'");
    out.append("\"" + (key.is(kind::none) ? std::string("null") : json_number(key)) + "\"", false);
}

} // namespace detail

LLAMAVISION_INLINE void append_json(machine& m, marked_text& out, value const& v, json_format const& f,
                                    std::size_t depth) {
    machine::level const inside(m);
    auto const line = [&](std::size_t levels) {
        if (!f.indent) return;
        std::string text = "\n";
        for (std::size_t i = 0; i < levels; ++i) text += *f.indent;
        out.append(text, false);
    };
    auto const before = out.footprint();
    auto const members = [&](char open, char close, std::size_t count, auto&& append_member) {
        out.append(std::string_view(&open, 1), false);
        for (std::size_t i = 0; i < count; ++i) {
            if (i > 0) out.append(f.item_separator);
            line(depth + 1);
            append_member(i);
        }
        if (count > 0) line(depth);
        out.append(std::string_view(&close, 1), false);
    };
    switch (v.what()) {
    case kind::none: out.append("null", false); break;
    case kind::boolean:
    case kind::integer:
    case kind::real: out.append(detail::json_number(v), false); break;
    case kind::text: detail::append_json_text(out, v.as<text_object>().text, f.ascii); break;
    case kind::list:
    case kind::tuple: {
        auto const& items = v.as<sequence_object>().items;
        members('[', ']', items.size(), [&](std::size_t i) { append_json(m, out, items[i], f, depth + 1); });
        break;
    }
    case kind::dict: {
        auto const& dict = v.as<dict_object>();
        std::vector<std::pair<value, value> const*> entries;
        for (auto const& entry : dict.entries) entries.push_back(&entry);
        if (f.sorted)
            std::stable_sort(entries.begin(), entries.end(),
                             [&](auto const* a, auto const* b) { return less(m, a->first, b->first); });
        members('{', '}', entries.size(), [&](std::size_t i) {
            detail::append_json_key(m, out, entries[i]->first, f);
            out.append(f.key_separator);
            append_json(m, out, entries[i]->second, f, depth + 1);
        });
        break;
    }
    default: m.fail("'" + std::string(type_name(v)) + "' has no form in JSON");
    }
    m.charge((out.footprint() - before) / 16 + 1);
    if (out.size() > m.counted().limits.memory) m.fail("text of more than the limit of memory");
}

namespace detail {

// Words that name who speaks and what a part of a content is. Templates build special tokens of them
// ('<|' + role + '|>'), and they choose a frame; they are not what a user says.
inline bool is_frame_word(std::string_view key, std::string_view text) {
    static constexpr std::array<std::string_view, 18> roles{
        "system",      "user",    "assistant", "tool",        "ipython",       "developer",
        "function",    "model",   "human",     "bot",         "gpt",           "observation",
        "environment", "context", "documents", "instruction", "tool_response", "tool_call"};
    static constexpr std::array<std::string_view, 8> types{"text",  "image",     "image_url", "video",
                                                           "audio", "video_url", "audio_url", "function"};
    if (key == "role") return std::find(roles.begin(), roles.end(), text) != roles.end();
    if (key == "type") return std::find(types.begin(), types.end(), text) != types.end();
    return false;
}

inline value from_json(machine& m, nlohmann::ordered_json const& j, bool from_user, std::string_view key,
                       std::size_t depth) {
    constexpr std::size_t deepest = 90;
    if (depth > deepest) m.fail("JSON nested more than " + std::to_string(deepest) + " deep");
    m.charge(1);
    if (j.is_null()) return value(nullptr);
    if (j.is_boolean()) return value(j.get<bool>());
    if (j.is_number_unsigned()
        && j.get<std::uint64_t>() > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
        m.fail("an integer beyond 64 bits");
    if (j.is_number_integer()) return value(j.get<std::int64_t>());
    if (j.is_number_float()) return value(j.get<double>());
    if (j.is_string()) {
        auto const& text = j.get_ref<std::string const&>();
        auto const good = valid_prefix(text) == text.size();
        return m.text(marked_text(good ? text : repaired(text), from_user && !is_frame_word(key, text)));
    }
    if (j.is_array()) {
        values items;
        items.reserve(j.size());
        for (auto const& each : j) items.push_back(from_json(m, each, from_user, {}, depth + 1));
        return m.list(std::move(items));
    }
    if (!j.is_object()) m.fail("binary data in a conversation");
    std::vector<std::pair<value, value>> entries;
    entries.reserve(j.size());
    for (auto const& [name, member] : j.items()) {
        auto const good = valid_prefix(name) == name.size();
        entries.emplace_back(m.text(marked_text(good ? name : repaired(name), from_user)),
                             from_json(m, member, from_user, name, depth + 1));
    }
    return m.dict(std::move(entries));
}

} // namespace detail

LLAMAVISION_INLINE value value_of(machine& m, nlohmann::ordered_json const& j, bool from_user) {
    return detail::from_json(m, j, from_user, {}, 0);
}

} // namespace llamavision::tokens::jinja
