// SPDX-License-Identifier: Apache-2.0
// The lexer: jinja2's regular expressions, written out by hand.
#pragma once

#include <algorithm>
#include <charconv>
#include <llamavision/tokens/template/lexer.hpp>
#include <llamavision/tokens/template/text_tools.hpp>
#include <optional>
#include <system_error>
#include <utility>

namespace llamavision::tokens::jinja {

namespace detail {

// Line ends become "\n", and one at the very end goes (keep_trailing_newline is off).
inline std::string with_plain_newlines(std::string_view source) {
    std::string text;
    text.reserve(source.size());
    for (std::size_t i = 0; i < source.size(); ++i) {
        if (source[i] != '\r') {
            text += source[i];
            continue;
        }
        text += '\n';
        if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    }
    if (text.ends_with('\n')) text.pop_back();
    return text;
}

inline bool is_digit(char c) { return c >= '0' && c <= '9'; }

class lexer {
  public:
    lexer(std::string_view source, std::string const& name) : source_(with_plain_newlines(source)), name_(name) {}

    std::vector<lexeme> run() {
        if (auto const good = valid_prefix(source_); good < source_.size()) fail(good, "a byte that is not UTF-8");
        while (at_ < source_.size()) outside();
        put(lexeme::form::end, source_.size());
        return std::move(out_);
    }

  private:
    [[noreturn]] void fail(std::size_t at, std::string const& what) { throw template_error(name_, place_of(at), what); }

    char ahead(std::size_t by = 0) const { return at_ + by < source_.size() ? source_[at_ + by] : '\0'; }

    // Offsets are asked for in ascending order, but for errors.
    template_position place_of(std::size_t at) {
        if (at < counted_) {
            counted_ = 0;
            place_ = {};
        }
        for (; counted_ < at; ++counted_) {
            if (source_[counted_] == '\n')
                place_ = {place_.line + 1, 1};
            else if ((static_cast<unsigned char>(source_[counted_]) & 0xC0u) != 0x80u)
                ++place_.column;
        }
        return place_;
    }

    lexeme& put(lexeme::form what, std::size_t at, std::string text = {}) {
        out_.push_back({what, place_of(at), std::move(text), 0, 0});
        return out_.back();
    }

    std::size_t after_space(std::size_t at) const { return skip_space(source_, at); }

    // One piece of text and the beginning of the tag after it.
    void outside() {
        auto tag = at_;
        while ((tag = source_.find('{', tag)) != std::string::npos) {
            auto const next = tag + 1 < source_.size() ? source_[tag + 1] : '\0';
            if (next == '%' || next == '{' || next == '#') break;
            ++tag;
        }
        if (tag == std::string::npos) {
            put(lexeme::form::data, at_, source_.substr(at_));
            at_ = source_.size();
            return;
        }
        auto const begin = std::exchange(at_, tag + 2);
        char const opening = source_[tag + 1];
        char const sign = ahead() == '-' || ahead() == '+' ? source_[at_++] : '\0';
        put_data(begin, tag, sign, opening != '{');
        if (opening == '#') return comment(tag);
        if (opening == '%')
            if (auto const inside = raw_begin(at_)) return raw(tag, *inside);
        put(opening == '%' ? lexeme::form::block_begin : lexeme::form::output_begin, tag);
        inside(tag, opening == '%');
    }

    // Text before a tag. `sign` is what stands behind the tag's opening; tags that print nothing take the white space
    // between them and the beginning of their line with them.
    void put_data(std::size_t begin, std::size_t end, char sign, bool takes_indentation) {
        std::string_view text = std::string_view(source_).substr(begin, end - begin);
        if (sign == '-') {
            text = text.substr(0, without_space_behind(text));
        } else if (sign != '+' && takes_indentation) {
            auto const newline = text.rfind('\n');
            auto const line = newline == std::string_view::npos ? 0 : newline + 1;
            if ((line > 0 || line_starting_) && line < text.size() && skip_space(text, line) == text.size())
                text = text.substr(0, line);
        }
        if (!text.empty()) put(lexeme::form::data, begin, std::string(text));
    }

    // Behind the end of a tag: "-" takes all white space with it, and the end of a tag that prints nothing one newline.
    void close(std::size_t end, char sign, bool takes_newline) {
        at_ = end;
        if (sign == '-')
            at_ = after_space(at_);
        else if (sign != '+' && takes_newline && ahead() == '\n')
            ++at_;
        line_starting_ = source_[at_ - 1] == '\n';
    }

    void comment(std::size_t tag) {
        auto const end = source_.find("#}", at_);
        if (end == std::string::npos) fail(tag, "a comment that does not end");
        char const before = end > at_ ? source_[end - 1] : '\0';
        close(end + 2, before, true);
    }

    // The end of "raw %}" from `at` on, if that stands there; white space behind "-%}" goes, a newline behind "%}" not.
    std::optional<std::size_t> raw_begin(std::size_t at) const {
        at = after_space(at);
        if (source_.compare(at, 3, "raw") != 0) return std::nullopt;
        at = after_space(at + 3);
        if (source_.compare(at, 2, "%}") == 0) return at + 2;
        if (source_.compare(at, 3, "-%}") == 0) return after_space(at + 3);
        return std::nullopt;
    }

