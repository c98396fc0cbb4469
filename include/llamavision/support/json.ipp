// SPDX-License-Identifier: Apache-2.0
// The JSON parser: nlohmann/json's, with limits.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <llamavision/support/error.hpp>
#include <llamavision/support/json.hpp>
#include <llamavision/support/misplaced_file.hpp>
#include <llamavision/support/quoted.hpp>

namespace llamavision {

namespace detail {

/// Builds the document from the parser's events with an explicit stack, so that the limits apply while it grows.
class json_builder final : public nlohmann::json_sax<nlohmann::json> {
  public:
    json_builder(std::string const& name, json_limits limits) : name_(name), limits_(limits) {}

    [[nodiscard]] nlohmann::json take() { return std::move(root_); }

    bool null() override { return put(nullptr); }
    bool boolean(bool value) override { return put(value); }
    bool number_integer(number_integer_t value) override { return put(value); }
    bool number_unsigned(number_unsigned_t value) override { return put(value); }
    bool number_float(number_float_t value, string_t const&) override { return put(value); }
    bool string(string_t& value) override { return put(std::move(value)); }
    bool binary(binary_t&) override { fail("holds binary data"); }
    bool start_object(std::size_t) override { return open(nlohmann::json::object()); }
    bool start_array(std::size_t) override { return open(nlohmann::json::array()); }
    bool end_object() override { return close(); }
    bool end_array() override { return close(); }

    bool key(string_t& value) override {
        nlohmann::json& object = *open_.back();
        if (object.contains(value)) fail("the key " + in_quotes(value) + " occurs twice in one object");
        member_ = &object[value];
        return true;
    }

    bool parse_error(std::size_t position, std::string const&, nlohmann::json::exception const& fault) override {
        std::string_view reason = fault.what();
        for (std::string_view const start : {"syntax error", "number overflow"})
            if (auto const at = reason.find(start); at != std::string_view::npos) reason.remove_prefix(at);
        std::string const shown = in_quotes(reason, 200); // quoted for what the message repeats of the file
        fail("not valid JSON at byte " + std::to_string(position == 0 ? 0 : position - 1) + ": "
             + shown.substr(1, shown.size() - 2));
    }

  private:
    [[noreturn]] void fail(std::string const& what) const { throw format_error(name_ + ": " + what); }

    /// Stores a value where the parser stands, and returns its address there: a container is not touched while one of
    /// its elements is open, so the addresses on the stack stay valid.
    nlohmann::json* store(nlohmann::json value) {
        if (++count_ > limits_.values) fail("holds more than " + std::to_string(limits_.values) + " values");
        if (open_.empty()) return &(root_ = std::move(value));
        if (open_.back()->is_object()) return &(*member_ = std::move(value));
        open_.back()->push_back(std::move(value));
        return &open_.back()->back();
    }
    bool put(nlohmann::json value) {
        store(std::move(value));
        return true;
    }
    bool open(nlohmann::json empty) {
        if (open_.size() == limits_.depth) fail("is nested more than " + std::to_string(limits_.depth) + " deep");
        open_.push_back(store(std::move(empty)));
        return true;
    }
    bool close() {
        open_.pop_back();
        return true;
    }

    std::string const& name_;
    json_limits limits_;
    std::size_t count_ = 0;
    nlohmann::json root_;
    std::vector<nlohmann::json*> open_;
    nlohmann::json* member_ = nullptr;
};

} // namespace detail

LLAMAVISION_INLINE nlohmann::json parse_json(std::string_view text, std::string const& name, json_limits limits) {
    if (auto const what = misplaced_file(text); !what.empty()) throw format_error(name + ": " + std::string(what));
    if (text.size() > limits.bytes)
        throw format_error(name + ": has " + std::to_string(text.size()) + " bytes, more than the limit of "
                           + std::to_string(limits.bytes));
    if (text.empty()) throw format_error(name + ": is empty");
    if (text.starts_with("\xef\xbb\xbf"))
        throw format_error(name + ": not valid JSON at byte 0: a byte order mark; save it as UTF-8 without one");
    if (auto const at = text.find('\0'); at != std::string_view::npos) // the parser would take it for the end
        throw format_error(name + ": not valid JSON at byte " + std::to_string(at) + ": a zero byte");
    detail::json_builder builder(name, limits);
    nlohmann::json::sax_parse(text.data(), text.data() + text.size(), &builder);
    return builder.take();
}

} // namespace llamavision
