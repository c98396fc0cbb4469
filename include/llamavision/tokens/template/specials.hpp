// SPDX-License-Identifier: Apache-2.0
// A rendering cut at its special tokens: those that lie wholly in what the template says. The text between two of them
// is one piece, whoever wrote its parts, and is to be encoded as text, so that it merges as transformers' does.
#pragma once

#include <algorithm>
#include <cstddef>
#include <llamavision/tokens/template/template.hpp>
#include <llamavision/tokens/token.hpp>
#include <optional>
#include <string_view>
#include <vector>

namespace llamavision::tokens {

/// A special token, or text without any.
struct prompt_piece {
    std::string_view text; ///< of the rendering; of a special token, its name
    std::optional<token> special{};
};

/// Cuts `made`, which has to live on. `next(text, from)` finds the first special token in `text` from byte `from` on,
/// as special_tokens::next does: {at, length, id}, with length 0 if there is none. It is asked for stretches of the
/// template's own text only.
template <class Next>
std::vector<prompt_piece> cut_at_specials(rendering const& made, Next next) {
    std::vector<prompt_piece> pieces;
    std::string_view const text = made.text;
    std::size_t done = 0; // what lies before is in pieces
    auto const search = [&](std::size_t begin, std::size_t end) {
        auto const own = text.substr(begin, end - begin);
        for (std::size_t at = 0; at < own.size();) {
            auto const found = next(own, at);
            if (found.length == 0) break;
            auto const where = begin + found.at;
            if (where > done) pieces.push_back({text.substr(done, where - done), {}});
            pieces.push_back({text.substr(where, found.length), found.id});
            done = where + found.length;
            at = found.at + found.length;
        }
    };
    std::size_t own = 0; // where the template's text begins
    for (auto const [begin, end] : made.from_user) {
        search(own, begin);
        own = end;
    }
    search(own, text.size());
    if (done < text.size()) pieces.push_back({text.substr(done), {}});
    return pieces;
}

} // namespace llamavision::tokens
