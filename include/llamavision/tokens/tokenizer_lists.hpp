// SPDX-License-Identifier: Apache-2.0
// A tokenizer from GGUF's lists: the tokens by id, in GPT-2's byte alphabet, and their kinds.
#pragma once

#include <cstddef>
#include <llamavision/support/error.hpp>
#include <llamavision/tokens/tokenizer_file.hpp>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace llamavision::tokens {

/// @param types one for each token: 1: ordinary; 3 (control): special; 4 (user-defined): a word of text; 5: unused. If
///   there are none, the ids from Llama 3's first special token on are special.
/// @param merges "left right", or none, which are then those of the ranks
/// @throws format_error, naming `file`, if the lists are not a tokenizer of Llama 3's kind
[[nodiscard]] inline tokenizer_contents tokenizer_from_lists(std::span<std::string const> tokens,
                                                             std::span<std::size_t const> types,
                                                             std::span<std::string const> merges,
                                                             std::string const& file) {
    if (!types.empty() && types.size() != tokens.size())
        throw format_error(file + ": " + std::to_string(tokens.size()) + " tokens, but " + std::to_string(types.size())
                           + " types of tokens");
    if (tokens.size() > static_cast<std::size_t>(std::numeric_limits<token>::max() / 2))
        throw format_error(file + ": too many tokens");
    auto const first_special =
        static_cast<std::size_t>(std::find(tokens.begin(), tokens.end(), "<|begin_of_text|>") - tokens.begin());
    detail::rank_order ranks(file);
    std::vector<added_token> added;
    for (std::size_t id = 0; id < tokens.size(); ++id) {
        std::size_t const type = types.empty() ? (id < first_special ? 1 : 3) : types[id];
        if (type == 1)
            ranks.add(detail::bytes_of_token(tokens[id], file), id);
        else if (type == 3 || type == 4)
            added.push_back({tokens[id], static_cast<token>(id), type == 3 || is_mark(tokens[id])});
        else if (type != 5)
            throw format_error(file + ": token " + std::to_string(id) + " is of type " + std::to_string(type)
                               + ", which byte-pair encoding does not have");
    }
    tokenizer_contents read{
        tokenizer_kind::hugging_face, std::move(ranks).finish(), specials_of(added, file), {added, file}};
    if (!merges.empty())
        detail::check_merges(nlohmann::json(std::vector<std::string>(merges.begin(), merges.end())), read.vocabulary,
                             file, "merges");
    return read;
}

} // namespace llamavision::tokens
