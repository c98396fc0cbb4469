// SPDX-License-Identifier: Apache-2.0
// What ends an answer: a token, or a string in its text, which may begin and end inside tokens.
#pragma once

#include <algorithm>
#include <cstddef>
#include <llamavision/support/error.hpp>
#include <llamavision/tokens/token.hpp>
#include <llamavision/tokens/tokenizer.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace llamavision::tokens {

/// The ids that end an answer: of an Instruct model <|end_of_text|>, <|eom_id|> and <|eot_id|>, of a base model only
/// the first (Meta: Tokenizer.stop_tokens; generation_config.json: eos_token_id).
inline std::vector<token> stop_tokens(tokenizer const& t, bool instruct = true) {
    if (!instruct) return {t.end_of_text()};
    return {t.end_of_text(), t.eom(), t.eot()};
}

/// Watches the text of one answer for stop strings. Text that may be the beginning of one is held back until more text
/// decides it, so that no part of a stop string is shown.
class stop_watch {
  public:
    /// @param strings UTF-8
    /// @throws argument_error if one is empty
    explicit stop_watch(std::vector<token> tokens = {}, std::vector<std::string> strings = {})
        : tokens_(std::move(tokens)), strings_(std::move(strings)) {
        for (auto const& s : strings_)
            if (s.empty()) throw argument_error("an empty stop string would end every answer");
    }

    /// Whether this token ends the answer. It is not part of the answer's text.
    bool ends(token id) const { return std::find(tokens_.begin(), tokens_.end(), id) != tokens_.end(); }

    /// Takes the next piece of text and returns what can be shown: the text before the stop string that is complete
    /// first, or before the place where one may begin. Nothing after stopped().
    std::string push(std::string_view text) {
        if (stopped_) return {};
        held_ += text;
        std::size_t show = held_.size(), first_end = std::string::npos;
        for (auto const& s : strings_) {
            auto const at = held_.find(s);
            if (at == std::string::npos) continue;
            // The string that is complete first counts, of two that end together the longer one: so the result does not
            // depend on where pieces end.
            auto const end = at + s.size();
            if (end < first_end || (end == first_end && at < show)) show = at;
            first_end = std::min(first_end, end);
            stopped_ = true;
        }
        if (!stopped_)
            for (auto const& s : strings_) show = std::min(show, beginning_of(s));
        auto out = held_.substr(0, show);
        held_.erase(0, stopped_ ? held_.size() : show);
        return out;
    }

    /// Whether the text held a stop string.
    bool stopped() const { return stopped_; }

    /// At the end of the answer: the text that was held back.
    std::string finish() { return std::exchange(held_, {}); }

    /// Ready for another answer.
    void reset() {
        held_.clear();
        stopped_ = false;
    }

  private:
    // The place in the held text where its longest end begins that is also a beginning of `s`.
    std::size_t beginning_of(std::string const& s) const {
        auto at = held_.size() - std::min(held_.size(), s.size() - 1);
        while (!std::string_view(s).starts_with(std::string_view(held_).substr(at))) ++at;
        return at;
    }

    std::vector<token> tokens_;
    std::vector<std::string> strings_;
    std::string held_;
    bool stopped_ = false;
};

} // namespace llamavision::tokens
