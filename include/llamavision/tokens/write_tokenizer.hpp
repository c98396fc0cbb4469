// SPDX-License-Identifier: Apache-2.0
// Writes a tokenizer as one of the two files: Meta's tokenizer.model, which lists the ordinary tokens, or Hugging
// Face's tokenizer.json, which also lists the merges that make them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <llamavision/tokens/byte_alphabet.hpp>
#include <llamavision/tokens/pretokenize.hpp>
#include <llamavision/tokens/special_tokens.hpp>
#include <llamavision/tokens/token.hpp>
#include <llamavision/tokens/tokenizer_file.hpp>
#include <llamavision/tokens/vocabulary.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace llamavision::tokens {

namespace detail {

inline std::string encode_base64(std::string_view bytes) {
    constexpr char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string text;
    for (std::size_t at = 0; at < bytes.size(); at += 3) {
        std::size_t const count = std::min<std::size_t>(3, bytes.size() - at);
        unsigned group = 0;
        for (std::size_t i = 0; i < 3; ++i)
            group = group << 8 | (i < count ? static_cast<unsigned char>(bytes[at + i]) : 0u);
        for (std::size_t i = 0; i < 4; ++i) text += i <= count ? digits[(group >> (18 - 6 * i)) & 63u] : '=';
    }
    return text;
}

// All pairs of tokens whose concatenation is a token, sorted by its rank, then by the ranks of the first and the second
// (transformers: TikTokenConverter).
inline std::vector<std::pair<vocabulary::rank, vocabulary::rank>> merges_of(vocabulary const& known) {
    std::vector<std::pair<vocabulary::rank, vocabulary::rank>> all;
    for (vocabulary::rank r = 0; r < known.size(); ++r) {
        auto const text = known[r];
        auto const first = all.size();
        for (std::size_t i = 1; i < text.size(); ++i) {
            auto const left = known.find(text.substr(0, i)), right = known.find(text.substr(i));
            if (left != vocabulary::none && right != vocabulary::none) all.emplace_back(left, right);
        }
        std::sort(all.begin() + static_cast<std::ptrdiff_t>(first), all.end());
    }
    return all;
}

} // namespace detail

/// The names of Hugging Face's special tokens in their order: Meta's without `<|image|>`, which comes last, as the
/// 257th.
inline std::vector<std::string> hugging_face_special_names() {
    auto names = meta_special_names();
    names.erase(std::find(names.begin(), names.end(), "<|image|>"));
    names.push_back("<|reserved_special_token_246|>");
    names.push_back("<|image|>");
    return names;
}

/// The text of a tokenizer.model: a token on each line, in base64, and its rank. It holds no special tokens.
inline std::string tokenizer_model_text(vocabulary const& known) {
    std::string text;
    for (vocabulary::rank r = 0; r < known.size(); ++r)
        text += detail::encode_base64(known[r]) + " " + std::to_string(r) + "\n";
    return text;
}

/// The text of a tokenizer.json, byte for byte what transformers' conversion script writes for the same vocabulary.
/// `specials` are the names of the special tokens from id known.size() on.
inline std::string tokenizer_json_text(vocabulary const& known, std::vector<std::string> const& specials) {
    auto const characters = detail::characters_of_bytes();
    std::vector<std::string> quoted; // as JSON, in GPT-2's alphabet
    for (vocabulary::rank r = 0; r < known.size(); ++r) {
        std::string token_text;
        for (char const c : known[r]) token_text += characters[static_cast<unsigned char>(c)];
        quoted.push_back(nlohmann::json(token_text).dump());
    }
    std::string text = R"({
  "version": "1.0",
  "truncation": null,
  "padding": null,
  "added_tokens": [)";
    for (std::size_t i = 0; i < specials.size(); ++i)
        text += std::string(i ? "," : "") + "\n    {\n      \"id\": " + std::to_string(known.size() + i)
                + ",\n      \"content\": " + nlohmann::json(specials[i]).dump()
                + ",\n      \"single_word\": false,\n      \"lstrip\": false,\n      \"rstrip\": false,\n"
                  "      \"normalized\": false,\n      \"special\": true\n    }";
    text += R"(
  ],
  "normalizer": null,
  "pre_tokenizer": {
    "type": "Sequence",
    "pretokenizers": [
      {
        "type": "Split",
        "pattern": {
          "Regex": )"
            + nlohmann::json(llama3_pattern).dump() + R"(
        },
        "behavior": "Isolated",
        "invert": false
      },
      {
        "type": "ByteLevel",
        "add_prefix_space": false,
        "trim_offsets": true,
        "use_regex": false
      }
    ]
  },
  "post_processor": {
    "type": "ByteLevel",
    "add_prefix_space": true,
    "trim_offsets": false,
    "use_regex": true
  },
  "decoder": {
    "type": "ByteLevel",
    "add_prefix_space": true,
    "trim_offsets": true,
    "use_regex": true
  },
  "model": {
    "type": "BPE",
    "dropout": null,
    "unk_token": null,
    "continuing_subword_prefix": null,
    "end_of_word_suffix": null,
    "fuse_unk": false,
    "byte_fallback": false,
    "ignore_merges": true,
    "vocab": {)";
    for (std::size_t r = 0; r < quoted.size(); ++r)
        text += std::string(r ? "," : "") + "\n      " + quoted[r] + ": " + std::to_string(r);
    text += "\n    },\n    \"merges\": [";
    bool first = true;
    for (auto const& [left, right] : detail::merges_of(known)) {
        text += std::string(first ? "" : ",") + "\n      [\n        " + quoted[left] + ",\n        " + quoted[right]
                + "\n      ]";
        first = false;
    }
    return text + (first ? "" : "\n    ") + "]\n  }\n}";
}

} // namespace llamavision::tokens
