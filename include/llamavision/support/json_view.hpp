// SPDX-License-Identifier: Apache-2.0
// Typed access to a JSON document. Every value knows its file and its path of keys, for messages like "config.json:
// text_config.hidden_size: expected a positive integer, found \"abc\"".
#pragma once

#include <llamavision/support/error.hpp>
#include <llamavision/support/quoted.hpp>

#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace llamavision {

/// A view of one value. The document must outlive it.
/// @throws format_error from every getter, if the value has another type
class json_view {
  public:
    json_view(nlohmann::json const& value, std::string file, std::string path = {})
        : value_(&value), file_(std::move(file)), path_(std::move(path)) {}

    [[nodiscard]] std::string const& file() const { return file_; }
    [[nodiscard]] std::string const& path() const {
        return path_;
    } ///< "text_config.rope_scaling.factor"; "" for the root
    [[nodiscard]] nlohmann::json const& json() const { return *value_; }

    /// The member `key` of this object; empty if it is absent or null.
    [[nodiscard]] std::optional<json_view> find(std::string_view key) const {
        object();
        auto const member = value_->find(std::string(key));
        if (member == value_->end() || member->is_null()) return std::nullopt;
        return json_view(*member, file_, path_.empty() ? shown(key) : path_ + "." + shown(key));
    }
    /// The member `key`, which must exist and not be null.
    [[nodiscard]] json_view at(std::string_view key) const {
        if (auto const member = find(key)) return *member;
        throw format_error(place() + "the key " + in_quotes(key) + " is missing");
    }
    /// All members of this object, by name.
    [[nodiscard]] std::vector<std::pair<std::string, json_view>> members() const {
        object();
        std::vector<std::pair<std::string, json_view>> result;
        for (auto item = value_->begin(); item != value_->end(); ++item)
            result.emplace_back(
                item.key(),
                json_view(*item, file_, path_.empty() ? shown(item.key()) : path_ + "." + shown(item.key())));
        return result;
    }
    /// All elements of this list.
    [[nodiscard]] std::vector<json_view> items() const {
        if (!value_->is_array()) fail("a list");
        std::vector<json_view> result;
        result.reserve(value_->size());
        for (std::size_t i = 0; i < value_->size(); ++i)
            result.emplace_back((*value_)[i], file_, path_ + "[" + std::to_string(i) + "]");
        return result;
    }

    void object() const {
        if (!value_->is_object()) fail("an object");
    }
    [[nodiscard]] bool boolean() const {
        if (!value_->is_boolean()) fail("true or false");
        return value_->get<bool>();
    }
    [[nodiscard]] std::string const& text() const {
        if (!value_->is_string()) fail("text");
        return value_->get_ref<std::string const&>();
    }
    [[nodiscard]] double number() const {
        if (!value_->is_number() || !std::isfinite(value_->get<double>())) fail("a number");
        return value_->get<double>();
    }
    [[nodiscard]] double positive_number() const {
        if (!value_->is_number() || !(number() > 0)) fail("a positive number");
        return number();
    }
    /// A number from `least` to `most`.
    [[nodiscard]] double number_between(double least, double most) const {
        double const value = value_->is_number() ? value_->get<double>() : std::nan("");
        if (!(value >= least && value <= most)) fail("a number from " + short_text(least) + " to " + short_text(most));
        return value;
    }
    /// An integer from 0 to `limit`.
    [[nodiscard]] std::size_t natural(std::uint64_t limit = SIZE_MAX) const { return integer(0, limit); }
    /// An integer from 1 to `limit`.
    [[nodiscard]] std::size_t positive(std::uint64_t limit = SIZE_MAX) const { return integer(1, limit); }

    /// Reports a wrong value.
    /// @throws format_error "FILE: PATH: expected EXPECTED, found VALUE"
    [[noreturn]] void fail(std::string_view expected) const {
        throw format_error(place() + "expected " + std::string(expected) + ", found " + found());
    }
    /// "FILE: PATH: ", the beginning of other error messages about the value.
    [[nodiscard]] std::string place() const { return file_ + ": " + (path_.empty() ? "" : path_ + ": "); }

  private:
    [[nodiscard]] std::size_t integer(std::uint64_t least, std::uint64_t limit) const {
        bool const negative =
            value_->is_number_integer() && !value_->is_number_unsigned() && value_->get<std::int64_t>() < 0;
        if (!value_->is_number_integer() || negative || value_->get<std::uint64_t>() < least)
            fail(least == 0 ? "a non-negative integer" : "a positive integer");
        auto const result = value_->get<std::uint64_t>();
        if (result > limit) fail("at most " + std::to_string(limit));
        return static_cast<std::size_t>(result);
    }
    [[nodiscard]] std::string found() const {
        if (value_->is_object()) return "an object";
        if (value_->is_array()) return "a list";
        if (value_->is_string()) return in_quotes(value_->get_ref<std::string const&>());
        if (value_->is_null()) return "null";
        if (value_->is_boolean()) return value_->get<bool>() ? "true" : "false";
        if (value_->is_number_unsigned()) return std::to_string(value_->get<std::uint64_t>());
        if (value_->is_number_integer()) return std::to_string(value_->get<std::int64_t>());
        double const value = value_->get<double>();
        std::string const shown = short_text(value);
        bool const integer =
            std::abs(value) >= 0x1p63; // the parser makes a double of an integer that has more than 64 bits
        return shown.find_first_of(".e") == std::string::npos && !integer ? shown + ".0" : shown;
    }
    [[nodiscard]] static std::string short_text(double value) {
        std::array<char, 32> digits{};
        auto const end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
        return {digits.data(), end};
    }
    /// A key as a part of a path: in quotes if it has characters that need escapes.
    [[nodiscard]] static std::string shown(std::string_view key) {
        std::string result = in_quotes(key);
        if (result.size() == key.size() + 2) return std::string(key);
        return result;
    }

    nlohmann::json const* value_;
    std::string file_, path_;
};

} // namespace llamavision
