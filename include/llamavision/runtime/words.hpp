// SPDX-License-Identifier: Apache-2.0
// A checkpoint's tokenizer, wherever it lies: in the weights' file, or in one of its own.
#pragma once

#include <optional>
#include <string>

#include <llamavision/checkpoint/description.hpp>
#include <llamavision/tokens/tokenizer.hpp>
#include <llamavision/tokens/tokenizer_file.hpp>
#include <llamavision/tokens/tokenizer_lists.hpp>

namespace llamavision {

/// Where the tokenizer lies, for messages; empty if there is none.
[[nodiscard]] inline std::string tokenizer_place(checkpoint::description const& d) {
    if (!d.words.text.empty() || !d.words.tokens.empty()) return d.words.file;
    return (d.tokenizer_json.empty() ? d.tokenizer_model : d.tokenizer_json).string();
}

/// @return nothing if the checkpoint has none
/// @throws file_error, format_error
[[nodiscard]] inline std::optional<tokens::tokenizer> open_tokenizer(checkpoint::description const& d) {
    auto const place = tokenizer_place(d);
    if (place.empty()) return std::nullopt;
    if (!d.words.text.empty()) return tokens::tokenizer(tokens::parse_tokenizer(d.words.text, place), place);
    if (!d.words.tokens.empty())
        return tokens::tokenizer(tokens::tokenizer_from_lists(d.words.tokens, d.words.types, place), place);
    return tokens::tokenizer::open(place);
}

} // namespace llamavision
