// SPDX-License-Identifier: Apache-2.0
// The published models, number by number (Meta: models/sku_list.py and params.json; Hugging Face: config.json).
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

#include <llamavision/config/configuration.hpp>

namespace llamavision {

namespace config {

/// The merged indices of cross-attention layers, 3, 8, 13, …: after three self-attention layers, then after every
/// fourth.
template <std::size_t N>
[[nodiscard]] constexpr std::array<std::size_t, N> every_fifth_from_3() {
    std::array<std::size_t, N> layers{};
    for (std::size_t i = 0; i < N; ++i) layers[i] = 3 + 5 * i;
    return layers;
}

/// The vision tower. All published models have the same one, except for the size of a tile.
template <std::size_t Tile>
struct llama_3_2_vision {
    static constexpr std::size_t width = 1280, mlp = 5120, heads = 16, layers = 32, global_layers = 8;
    static constexpr std::size_t tile = Tile, patch = 14, channels = 3, tiles = 4;
    static constexpr std::array<std::size_t, 5> taps{3, 7, 15, 23, 30};
    static constexpr float norm_eps = 1e-5f;
};

struct llama_3_2_text {
    static constexpr std::size_t vocabulary = 128256, context = 131072;
    static constexpr float norm_eps = 1e-5f;
    static constexpr rope_numbers rope{500000.0, true, 8.0, 1.0, 4.0, 8192};
};

} // namespace config

/// Llama-3.2-11B-Vision-Instruct and Llama-Guard-3-11B-Vision.
struct llama_3_2_11b_vision {
    static constexpr std::string_view name = "llama-3.2-11b-vision";
    using vision = config::llama_3_2_vision<560>;
    struct text : config::llama_3_2_text {
        static constexpr std::size_t width = 4096, mlp = 14336, heads = 32, kv_heads = 8, layers = 40;
        static constexpr auto cross_layers = config::every_fifth_from_3<8>();
    };
};

/// Llama-3.2-11B-Vision, the base model.
struct llama_3_2_11b_vision_448 {
    static constexpr std::string_view name = "llama-3.2-11b-vision-448";
    using vision = config::llama_3_2_vision<448>;
    using text = llama_3_2_11b_vision::text;
};

/// Llama-3.2-90B-Vision and Llama-3.2-90B-Vision-Instruct.
struct llama_3_2_90b_vision {
    static constexpr std::string_view name = "llama-3.2-90b-vision";
    using vision = config::llama_3_2_vision<560>;
    struct text : config::llama_3_2_text {
        static constexpr std::size_t width = 8192, mlp = 28672, heads = 64, kv_heads = 8, layers = 100;
        static constexpr auto cross_layers = config::every_fifth_from_3<20>();
    };
};

static_assert(configuration<llama_3_2_11b_vision>);
static_assert(configuration<llama_3_2_11b_vision_448>);
static_assert(configuration<llama_3_2_90b_vision>);

} // namespace llamavision
