// SPDX-License-Identifier: Apache-2.0
// The numbers of one model as run-time values. Both a `config.json` and a configuration type can be converted to them,
// so that the two can be compared.
#pragma once

#include <llamavision/config/arrangements.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace llamavision::config {

/// Rotary position embedding: theta, and the "llama3" scaling of long wavelengths (Meta: apply_scaling).
struct rope_numbers {
    double theta = 500000.0;
    bool scaled = true; ///< false: plain frequencies, and the four numbers below have no meaning
    double factor = 8.0;
    double low_freq_factor = 1.0;
    double high_freq_factor = 4.0;
    std::size_t original_context = 8192;

    bool operator==(rope_numbers const&) const = default;
};

struct vision_numbers {
    std::size_t width = 0;                  ///< hidden_size
    std::size_t mlp = 0;                    ///< intermediate_size
    std::size_t heads = 0;                  ///< attention_heads
    std::size_t layers = 0;                 ///< num_hidden_layers
    std::size_t global_layers = 0;          ///< num_global_layers
    std::size_t tile = 0;                   ///< image_size: pixels along a tile's side
    std::size_t patch = 0;                  ///< patch_size
    std::size_t channels = 3;               ///< num_channels
    std::size_t tiles = 4;                  ///< max_num_tiles
    std::vector<std::size_t> taps;          ///< intermediate_layers_indices: the inputs of these layers are collected
    std::vector<arrangement> aspect_ratios; ///< supported_aspect_ratios
    double norm_eps = 1e-5;                 ///< of the layers; layernorm_pre and layernorm_post always use 1e-5

    bool operator==(vision_numbers const&) const = default;
};

struct text_numbers {
    std::size_t width = 0;                 ///< hidden_size
    std::size_t mlp = 0;                   ///< intermediate_size
    std::size_t heads = 0;                 ///< num_attention_heads
    std::size_t kv_heads = 0;              ///< num_key_value_heads
    std::size_t layers = 0;                ///< num_hidden_layers: self-attention and cross-attention layers together
    std::vector<std::size_t> cross_layers; ///< cross_attention_layers: merged indices, ascending
    std::size_t vocabulary = 0;            ///< vocab_size: rows of lm_head; embed_tokens of Llama 3.2 Vision has 8 more
    std::size_t context = 131072;          ///< max_position_embeddings
    double norm_eps = 1e-5;                ///< rms_norm_eps
    rope_numbers rope;
    bool tied_head = false; ///< tie_word_embeddings: the head shares the embedding's weight; a text model's alone

    bool operator==(text_numbers const&) const = default;
};

/// The architecture that numbers describe: `model_type` of a config.json.
enum class family : std::uint8_t {
    mllama, ///< Llama 3.2 Vision: a vision tower, and text layers that attend to its output
    llama   ///< text models, Llama 3.1 and 3.2: no tower, no cross-attention layers, no extra rows in the embedding
};

/// "mllama" or "llama".
[[nodiscard]] constexpr std::string_view name_of(family kind) { return kind == family::llama ? "llama" : "mllama"; }

struct numbers {
    family kind = family::mllama;
    vision_numbers vision; ///< of a text model: vision_numbers{}
    text_numbers text;

    bool operator==(numbers const&) const = default;
};

} // namespace llamavision::config
