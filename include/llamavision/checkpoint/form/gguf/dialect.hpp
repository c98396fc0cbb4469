// SPDX-License-Identifier: Apache-2.0
// The ways in which GGUF files of this model were written, which differ in what they do to gates and rows.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace llamavision::checkpoint {

/// A file cannot always tell its dialect. What differs (see docs/real_checkpoints.md):
enum class gguf_dialect : std::uint8_t {
    as_marked,     ///< whatever the file shows: llamavision, llama.cpp or ollama; two files do not show theirs
    llamavision,   ///< this library's own: rows and gates as Hugging Face has them
    ollama,        ///< 0.7.1 and later: q and k rows in rotary pairs everywhere, the tower's gates after tanh
    ollama_0_7_0,  ///< the tower's rows untouched, and the gates of its global layers before tanh
    pair,          ///< 0.4 to 0.6, model and projector: the text's own rows in rotary pairs, the gates after tanh
    pair_permuted, ///< the same with the rows of cross-attention in rotary pairs, too
    llama_cpp      ///< text models: q and k rows in rotary pairs
};

namespace detail {
inline constexpr std::array<std::pair<gguf_dialect, std::string_view>, 7> gguf_dialects{{
    {gguf_dialect::as_marked, "auto"},
    {gguf_dialect::llamavision, "llamavision"},
    {gguf_dialect::ollama, "ollama"},
    {gguf_dialect::ollama_0_7_0, "ollama-0.7.0"},
    {gguf_dialect::pair, "pair"},
    {gguf_dialect::pair_permuted, "pair-permuted"},
    {gguf_dialect::llama_cpp, "llama.cpp"},
}};
} // namespace detail

[[nodiscard]] constexpr std::string_view name_of(gguf_dialect dialect) {
    return detail::gguf_dialects[static_cast<std::size_t>(dialect)].second;
}

/// The dialect of that name, if it is one.
[[nodiscard]] constexpr std::optional<gguf_dialect> gguf_dialect_of(std::string_view name) {
    for (auto const& [dialect, text] : detail::gguf_dialects)
        if (text == name) return dialect;
    return std::nullopt;
}

/// "auto, llamavision, ...": for help texts and errors.
[[nodiscard]] inline std::string gguf_dialect_names() {
    std::string text;
    for (auto const& entry : detail::gguf_dialects) text += (text.empty() ? "" : ", ") + std::string(entry.second);
    return text;
}

} // namespace llamavision::checkpoint
