// SPDX-License-Identifier: Apache-2.0
// Typed access to a JSON document: a value that knows its file and key path, so that what is wrong with it can be said
// as "config.json: text_config.hidden_size: expected a positive integer, found \"abc\"".
#pragma once

#include <llamavision/support/error.hpp>
#include <llamavision/support/json_document.hpp>
#include <llamavision/support/quoted.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace llamavision {

/// A view of one value; the document must outlive it. Every getter throws format_error if the value is another type.
class json_view {
  public:
    json_view(json_document const& document, std::string file) : json_view(document.root(), std::move(file), {}) {}

    [[nodiscard]] std::string const& file() const { return file_; }
    [[nodiscard]] std::string const& path() const { return path_; } ///< "text_config.rope_scaling.factor", "" the root
    [[nodiscard]] json_node const& node() const { return *node_; }

    /// The member `key` of this object, if it is there and not null.
    [[nodiscard]] std::optional<json_view> find(std::string_view key) const {
        object();
        json_node const* const member = node_->find(key);
        if (!member || member->is(json_type::null)) return std::nullopt;
        return json_view(*member, file_, path_to(key));
    }
    /// The member `key`, which must be there.
    [[nodiscard]] json_view at(std::string_view key) const {
        if (auto const member = find(key)) return *member;
        throw format_error(place() + "the key " + in_quotes(key) + " is missing");
    }
    /// All members of this object, by name.
    [[nodiscard]] std::vector<std::pair<std::string, json_view>> members() const {
        object();
        std::vector<std::pair<std::string, json_view>> result;
        for (json_node const& member : *node_)
            result.emplace_back(std::string(member.key), json_view(member, file_, path_to(member.key)));
        return result;
    }
    /// All elements of this list.
    [[nodiscard]] std::vector<json_view> items() const {
        if (!is_list()) fail("a list");
        std::vector<json_view> result;
        for (json_node const& item : *node_)
            result.push_back(json_view(item, file_, path_ + "[" + std::to_string(result.size()) + "]"));
        return result;
    }

    [[nodiscard]] bool is_list() const { return node_->is(json_type::list); }
    void object() const {
        if (!node_->is(json_type::object)) fail("an object");
    }
    [[nodiscard]] bool boolean() const {
        if (!node_->is(json_type::boolean)) fail("true or false");
        return node_->is_true();
    }
    [[nodiscard]] std::string text() const {
        if (!node_->is(json_type::text)) fail("text");
        return std::string(node_->text);
    }
    [[nodiscard]] double number() const {
        if (!node_->is_number()) fail("a number");
        return node_->number();
    }
    [[nodiscard]] double positive_number() const {
        if (!(node_->number() > 0)) fail("a positive number");
        return node_->number();
    }
    /// An integer from 0 to `limit`.
    [[nodiscard]] std::size_t natural(std::uint64_t limit = SIZE_MAX) const { return integer(0, limit); }
    /// An integer from 1 to `limit`.
    [[nodiscard]] std::size_t positive(std::uint64_t limit = SIZE_MAX) const { return integer(1, limit); }

    /// Throws format_error: "FILE: PATH: expected EXPECTED, found VALUE".
    [[noreturn]] void fail(std::string_view expected) const {
        throw format_error(place() + "expected " + std::string(expected) + ", found " + found());
    }
    /// "FILE: PATH: ", for errors that the caller words.
    [[nodiscard]] std::string place() const { return file_ + ": " + (path_.empty() ? "" : path_ + ": "); }
    /// The value as a message shows it.
    [[nodiscard]] std::string found() const {
        switch (node_->type) {
        case json_type::object: return "an object";
        case json_type::list: return "a list";
        case json_type::text: return in_quotes(node_->text);
        case json_type::null: return "null";
        default: return std::string(node_->text.substr(0, 100));
        }
    }

  private:
    json_view(json_node const& node, std::string file, std::string path)
        : node_(&node), file_(std::move(file)), path_(std::move(path)) {}

    [[nodiscard]] std::size_t integer(std::uint64_t least, std::uint64_t limit) const {
        auto const result = node_->natural();
        if (!result || *result < least) fail(least == 0 ? "a non-negative integer" : "a positive integer");
        if (*result > limit) fail("at most " + std::to_string(limit));
        return static_cast<std::size_t>(*result);
    }
    [[nodiscard]] std::string path_to(std::string_view key) const {
        return path_.empty() ? shown(key) : path_ + "." + shown(key);
    }
    /// A key as it stands in a path: a harmless one bare, any other one quoted.
    [[nodiscard]] static std::string shown(std::string_view key) {
        std::string result = in_quotes(key);
        if (result.size() == key.size() + 2) return std::string(key);
        return result;
    }

    json_node const* node_;
    std::string file_, path_;
};

} // namespace llamavision
