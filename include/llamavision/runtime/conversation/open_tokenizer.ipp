// SPDX-License-Identifier: Apache-2.0
// The places that a tokenizer is read from, in order.
#pragma once

#include <llamavision/runtime/conversation/open_tokenizer.hpp>
#include <llamavision/tokens/tokenizer_file.hpp>
#include <llamavision/tokens/tokenizer_lists.hpp>

namespace llamavision {

LLAMAVISION_INLINE std::string tokenizer_place(checkpoint::description const& d) {
    if (!d.tokenizer.text.empty() || !d.tokenizer.tokens.empty()) return d.tokenizer.file;
    return (d.tokenizer_json.empty() ? d.tokenizer_model : d.tokenizer_json).string();
}

LLAMAVISION_INLINE std::optional<tokens::tokenizer> open_tokenizer(checkpoint::description const& d) {
    auto const place = tokenizer_place(d);
    if (place.empty()) return std::nullopt;
    if (!d.tokenizer.text.empty()) return tokens::tokenizer(tokens::parse_tokenizer(d.tokenizer.text, place), place);
    if (!d.tokenizer.tokens.empty())
        return tokens::tokenizer(
            tokens::tokenizer_from_lists(d.tokenizer.tokens, d.tokenizer.types, d.tokenizer.merges, place), place);
    return tokens::tokenizer::open(place);
}

} // namespace llamavision
