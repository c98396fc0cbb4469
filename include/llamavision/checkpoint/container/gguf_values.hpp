// SPDX-License-Identifier: Apache-2.0
// The values of GGUF's keys: their types, views of them in the file, and a cursor that checks that they end inside of
// it.
#pragma once

#include <llamavision/support/error.hpp>
#include <llamavision/support/print_number.hpp>

#include <bit>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace llamavision::checkpoint {

/// Types of values, in the order of their numbers in files.
enum class gguf_type : std::uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, string, array, u64, i64, f64 };

/// Bytes of a value of that type; for strings and arrays, whose length varies, the smallest possible number.
[[nodiscard]] constexpr std::size_t least_bytes(gguf_type type) {
    constexpr std::size_t bytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8};
    return bytes[static_cast<std::size_t>(type)];
}

namespace detail {

/// The little-endian number in `bytes`, which are at most eight.
[[nodiscard]] inline std::uint64_t little_endian(std::span<std::byte const> bytes) {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i) value |= std::uint64_t{std::to_integer<unsigned>(bytes[i])} << 8 * i;
    return value;
}

/// Reads a file's bytes in order.
/// @throws format_error from every function, if the file ends too early
class gguf_cursor {
  public:
    gguf_cursor(std::span<std::byte const> bytes, std::string const& file) : bytes_(bytes), file_(file) {}

    [[nodiscard]] std::size_t at() const { return at_; }
    [[nodiscard]] std::size_t rest() const { return bytes_.size() - at_; }

    [[noreturn]] void fail(std::string const& what) const {
        throw format_error(file_ + ": not a readable GGUF file: at byte " + std::to_string(at_) + ", " + what);
    }

    std::span<std::byte const> take(std::uint64_t count, char const* what) {
        if (count > rest())
            fail(std::string(what) + " should have " + std::to_string(count) + " bytes, but the file ends after "
                 + std::to_string(rest()));
        auto const result = bytes_.subspan(at_, static_cast<std::size_t>(count));
        at_ += result.size();
        return result;
    }
    std::uint32_t u32(char const* what) { return static_cast<std::uint32_t>(little_endian(take(4, what))); }
    std::uint64_t u64(char const* what) { return little_endian(take(8, what)); }
    std::string_view text(char const* what) {
        auto const bytes = take(u64(what), what);
        return {reinterpret_cast<char const*>(bytes.data()), bytes.size()};
    }
    /// A number of items that take at least `least` bytes each. Checks that so many bytes follow, so that a wrong
    /// number cannot make the reader allocate much memory.
    std::uint64_t count(std::size_t least, char const* what) {
        auto const number = u64(what);
        if (number > rest() / least)
            fail(std::string(what) + " " + std::to_string(number) + " are more than the file has room for");
        return number;
    }
    gguf_type type() {
        auto const number = u32("the type of a value");
        if (number > static_cast<std::uint32_t>(gguf_type::f64))
            fail("the type of a value is " + std::to_string(number) + ", which GGUF does not know");
        return static_cast<gguf_type>(number);
    }

    /// Skips one value. Arrays of arrays are legal. An explicit stack holds how many elements of each array are left,
    /// so that a file cannot make calls nest.
    void pass(gguf_type type) {
        constexpr std::size_t deepest = 16;
        std::vector<std::pair<gguf_type, std::uint64_t>> open{{type, 1}};
        while (!open.empty()) {
            auto& [inner, left] = open.back();
            if (left == 0) {
                open.pop_back();
            } else if (inner == gguf_type::string) {
                --left;
                static_cast<void>(text("a string"));
            } else if (inner == gguf_type::array) {
                --left;
                if (open.size() > deepest) fail("arrays lie in arrays, more than 16 deep");
                auto const element = this->type();
                open.emplace_back(element, count(least_bytes(element), "the elements of an array,"));
            } else {
                take(std::exchange(left, 0) * least_bytes(inner),
                     "a value"); // does not overflow: `count` compared the number with rest()
            }
        }
    }

  private:
    std::span<std::byte const> bytes_;
    std::string const& file_;
    std::size_t at_ = 0;
};

} // namespace detail

