// SPDX-License-Identifier: Apache-2.0
// Conversations from JSON, {"messages": [{"role", "content", …}], "tools": […]}, and JSON as Python's json.dumps prints
// it.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <llamavision/support/error.hpp>
#include <llamavision/tokens/message.hpp>
#include <llamavision/tokens/python_text.hpp>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace llamavision::tokens {

/// A JSON value that keeps the order of an object's members, which ends up in prompts.
using json_value = nlohmann::ordered_json;

namespace detail {

constexpr int deepest_json = 64;
constexpr std::size_t most_members = 1000; // ordered_json searches members one by one

// Counts what a JSON text holds while it is read. (A parser with a callback would look through a whole list after each
// object in it, nlohmann/json 3.11.2: json_sax_dom_callback_parser::end_object.)
class json_census : public nlohmann::json_sax<json_value> {
  public:
    bool null() override { return true; }
    bool boolean(bool) override { return true; }
    bool number_integer(number_integer_t) override { return true; }
    bool number_unsigned(number_unsigned_t) override { return true; }
    bool number_float(number_float_t, string_t const&) override { return true; }
    bool string(string_t&) override { return true; }
    bool binary(binary_t&) override { return true; }
    bool start_object(std::size_t) override { return open(); }
    bool key(string_t&) override {
        if (++members_.back() > most_members)
            throw token_error("a JSON object of more than " + std::to_string(most_members) + " members");
        return true;
    }
    bool end_object() override { return close(); }
    bool start_array(std::size_t) override { return open(); }
    bool end_array() override { return close(); }
    bool parse_error(std::size_t, std::string const&, nlohmann::json::exception const&) override { return false; }

  private:
    bool open() {
        if (members_.size() > static_cast<std::size_t>(deepest_json)) throw token_error("JSON nested too deep");
        members_.push_back(0);
        return true;
    }
    bool close() {
        members_.pop_back();
        return true;
    }

    std::vector<std::size_t> members_; // of each open object; lists have none
};

// The \uhhhh escape at `at`, or nothing.
inline std::optional<unsigned> unicode_escape(std::string_view json, std::size_t at) {
    if (json.substr(at, 2) != "\\u" || json.size() < at + 6) return std::nullopt;
    unsigned unit = 0;
    auto const* const begin = json.data() + at + 2;
    if (std::from_chars(begin, begin + 4, unit, 16).ptr != begin + 4) return std::nullopt;
    return unit;
}

// Python's json module accepts lone surrogates, which tokenizers then read as U+FFFD; nlohmann/json refuses them.
inline std::string without_lone_surrogates(std::string_view json) {
    std::string out;
    out.reserve(json.size());
    for (std::size_t at = 0; at < json.size();) {
        std::size_t length = json[at] == '\\' ? 2 : 1;
        if (auto const unit = unicode_escape(json, at); unit && *unit >= 0xD800 && *unit <= 0xDFFF) {
            auto const low = unicode_escape(json, at + 6);
            bool const paired = *unit < 0xDC00 && low && *low >= 0xDC00 && *low <= 0xDFFF;
            if (!paired) {
                out += "\\uFFFD";
                at += 6;
                continue;
            }
            length = 12;
        }
        out += json.substr(at, length);
        at += length;
    }
    return out;
}

// repr(float): the shortest digits that give the number back; an exponent below 1e-4 and from 1e16 on.
inline std::string python_float(double value) {
    std::array<char, 64> buffer{};
    auto const write = [&](std::chars_format format) {
        auto const end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, format).ptr;
        return std::string(buffer.data(), end);
    };
    auto scientific = write(std::chars_format::scientific);
    int const exponent = std::stoi(scientific.substr(scientific.find('e') + 1));
    if (exponent < -4 || exponent >= 16) return scientific;
    auto const fixed = write(std::chars_format::fixed);
    return fixed.find('.') == std::string::npos ? fixed + ".0" : fixed;
}

inline void append_python_json(std::string& out, json_value const& value, int indent, int level) {
    auto const line = [&](int depth) {
        if (indent < 0) return;
        out += '\n';
        out.append(static_cast<std::size_t>(indent) * static_cast<std::size_t>(depth), ' ');
    };
    auto const members = [&](char open, char close, auto&& member) {
        out += open;
        bool first = true;
        for (auto it = value.begin(); it != value.end(); ++it, first = false) {
            if (!first) out += indent < 0 ? ", " : ",";
            line(level + 1);
            member(it);
        }
        if (!first) line(level);
        out += close;
    };
    if (level > deepest_json) throw token_error("JSON nested too deep");
    if (value.is_object()) {
        members('{', '}', [&](auto const& it) {
            out += python::json_string(it.key()) + ": ";
            append_python_json(out, it.value(), indent, level + 1);
        });
    } else if (value.is_array()) {
        members('[', ']', [&](auto const& it) { append_python_json(out, *it, indent, level + 1); });
    } else if (value.is_string()) {
        out += python::json_string(value.template get_ref<std::string const&>());
    } else if (value.is_number_float()) {
        out += python_float(value.template get<double>());
    } else {
        out += value.dump(); // integers, true, false, null
    }
}

} // namespace detail

