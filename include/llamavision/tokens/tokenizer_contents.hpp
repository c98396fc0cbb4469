// SPDX-License-Identifier: Apache-2.0
// The contents of a tokenizer's file, of either kind.
#pragma once

#include <llamavision/tokens/added_tokens.hpp>
#include <llamavision/tokens/special_tokens.hpp>
#include <llamavision/tokens/tokenizer_kind.hpp>
#include <llamavision/tokens/vocabulary.hpp>
#include <string>
#include <utility>
#include <vector>

namespace llamavision::tokens {

/// What a tokenizer is made of.
struct tokenizer_contents {
    tokenizer_kind kind = tokenizer_kind::meta;
    llamavision::tokens::vocabulary vocabulary;
    special_tokens specials; ///< of the added tokens those that are marks of the format
    added_tokens added;
};

/// Those of a list that are special, by name.
/// @throws format_error, naming `file`, if a name is empty, or a name or id occurs twice
inline special_tokens specials_of(std::vector<added_token> const& list, std::string const& file) {
    std::vector<std::pair<std::string, token>> names;
    for (auto const& t : list)
        if (t.special) names.emplace_back(t.content, t.id);
    return {names, file};
}

} // namespace llamavision::tokens