/// A view of a value in a file, which must outlive it.
/// @throws format_error from every getter, naming file and key, if the value has another type
class gguf_value {
  public:
    /// @param place the beginning of error messages: file and key
    /// @param bytes those of the value alone, after gguf_cursor::pass has checked them
    gguf_value(std::string place, gguf_type type, std::span<std::byte const> bytes)
        : place_(std::move(place)), type_(type), element_(type), bytes_(bytes) {
        if (type != gguf_type::array) return;
        element_ = static_cast<gguf_type>(detail::little_endian(bytes.first(4)));
        count_ = detail::little_endian(bytes.subspan(4, 8));
        bytes_ = bytes.subspan(12);
    }

    [[nodiscard]] std::string const& place() const { return place_; }
    [[nodiscard]] bool is_array() const { return type_ == gguf_type::array; }

    [[noreturn]] void fail(std::string const& expected) const { throw format_error(place_ + ": expected " + expected); }

    /// An integer of any type in [0, limit].
    [[nodiscard]] std::uint64_t natural(std::uint64_t limit = std::numeric_limits<std::uint64_t>::max()) const {
        if (is_array() || !is_integer(type_)) fail("an integer");
        return natural_in(bytes_, limit);
    }
    /// An integer in [1, limit].
    [[nodiscard]] std::uint64_t positive(std::uint64_t limit = std::numeric_limits<std::uint64_t>::max()) const {
        auto const number = natural(limit);
        if (number == 0) fail("a positive integer");
        return number;
    }
    /// A finite number of any type. A float becomes the shortest decimal that rounds to it: 1e-5, not 9.99999975e-06.
    [[nodiscard]] double number() const {
        double value = 0;
        if (is_array()) fail("a number");
        if (type_ == gguf_type::f64) {
            value = std::bit_cast<double>(detail::little_endian(bytes_));
        } else if (type_ == gguf_type::f32) {
            auto const narrow = std::bit_cast<float>(static_cast<std::uint32_t>(detail::little_endian(bytes_)));
            if (!std::isfinite(narrow)) fail("a finite number");
            auto const digits = print_number(narrow);
            std::from_chars(digits.data(), digits.data() + digits.size(), value);
        } else {
            value = static_cast<double>(natural());
        }
        if (!std::isfinite(value)) fail("a finite number");
        return value;
    }
    [[nodiscard]] std::string_view text() const {
        if (type_ != gguf_type::string) fail("a string");
        return {reinterpret_cast<char const*>(bytes_.data()) + 8, bytes_.size() - 8};
    }
    /// The elements of an array of integers, each in [0, limit].
    [[nodiscard]] std::vector<std::size_t> naturals(std::uint64_t limit) const {
        if (!is_array() || !is_integer(element_)) fail("an array of integers");
        std::vector<std::size_t> result;
        std::size_t const each = least_bytes(element_);
        for (std::size_t i = 0; i < count_; ++i)
            result.push_back(static_cast<std::size_t>(natural_in(bytes_.subspan(i * each, each), limit)));
        return result;
    }
    /// The elements of an array of strings.
    [[nodiscard]] std::vector<std::string> texts() const {
        if (!is_array() || element_ != gguf_type::string) fail("an array of strings");
        std::vector<std::string> result;
        detail::gguf_cursor cursor(bytes_, place_);
        for (std::uint64_t i = 0; i < count_; ++i) result.emplace_back(cursor.text("a string"));
        return result;
    }

  private:
    static constexpr bool is_integer(gguf_type type) {
        return type != gguf_type::f32 && type != gguf_type::f64 && type != gguf_type::boolean
               && type != gguf_type::string && type != gguf_type::array;
    }
    std::uint64_t natural_in(std::span<std::byte const> bytes, std::uint64_t limit) const {
        auto const value = detail::little_endian(bytes);
        bool const is_signed = element_ == gguf_type::i8 || element_ == gguf_type::i16 || element_ == gguf_type::i32
                               || element_ == gguf_type::i64;
        if (is_signed && value >> (8 * bytes.size() - 1) != 0) fail("an integer that is not negative");
        if (value > limit) fail("at most " + std::to_string(limit) + ", found " + std::to_string(value));
        return value;
    }

    std::string place_;
    gguf_type type_, element_;
    std::uint64_t count_ = 0;
    std::span<std::byte const> bytes_;
};

} // namespace llamavision::checkpoint