    void raw(std::size_t tag, std::size_t begin) {
        line_starting_ = source_[begin - 1] == '\n';
        for (auto end = begin; (end = source_.find("{%", end)) != std::string::npos; end += 2) {
            auto at = end + 2;
            char const sign = at < source_.size() && (source_[at] == '-' || source_[at] == '+') ? source_[at++] : '\0';
            at = after_space(at);
            if (source_.compare(at, 6, "endraw") != 0) continue;
            at = after_space(at + 6);
            char const closing = source_.compare(at, 3, "-%}") == 0   ? '-'
                                 : source_.compare(at, 3, "+%}") == 0 ? '+'
                                                                      : '\0';
            if (closing != '\0') ++at;
            if (source_.compare(at, 2, "%}") != 0) continue;
            put_data(begin, end, sign, true);
            return close(at + 2, closing, true);
        }
        fail(tag, "a raw block that does not end");
    }

    // The inside of {{ }} or {% %}.
    void inside(std::size_t tag, bool is_block) {
        std::string open; // the brackets that are to be closed
        std::string_view const end = is_block ? "%}" : "}}";
        while (true) {
            at_ = after_space(at_);
            if (at_ >= source_.size()) fail(tag, "a tag that does not end");
            if (open.empty()) {
                bool const minus = source_.compare(at_, 3, std::string("-") + std::string(end)) == 0;
                bool const plus = is_block && source_.compare(at_, 3, "+%}") == 0;
                if (minus || plus || source_.compare(at_, 2, end) == 0) {
                    put(is_block ? lexeme::form::block_end : lexeme::form::output_end, at_);
                    return close(at_ + (minus || plus ? 3 : 2), minus ? '-' : plus ? '+' : '\0', is_block);
                }
            }
            char const c = source_[at_];
            if (is_digit(c))
                number();
            else if (c == '\'' || c == '"')
                string();
            else if (auto const length = identifier_length(at_); length > 0)
                identifier(length);
            else
                symbol(open);
        }
    }

    void identifier(std::size_t length) {
        put(lexeme::form::name, at_, source_.substr(at_, length));
        at_ += length;
    }

    std::size_t identifier_length(std::size_t at) const {
        auto const begin = at;
        while (at < source_.size()) {
            auto const step = next_character(source_, at);
            bool const ascii = step.code < 0x80;
            bool const letter = ascii ? is_ascii_letter(static_cast<char>(step.code)) || step.code == U'_'
                                      : classify(step.code) == char_class::letter;
            bool const digit = ascii ? is_digit(source_[at]) : classify(step.code) == char_class::number;
            if (!letter && !(digit && at > begin)) break;
            at += step.length;
        }
        return at - begin;
    }

    // Digits with single underscores between them, from `at` on: where they end.
    template <class Accept>
    std::size_t digits(std::size_t at, Accept accept) const {
        auto const is = [&](std::size_t i) { return i < source_.size() && accept(source_[i]); };
        if (!is(at)) return at;
        while (is(at) || (at < source_.size() && source_[at] == '_' && is(at + 1))) ++at;
        return at;
    }

    void number() {
        auto const begin = at_;
        auto const whole = digits(begin, is_digit);
        auto end = whole;
        bool real = false;
        if (begin == 0 || source_[begin - 1] != '.') { // in x.0.1 there are two indices
            if (end < source_.size() && source_[end] == '.' && digits(end + 1, is_digit) > end + 1) {
                end = digits(end + 1, is_digit);
                real = true;
            }
            if (end < source_.size() && (source_[end] == 'e' || source_[end] == 'E')) {
                auto const sign = end + 1 < source_.size() && (source_[end + 1] == '-' || source_[end + 1] == '+');
                auto const exponent = end + (sign ? 2 : 1);
                if (auto const last = digits(exponent, is_digit); last > exponent) {
                    end = last;
                    real = true;
                }
            }
        }
        if (real) return put_real(begin, end);
        int base = 10;
        if (source_[begin] == '0') {
            char const mark = begin + 1 < source_.size() ? static_cast<char>(source_[begin + 1] | 0x20) : '\0';
            int const wanted = mark == 'b' ? 2 : mark == 'o' ? 8 : mark == 'x' ? 16 : 10;
            auto const first = begin + 2 + (begin + 2 < source_.size() && source_[begin + 2] == '_');
            auto const last = wanted == 10 ? first : digits(first, [&](char c) {
                return wanted == 16 ? is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
                                    : c >= '0' && c < '0' + wanted;
            });
            if (last > first) {
                base = wanted;
                end = last;
            } else {
                end = digits(begin, [](char c) { return c == '0'; });
            }
        }
        put_integer(begin, end, base);
    }

    std::string plain_digits(std::size_t begin, std::size_t end) const {
        std::string text = source_.substr(begin, end - begin);
        text.erase(std::remove(text.begin(), text.end(), '_'), text.end());
        return text;
    }

