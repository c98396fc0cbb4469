// SPDX-License-Identifier: Apache-2.0
// Tokens that stand for a text of their own (tokenizer.json: added_tokens), and how they are found. Special ones are
// marks of the format. The others are words that somebody added: each is one id wherever it stands, and part of what is
// said.
#pragma once

#include <algorithm>
#include <cstddef>
#include <llamavision/tokens/special_tokens.hpp>
#include <llamavision/tokens/token.hpp>
#include <llamavision/tokens/unicode.hpp>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace llamavision::tokens {

/// One entry; the names are those of the tokenizers library.
struct added_token {
    std::string content;
    token id = 0;
    bool special = true;
    bool lstrip = false;      ///< takes the white space before it
    bool rstrip = false;      ///< takes the white space after it
    bool single_word = false; ///< is one only between characters that are no letters, numbers or "_"
    bool normalized = false;  ///< is looked for after all those that are not
};

namespace detail {

// Where the white space begins that `text` ends with.
inline std::size_t space_before(std::string_view text) {
    std::size_t at = text.size();
    while (at > 0) {
        std::size_t begin = at - 1;
        while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xC0u) == 0x80) --begin;
        if (classify(next_character(text, begin).code) != char_class::space) break;
        at = begin;
    }
    return at;
}

// How many bytes of white space `text` begins with.
inline std::size_t space_after(std::string_view text) {
    std::size_t at = 0;
    while (at < text.size()) {
        auto const step = next_character(text, at);
        if (classify(step.code) != char_class::space) break;
        at += step.length;
    }
    return at;
}

// \w, but for combining marks and signs that are neither letters nor numbers.
inline bool is_word_character(char32_t code) {
    auto const kind = classify(code);
    return kind == char_class::letter || kind == char_class::number || code == U'_';
}

inline bool ends_with_word(std::string_view text) {
    if (text.empty()) return false;
    std::size_t begin = text.size() - 1;
    while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xC0u) == 0x80) --begin;
    return is_word_character(next_character(text, begin).code);
}

inline bool begins_with_word(std::string_view text) {
    return !text.empty() && is_word_character(next_character(text, 0).code);
}

} // namespace detail

/// All of a tokenizer's, and how they cut a text. Immutable.
class added_tokens {
  public:
    added_tokens() = default;

    /// @throws format_error, naming `file`, if a name is empty, or a name or id occurs twice
    added_tokens(std::vector<added_token> const& list, std::string const& file) {
        std::vector<std::pair<std::string, token>> all, plain, normalized;
        for (auto const& t : list) {
            all.emplace_back(t.content, t.id);
            (t.normalized ? normalized : plain).emplace_back(t.content, t.id);
            has_words_ = has_words_ || !t.special;
        }
        names_ = special_tokens(all, file);
        plain_ = special_tokens(plain, file);
        normalized_ = special_tokens(normalized, file);
        for (auto const& t : list) rules_.emplace(t.id, t);
    }

    /// All of them, special or not.
    special_tokens const& names() const { return names_; }
    std::map<token, added_token> const& all() const { return rules_; }

    /// Cuts valid UTF-8 as the tokenizers library does (AddedVocabulary::extract_and_normalize): calls `on_text` with
    /// each stretch of text and `on_token` with each id, in order. Without `specials`, a special token's name is text.
    template <class OnText, class OnToken>
    void cut(std::string_view text, bool specials, OnText const& on_text, OnToken const& on_token) const {
        if (!specials && !has_words_) return text.empty() ? void() : on_text(text);
        cut_by(
            plain_, text, specials,
            [&](std::string_view rest) { cut_by(normalized_, rest, specials, on_text, on_token); }, on_token);
    }

  private:
    template <class OnText, class OnToken>
    void cut_by(special_tokens const& names, std::string_view text, bool specials, OnText const& on_text,
                OnToken const& on_token) const {
        std::size_t done = 0;
        for (auto found = names.next(text, 0); found.length > 0; found = names.next(text, found.at + found.length)) {
            std::size_t begin = found.at, end = found.at + found.length;
            added_token const& rule = rules_.at(found.id);
            if (rule.special && !specials) continue;
            if (rule.single_word
                && (detail::ends_with_word(text.substr(0, begin)) || detail::begins_with_word(text.substr(end))))
                continue;
            if (rule.lstrip) begin = std::max(detail::space_before(text.substr(0, begin)), std::min(done, begin));
            if (rule.rstrip) end += detail::space_after(text.substr(end));
            if (begin > done) on_text(text.substr(done, begin - done));
            on_token(found.id);
            done = end;
        }
        if (done < text.size()) on_text(text.substr(done));
    }

    special_tokens names_, plain_, normalized_;
    std::map<token, added_token> rules_;
    bool has_words_ = false;
};

} // namespace llamavision::tokens
