// SPDX-License-Identifier: Apache-2.0
// A JSON document, flat: one list of values in the order of the text, each of which knows how many of those after it
// are its own. Nothing is allocated for a single value, and nothing that runs over the tree needs recursion.
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace llamavision {

enum class json_type : std::uint8_t {
    null,
    boolean,
    integer, ///< without fraction and exponent, within 64 bits, signed or not
    real,    ///< every other number
    text,
    list,
    object
};

/// One value. Its elements follow it in memory, so it cannot be copied out of its document.
struct json_node {
    json_type type = json_type::null;
    std::size_t size = 1;  ///< this value, and everything in it
    std::string_view key;  ///< in an object; UTF-8
    std::string_view text; ///< what a text says, in UTF-8; of booleans and numbers, how they are written

    class iterator {
      public:
        explicit iterator(json_node const* node) : node_(node) {}
        json_node const& operator*() const { return *node_; }
        iterator& operator++() {
            node_ += node_->size;
            return *this;
        }
        bool operator==(iterator const&) const = default;

      private:
        json_node const* node_;
    };

    /// The elements of a list, or the members of an object; none of anything else.
    [[nodiscard]] iterator begin() const { return iterator(this + 1); }
    [[nodiscard]] iterator end() const { return iterator(this + size); }

    [[nodiscard]] bool is(json_type t) const { return type == t; }
    [[nodiscard]] bool is_number() const { return is(json_type::integer) || is(json_type::real); }
    /// Whether this is the text `words`.
    [[nodiscard]] bool says(std::string_view words) const { return is(json_type::text) && text == words; }
    [[nodiscard]] bool is_true() const { return is(json_type::boolean) && text == "true"; }

    /// The member `name` of an object; null if there is none, or this is no object.
    [[nodiscard]] json_node const* find(std::string_view name) const {
        if (is(json_type::object))
            for (json_node const& member : *this)
                if (member.key == name) return &member;
        return nullptr;
    }

    /// The number, if it is an integer that is not negative.
    [[nodiscard]] std::optional<std::uint64_t> natural() const {
        std::uint64_t value = 0;
        if (!is(json_type::integer)) return std::nullopt;
        if (text.front() == '-') return text == "-0" ? std::optional(value) : std::nullopt;
        std::from_chars(text.data(), text.data() + text.size(), value);
        return value;
    }
    /// The number nearest to what is written; finite. 0 if this is no number.
    [[nodiscard]] double number() const {
        double value = 0;
        if (is_number()) std::from_chars(text.data(), text.data() + text.size(), value);
        return value;
    }
};

/// A document and the text that its values view; both stay where they are when it is moved.
class json_document {
  public:
    json_document(std::unique_ptr<char[]> text, std::vector<json_node> nodes)
        : text_(std::move(text)), nodes_(std::move(nodes)) {}
    [[nodiscard]] json_node const& root() const { return nodes_.front(); }

  private:
    std::unique_ptr<char[]> text_;
    std::vector<json_node> nodes_;
};

} // namespace llamavision
