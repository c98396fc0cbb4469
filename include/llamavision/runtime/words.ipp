// SPDX-License-Identifier: Apache-2.0
// Which of the places a tokenizer is read from.
#pragma once

#include <llamavision/runtime/words.hpp>
#include <llamavision/tokens/tokenizer_file.hpp>
#include <llamavision/tokens/tokenizer_lists.hpp>

namespace llamavision {

LLAMAVISION_INLINE std::string tokenizer_place(checkpoint::description const& d) {
    if (!d.words.text.empty() || !d.words.tokens.empty()) return d.words.file;
    return (d.tokenizer_json.empty() ? d.tokenizer_model : d.tokenizer_json).string();
}

LLAMAVISION_INLINE std::optional<tokens::tokenizer> open_tokenizer(checkpoint::description const& d) {
    auto const place = tokenizer_place(d);
    if (place.empty()) return std::nullopt;
    if (!d.words.text.empty()) return tokens::tokenizer(tokens::parse_tokenizer(d.words.text, place), place);
    if (!d.words.tokens.empty())
        return tokens::tokenizer(tokens::tokenizer_from_lists(d.words.tokens, d.words.types, place), place);
    return tokens::tokenizer::open(place);
}

} // namespace llamavision
