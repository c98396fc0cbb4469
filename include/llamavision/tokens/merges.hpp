// SPDX-License-Identifier: Apache-2.0
// tokenizer.json's list of merges: pairs of tokens that are joined, in this order. `bpe` joins by rank instead, as
// tiktoken does: any pair whose concatenation is a token, the lowest rank first. Both give the same ids if
//
// - the list is in the order of the ranks of what its pairs make, and
// - for every token, it holds the pair that joining by rank joins last when it makes that token from its bytes.
//
// Why these suffice: when a pair is joined inside a longer text, its bytes were joined exactly as if they stood alone.
// So joining by rank makes each token from one pair only, and other pairs that make it need not be listed. transformers
// lists all pairs; a tokenizer that was trained from scratch has one pair for each token.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <llamavision/support/error.hpp>
#include <llamavision/support/quoted.hpp>
#include <llamavision/tokens/bpe.hpp>
#include <llamavision/tokens/byte_alphabet.hpp>
#include <llamavision/tokens/vocabulary.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace llamavision::tokens::detail {

/// The two tokens of one merge, in GPT-2's alphabet.
struct merge {
    std::string_view left, right;
};

/// One entry of the list: "left right", or a pair. @throws format_error
inline merge read_merge(nlohmann::json const& entry, std::size_t index, std::string const& file,
                        std::string const& key) {
    merge result;
    if (entry.is_string()) {
        std::string_view const text = entry.get_ref<std::string const&>();
        auto const space = std::min(text.find(' '), text.size());
        result = {text.substr(0, space), text.substr(std::min(space + 1, text.size()))};
    } else if (entry.is_array() && entry.size() == 2 && entry[0].is_string() && entry[1].is_string()) {
        result = {entry[0].get_ref<std::string const&>(), entry[1].get_ref<std::string const&>()};
    }
    if (result.left.empty() || result.right.empty())
        throw format_error(file + ": entry " + std::to_string(index) + " of " + key + " is not two tokens");
    return result;
}

/// @param key where the list stands in the file, for errors
/// @throws format_error if joining by the list could give other ids than joining by rank
inline void check_merges(nlohmann::json const& list, vocabulary const& known, std::string const& file,
                         std::string const& key) {
    if (!list.is_array()) throw format_error(file + ": no " + key);
    auto const characters = characters_of_bytes();
    bpe by_rank(known);
    std::string written;             // the token in the alphabet
    std::vector<std::size_t> splits; // bytes of its first part, for each pair that makes it
    std::vector<std::size_t> places; // for each pair, where the second part begins in `written`; 0: the pair was listed
    std::size_t next = 0;
    for (vocabulary::rank r = 0; r < known.size(); ++r) {
        auto const text = known[r];
        if (text.size() < 2) continue;
        written.clear(), splits.clear(), places.clear();
        for (std::size_t i = 0; i < text.size(); ++i) {
            if (i > 0 && known.find(text.substr(0, i)) != vocabulary::none
                && known.find(text.substr(i)) != vocabulary::none) {
                splits.push_back(i);
                places.push_back(written.size());
            }
            written += characters[static_cast<unsigned char>(text[i])];
        }
        std::size_t left = splits.size(); // pairs that were not listed yet
        for (; next < list.size(); ++next) {
            auto const [first, second] = read_merge(list[next], next, file, key);
            if (first.size() + second.size() != written.size() || !written.starts_with(first)
                || !written.ends_with(second))
                break;
            auto const place = std::find(places.begin(), places.end(), first.size());
            if (place == places.end()) break;
            *place = 0;
            --left;
        }
        if (left == 0) continue;
        std::size_t const needed = by_rank.last_join(r);
        for (std::size_t i = 0; i < splits.size(); ++i)
            if (splits[i] == needed && places[i] != 0)
                throw format_error(file + ": " + key + " does not lead to token " + std::to_string(r) + ", "
                                   + in_quotes(written) + ", in the order of the ranks: no entry "
                                   + in_quotes(std::string(written, 0, places[i]) + " " + written.substr(places[i])));
    }
    if (next < list.size()) {
        auto const [first, second] = read_merge(list[next], next, file, key);
        throw format_error(file + ": entry " + std::to_string(next) + " of " + key + ", " + in_quotes(first) + " and "
                           + in_quotes(second) + ", makes no token of model.vocab, or not in the order of the ranks");
    }
}

/// `bpe` takes a piece that is a token for that token, as the tokenizers library does with ignore_merges. Without it,
/// the ids are the same if joining leads to every token.
/// @throws format_error that names a token to which it does not
inline void check_reachable(vocabulary const& known, std::string const& file) {
    bpe by_rank(known);
    for (vocabulary::rank r = 0; r < known.size(); ++r)
        if (known[r].size() > 1 && by_rank.last_join(r) == 0)
            throw format_error(file + ": model.ignore_merges is not true, and no merges lead to token "
                               + std::to_string(r) + ", " + in_quotes(known[r]) + ", which Llama 3 has");
}

} // namespace llamavision::tokens::detail