/// Parses one JSON text; lone surrogates in strings become U+FFFD. (Integers beyond 64 bits are read as floating point
/// numbers.) Not called parse_json: inside this namespace, that name would hide llamavision::parse_json.
/// @throws token_error for what is not JSON, nested deeper than 64, or an object of more than 1000 members
inline json_value parse_ordered_json(std::string_view text) {
    auto const repaired_text = detail::without_lone_surrogates(text);
    detail::json_census census;
    json_value::sax_parse(repaired_text, &census); // what is wrong with it is found below
    try {
        return json_value::parse(repaired_text);
    } catch (json_value::parse_error const& problem) {
        throw token_error("not valid JSON from byte " + std::to_string(problem.byte) + " on");
    } catch (json_value::exception const&) { throw token_error("a number in the JSON text is out of range"); }
}

/// json.dumps(value, ensure_ascii=False), on one line, or with `indent` spaces a level.
inline std::string python_json(json_value const& value, int indent = -1) {
    std::string out;
    detail::append_python_json(out, value, indent, 0);
    return out;
}

/// A conversation from JSON.
struct dialog {
    std::vector<message> messages;
    std::vector<std::string> tools{}; ///< for chat_options::tools
};

namespace detail {

inline json_value const* find_member(json_value const& object, char const* key) {
    if (!object.is_object()) return nullptr;
    auto const found = object.find(key);
    return found == object.end() || found->is_null() ? nullptr : &*found;
}

inline std::string string_member(json_value const& object, char const* key, std::string const& where) {
    auto const* const value = find_member(object, key);
    if (!value || !value->is_string()) throw token_error(where + ": no string \"" + key + "\"");
    return value->get<std::string>();
}

inline std::vector<part> read_content(json_value const& content, std::string const& where) {
    if (content.is_string()) return {content.get<std::string>()};
    if (!content.is_array()) throw token_error(where + ": the content is neither text nor a list");
    std::vector<part> parts;
    for (auto const& item : content) {
        auto const type = string_member(item, "type", where + ", an item of the content");
        if (type == "text")
            parts.emplace_back(string_member(item, "text", where + ", a text of the content"));
        else if (type == "image")
            parts.emplace_back(image_here);
        else
            throw token_error(where + ": an item of the content has the unknown type \"" + type + "\"");
    }
    return parts;
}

inline role read_role(json_value const& object, std::string const& where) {
    auto const name = string_member(object, "role", where);
    if (name == "tool") return role::tool;
    for (auto const speaker : {role::system, role::user, role::assistant, role::tool})
        if (name == role_name(speaker)) return speaker;
    throw token_error(where + ": the role \"" + name + "\" is none of system, user, assistant, tool");
}

// {"name", "arguments"}, or the same under "function".
inline tool_call read_call(json_value const& call, std::string const& where) {
    auto const* const inner = find_member(call, "function");
    auto const& body = inner ? *inner : call;
    tool_call out{string_member(body, "name", where), "{}", std::nullopt};
    auto const* const arguments = find_member(body, "arguments");
    if (!arguments || !arguments->is_object()) throw token_error(where + ": no object \"arguments\"");
    out.arguments = python_json(*arguments);
    auto const* const value = find_member(*arguments, out.name == "code_interpreter" ? "code" : "query");
    if (value && value->is_string()) out.value = value->get<std::string>();
    return out;
}

inline message read_message(json_value const& object, std::string const& where) {
    message m;
    m.speaker = read_role(object, where);
    if (auto const* const calls = find_member(object, "tool_calls")) {
        if (!calls->is_array()) throw token_error(where + ": tool_calls is not a list");
        for (auto const& call : *calls) m.tool_calls.push_back(read_call(call, where + ", a tool call"));
    }
    if (auto const* const content = find_member(object, "content")) {
        if (content->is_object() && m.speaker == role::tool)
            m.json = python_json(*content);
        else
            m.content = read_content(*content, where);
        m.listed = content->is_array();
    } else if (m.tool_calls.empty()) {
        throw token_error(where + ": no content");
    }
    if (auto const* const context = find_member(object, "context")) m.context = read_content(*context, where);
    auto const* const stop = find_member(object, find_member(object, "stop") ? "stop" : "stop_reason");
    m.awaits_tool = stop && (*stop == "eom" || *stop == "end_of_message");
    return m;
}

} // namespace detail

/// From {"messages": […], "tools": […]}. A message's content is text or a list of {"type": "text", "text": …} and
/// {"type": "image"}; further members: tool_calls, context, "stop": "eom".
/// @throws token_error that names the message and the member
inline dialog to_dialog(json_value const& object) {
    auto const* const messages = detail::find_member(object, "messages");
    if (!messages || !messages->is_array()) throw token_error("a conversation without a list \"messages\"");
    dialog out;
    for (auto const& m : *messages)
        out.messages.push_back(detail::read_message(m, "message " + std::to_string(out.messages.size() + 1)));
    if (auto const* const tools = detail::find_member(object, "tools")) {
        if (!tools->is_array()) throw token_error("\"tools\" is not a list");
        for (auto const& tool : *tools) out.tools.push_back(python_json(tool, 4));
    }
    return out;
}

/// The same from text.
inline dialog read_dialog(std::string_view text) { return to_dialog(parse_ordered_json(text)); }

} // namespace llamavision::tokens