    void put_integer(std::size_t begin, std::size_t end, int base) {
        auto const text = plain_digits(begin + (base == 10 ? 0 : 2), end);
        auto& made = put(lexeme::form::integer, begin);
        auto const [stop, failure] = std::from_chars(text.data(), text.data() + text.size(), made.integer, base);
        if (failure != std::errc{}) fail(begin, "an integer beyond 64 bits");
        at_ = end;
    }

    void put_real(std::size_t begin, std::size_t end) {
        auto const text = plain_digits(begin, end);
        auto& made = put(lexeme::form::real, begin);
        auto const [stop, failure] = std::from_chars(text.data(), text.data() + text.size(), made.real);
        if (failure != std::errc{}) fail(begin, "a number out of range");
        at_ = end;
    }

    void symbol(std::string& open) {
        static constexpr std::string_view two[] = {"//", "**", "==", "!=", ">=", "<="};
        static constexpr std::string_view one = "+-/*%~[](){}><=.:|,;";
        auto const rest = std::string_view(source_).substr(at_);
        std::size_t length = one.find(rest[0]) != std::string_view::npos ? 1 : 0;
        for (auto const known : two)
            if (rest.starts_with(known)) length = 2;
        if (length == 0)
            fail(at_, "an unexpected character " + in_quotes(rest.substr(0, next_character(rest, 0).length)));
        if (auto const bracket = std::string_view("([{").find(rest[0]); bracket != std::string_view::npos) {
            open += ")]}"[bracket];
        } else if (rest[0] == ')' || rest[0] == ']' || rest[0] == '}') {
            if (open.empty()) fail(at_, std::string("an unexpected '") + rest[0] + "'");
            if (open.back() != rest[0])
                fail(at_, std::string("an unexpected '") + rest[0] + "' where '" + open.back() + "' should close");
            open.pop_back();
        }
        put(lexeme::form::symbol, at_, std::string(rest.substr(0, length)));
        at_ += length;
    }

    void string() {
        auto const begin = at_;
        char const quote = source_[at_++];
        std::string text;
        while (at_ < source_.size() && source_[at_] != quote) {
            if (source_[at_] == '\\')
                escape(text);
            else
                text += source_[at_++];
        }
        if (at_ >= source_.size()) fail(begin, "a string that does not end");
        ++at_;
        put(lexeme::form::string, begin, std::move(text));
    }

    // One escape of a string. jinja2 encodes the string as ASCII with backslashes, then decodes it as Python would.
    void escape(std::string& text) {
        auto const begin = at_++;
        if (at_ >= source_.size()) return;
        auto const step = next_character(source_, at_);
        at_ += step.length;
        static constexpr std::string_view letters = "abfnrtv", meant = "\a\b\f\n\r\t\v";
        if (step.code >= 0x80) { // the backslash is taken for the one that ASCII needs: '\é' is '\xe9' in four letters
            text += '\\';
            text += step.code < 0x100 ? 'x' : step.code < 0x10000 ? 'u' : 'U';
            append_hex(text, step.code, step.code < 0x100 ? 2 : step.code < 0x10000 ? 4 : 8);
            return;
        }
        char const c = static_cast<char>(step.code);
        if (auto const known = letters.find(c); known != std::string_view::npos) {
            text += meant[known];
        } else if (c == '\\' || c == '\'' || c == '"') {
            text += c;
        } else if (c == 'x' || c == 'u' || c == 'U') {
            code_point(text, begin, c == 'x' ? 2 : c == 'u' ? 4 : 8);
        } else if (c >= '0' && c <= '7') {
            char32_t code = static_cast<char32_t>(c - '0');
            for (int i = 0; i < 2 && ahead() >= '0' && ahead() <= '7'; ++i)
                code = code * 8 + static_cast<char32_t>(source_[at_++] - '0');
            append_utf8(text, code);
        } else if (c == 'N') {
            fail(begin, "the escape \\N is not interpreted");
        } else if (c != '\n') { // a backslash before a line's end joins the lines
            text += '\\';
            text += c;
        }
    }

    void code_point(std::string& text, std::size_t begin, std::size_t count) {
        std::uint32_t code = 0;
        auto const* const first = source_.data() + at_;
        auto const* const last = first + std::min(count, source_.size() - at_);
        auto const [stop, failure] = std::from_chars(first, last, code, 16);
        if (failure != std::errc{} || stop != first + count) fail(begin, "an escape without its digits");
        if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) fail(begin, "an escape that is no character");
        append_utf8(text, code);
        at_ += count;
    }

    std::string source_;
    std::string const& name_;
    std::size_t at_ = 0;
    bool line_starting_ = true; // whether the lexeme before ended with a newline
    std::vector<lexeme> out_;
    std::size_t counted_ = 0; // place_ is that of this offset
    template_position place_{};
};

} // namespace detail

LLAMAVISION_INLINE std::vector<lexeme> lexemes_of(std::string_view source, std::string const& name) {
    return detail::lexer(source, name).run();
}

} // namespace llamavision::tokens::jinja
