// SPDX-License-Identifier: Apache-2.0
// The dialects of GGUF files: programs that wrote them changed gates and the order of rows in different ways.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace llamavision::checkpoint {

/// The dialects, and what differs (docs/real_checkpoints.md). Not every file tells its own.
enum class gguf_dialect : std::uint8_t {
    as_marked,    ///< the one that the file tells: llamavision, llama.cpp or ollama; two files tell none
    llamavision,  ///< this library's own: rows and gates as in Hugging Face's form
    ollama,       ///< 0.7.1 and later: all q and k rows in rotary pairs, the tower's gates after tanh
    ollama_0_7_0, ///< 0.7.0: the tower's rows are unchanged, and the gates of its global layers are before tanh
    pair, ///< ollama 0.4 to 0.6, model and projector: q and k rows of self-attention in rotary pairs, gates after tanh
    pair_permuted, ///< the same with the rows of cross-attention in rotary pairs
    llama_cpp      ///< text models: q and k rows in rotary pairs
};

/// All dialects with their names.
inline constexpr std::array<std::pair<gguf_dialect, std::string_view>, 7> gguf_dialects{{
    {gguf_dialect::as_marked, "auto"},
    {gguf_dialect::llamavision, "llamavision"},
    {gguf_dialect::ollama, "ollama"},
    {gguf_dialect::ollama_0_7_0, "ollama-0.7.0"},
    {gguf_dialect::pair, "pair"},
    {gguf_dialect::pair_permuted, "pair-permuted"},
    {gguf_dialect::llama_cpp, "llama.cpp"},
}};

[[nodiscard]] constexpr std::string_view name_of(gguf_dialect dialect) {
    return gguf_dialects[static_cast<std::size_t>(dialect)].second;
}

/// The dialect of that name; empty if there is none.
[[nodiscard]] constexpr std::optional<gguf_dialect> gguf_dialect_of(std::string_view name) {
    for (auto const& [dialect, text] : gguf_dialects)
        if (text == name) return dialect;
    return std::nullopt;
}

/// All names, "auto, llamavision, ...", for help texts and errors.
[[nodiscard]] inline std::string gguf_dialect_names() {
    std::string text;
    for (auto const& entry : gguf_dialects) text += (text.empty() ? "" : ", ") + std::string(entry.second);
    return text;
}

} // namespace llamavision::checkpoint
