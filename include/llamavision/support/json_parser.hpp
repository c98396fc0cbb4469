// SPDX-License-Identifier: Apache-2.0
// The JSON of RFC 8259, strictly: a loop with an explicit stack, so that no input can exhaust the program's own. Texts
// are unescaped where they stand, which never makes them longer.
#pragma once

#include <llamavision/support/error.hpp>
#include <llamavision/support/json_document.hpp>
#include <llamavision/support/quoted.hpp>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace llamavision {

/// What a document may cost. A value takes some tens of bytes in memory, so `values` bounds the tree as `bytes` cannot.
struct json_limits {
    std::size_t bytes = std::size_t{64} << 20;
    std::size_t depth = 64;
    std::size_t values = std::size_t{1} << 22;
};

namespace detail {

/// Parses one document, once.
class json_parser {
  public:
    /// @param text holds no zero byte
    json_parser(std::string_view text, std::string const& name, json_limits limits)
        : name_(name), limits_(limits), text_(std::make_unique<char[]>(text.size() + 1)), at_(text_.get()),
          end_(text_.get() + text.size()) {
        std::memcpy(text_.get(), text.data(), text.size()); // and a zero byte, where every loop below stops
    }

    [[nodiscard]] json_document parse() && {
        do {
            bool const in_object = !open_.empty() && nodes_[open_.back()].is(json_type::object);
            read_value(in_object ? read_key() : std::string_view());
        } while (!ended());
        skip_space();
        if (at_ != end_) refuse("something follows the document");
        return {std::move(text_), std::move(nodes_)};
    }

  private:
    [[noreturn]] void fail(std::string const& what) const { throw format_error(name_ + ": " + what); }
    [[noreturn]] void refuse(char const* what) const {
        fail("not valid JSON at byte " + std::to_string(at_ - text_.get()) + ": syntax error: " + what);
    }

    void skip_space() {
        while (*at_ == ' ' || *at_ == '\n' || *at_ == '\r' || *at_ == '\t') ++at_;
    }
    /// Steps over `token`, if it comes next.
    bool accept(std::string_view token) {
        bool const there = std::string_view(at_, static_cast<std::size_t>(end_ - at_)).starts_with(token);
        if (there) at_ += token.size();
        return there;
    }

    std::string_view read_key() {
        skip_space();
        if (*at_ != '"') refuse("expected a key in quotes");
        auto const key = read_text();
        skip_space();
        if (!accept(":")) refuse("expected a colon");
        return key;
    }

    void read_value(std::string_view key) {
        skip_space();
        if (nodes_.size() == limits_.values) fail("holds more than " + std::to_string(limits_.values) + " values");
        json_node node;
        node.key = key;
        char const* const begin = at_;
        opened_ = *at_ == '{' || *at_ == '[';
        if (opened_) {
            if (open_.size() == limits_.depth) fail("is nested more than " + std::to_string(limits_.depth) + " deep");
            open_.push_back(nodes_.size());
            node.type = *at_++ == '{' ? json_type::object : json_type::list;
        } else if (*at_ == '"') {
            node.type = json_type::text;
            node.text = read_text();
        } else if (accept("true") || accept("false")) {
            node.type = json_type::boolean;
            node.text = {begin, static_cast<std::size_t>(at_ - begin)};
        } else if (!accept("null")) {
            read_number(node);
        }
        nodes_.push_back(node);
    }

    /// Closes every container that ends here, or steps to the next element of the innermost one. Whether the document
    /// is over.
    bool ended() {
        for (; !open_.empty(); opened_ = false) {
            skip_space();
            json_node& container = nodes_[open_.back()];
            bool const is_object = container.is(json_type::object);
            if (!accept(is_object ? "}" : "]")) {
                if (!opened_ && !accept(",")) refuse("expected a comma or the closing bracket");
                return false;
            }
            container.size = nodes_.size() - open_.back();
            if (is_object) check_keys(container);
            open_.pop_back();
        }
        return true;
    }

    void check_keys(json_node const& object) const {
        std::vector<std::string_view> keys;
        for (json_node const& member : object) keys.push_back(member.key);
        std::sort(keys.begin(), keys.end());
        auto const twice = std::adjacent_find(keys.begin(), keys.end());
        if (twice != keys.end()) fail("the key " + in_quotes(*twice) + " occurs twice in one object");
    }

    void read_digits() {
        if (*at_ < '0' || *at_ > '9') refuse("expected a value");
        while (*at_ >= '0' && *at_ <= '9') ++at_;
    }

