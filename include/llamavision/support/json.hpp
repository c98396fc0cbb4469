// SPDX-License-Identifier: Apache-2.0
// Parses JSON from files that cannot be trusted: with limits for size, depth and number of values, and without
// duplicate keys.
#pragma once

#include <llamavision/support/error.hpp>
#include <llamavision/support/misplaced_file.hpp>
#include <llamavision/support/quoted.hpp>
#include <llamavision/support/text_file.hpp>

#include <cstddef>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace llamavision {

/// Limits of a document. A value of two bytes of text takes some tens of bytes in memory, so `bytes` alone would not
/// limit memory; `values` does.
struct json_limits {
    std::size_t bytes = std::size_t{64} << 20;
    std::size_t depth = 64;
    std::size_t values = std::size_t{1} << 22;
};

namespace detail {

/// Builds the document from the parser's events, with an explicit stack, and checks the limits while it grows.
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
        std::string const shown = in_quotes(reason, 200); // quoted, since the message repeats a part of the file
        fail("not valid JSON at byte " + std::to_string(position == 0 ? 0 : position - 1) + ": "
             + shown.substr(1, shown.size() - 2));
    }

  private:
    [[noreturn]] void fail(std::string const& what) const { throw format_error(name_ + ": " + what); }

    /// Adds a value to the innermost open container, and returns its address. Addresses on the stack stay valid, since
    /// a container does not change while one of its elements is open.
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

/// Parses `text`, which is called `name` in errors.
/// @throws format_error with the byte offset of the fault: everything that RFC 8259 forbids, byte order marks,
///         duplicate keys, and documents beyond `limits`
[[nodiscard]] inline nlohmann::json parse_json(std::string_view text, std::string const& name,
                                               json_limits limits = {}) {
    if (auto const what = misplaced_file(text); !what.empty()) throw format_error(name + ": " + std::string(what));
    if (text.size() > limits.bytes)
        throw format_error(name + ": has " + std::to_string(text.size()) + " bytes, more than the limit of "
                           + std::to_string(limits.bytes));
    if (text.empty()) throw format_error(name + ": is empty");
    if (text.starts_with("\xef\xbb\xbf"))
        throw format_error(name + ": not valid JSON at byte 0: a byte order mark; save it as UTF-8 without one");
    if (auto const at = text.find('\0'); at != std::string_view::npos) // the parser would stop there without an error
        throw format_error(name + ": not valid JSON at byte " + std::to_string(at) + ": a zero byte");
    detail::json_builder builder(name, limits);
    // This is what json::sax_parse does for text; calling it would compile the readers of CBOR and other binary
    // formats, too.
    using input = nlohmann::detail::iterator_input_adapter<char const*>;
    nlohmann::detail::parser<nlohmann::json, input>(input(text.data(), text.data() + text.size())).sax_parse(&builder);
    return builder.take();
}

/// Parses the file `path`.
/// @throws file_error and format_error
[[nodiscard]] inline nlohmann::json read_json(std::filesystem::path const& path, json_limits limits = {}) {
    return parse_json(read_text_file(path, limits.bytes), path.string(), limits);
}

} // namespace llamavision