    void read_number(json_node& node) {
        char const* const begin = at_;
        accept("-");
        if (!accept("0")) read_digits();
        char const* const whole = at_;
        if (accept(".")) read_digits();
        if (accept("e") || accept("E")) {
            if (!accept("+")) accept("-");
            read_digits();
        }
        node.text = {begin, static_cast<std::size_t>(at_ - begin)};
        std::int64_t negative = 0;
        std::uint64_t natural = 0;
        double real = 0;
        bool const fits = *begin == '-' ? std::from_chars(begin, whole, negative).ec == std::errc{}
                                        : std::from_chars(begin, whole, natural).ec == std::errc{};
        node.type = at_ == whole && fits ? json_type::integer : json_type::real;
        if (std::from_chars(begin, at_, real).ec != std::errc{})
            fail("not valid JSON at byte " + std::to_string(begin - text_.get()) + ": a number out of range");
    }

    std::string_view read_text() {
        char* const begin = ++at_;
        char* out = begin;
        while (*at_ != '"') {
            if (*at_ == '\\')
                out = read_escape(out);
            else
                for (std::size_t rest = character_length(); rest > 0; --rest) *out++ = *at_++;
        }
        ++at_;
        return {begin, static_cast<std::size_t>(out - begin)};
    }

    /// Bytes of the well-formed UTF-8 character that comes next (RFC 3629, section 4).
    [[nodiscard]] std::size_t character_length() const {
        auto const byte = [this](std::size_t i) { return static_cast<unsigned char>(at_[i]); };
        unsigned const first = byte(0);
        if (first < 0x20) refuse(at_ == end_ ? "a text without its end" : "a control character in a text");
        if (first < 0x80) return 1;
        std::size_t const length = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
        // Neither longer than need be, nor half of a surrogate pair, nor beyond U+10FFFF.
        unsigned const low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
        unsigned const high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
        bool valid = length != 0 && byte(1) >= low && byte(1) <= high;
        for (std::size_t i = 2; valid && i < length; ++i) valid = byte(i) >= 0x80 && byte(i) <= 0xbf;
        if (!valid) refuse("a text that is not UTF-8");
        return length;
    }

    /// Writes what the escape sequence stands for to `out`, and returns where it ends.
    char* read_escape(char* out) {
        constexpr std::string_view names = "\"\\/bfnrt", meanings = "\"\\/\b\f\n\r\t";
        auto const simple = at_[1] == 0 ? names.npos : names.find(at_[1]);
        if (simple != names.npos) {
            at_ += 2;
            *out++ = meanings[simple];
            return out;
        }
        std::uint32_t code = read_unit();
        if (code >= 0xd800 && code < 0xdc00) {
            std::uint32_t const low = read_unit();
            if (low < 0xdc00 || low > 0xdfff) refuse("half of a surrogate pair");
            code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        } else if (code >= 0xdc00 && code <= 0xdfff) {
            refuse("half of a surrogate pair");
        }
        auto const put = [&out](std::uint32_t byte) { *out++ = static_cast<char>(static_cast<unsigned char>(byte)); };
        if (code < 0x80) {
            put(code);
        } else if (code < 0x800) {
            put(0xc0 | code >> 6);
            put(0x80 | (code & 0x3f));
        } else {
            if (code >= 0x10000) put(0xf0 | code >> 18);
            put(code >= 0x10000 ? 0x80 | (code >> 12 & 0x3f) : 0xe0 | code >> 12);
            put(0x80 | (code >> 6 & 0x3f));
            put(0x80 | (code & 0x3f));
        }
        return out;
    }

    /// The UTF-16 unit that the escape sequence \uhhhh names.
    std::uint32_t read_unit() {
        if (!accept("\\u")) refuse("an unknown escape sequence, or half of a surrogate pair");
        std::uint32_t unit = 0;
        auto const [stop, fault] = std::from_chars(at_, std::min(at_ + 4, end_), unit, 16);
        if (stop != at_ + 4 || fault != std::errc{}) refuse("expected four hexadecimal digits");
        at_ += 4;
        return unit;
    }

    std::string const& name_;
    json_limits limits_;
    std::unique_ptr<char[]> text_;
    char* at_;
    char* end_;
    std::vector<json_node> nodes_;
    std::vector<std::size_t> open_; ///< the containers around `at_`
    bool opened_ = false;           ///< the last value was a bracket that opens
};

} // namespace detail
} // namespace llamavision
