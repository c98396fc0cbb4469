// SPDX-License-Identifier: Apache-2.0
// The configurations of the golden models: p1, g1 (also of g1_ids, whose tile tables differ), g2. The numbers of
// shapes.py, as types.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

#include <llamavision/config/numbers.hpp>

namespace llamavision::golden {

struct p1 {
    static constexpr std::string_view name = "p1";
    struct vision {
        static constexpr std::size_t width = 48, mlp = 192, heads = 3, layers = 6, global_layers = 2;
        static constexpr std::size_t tile = 70, patch = 14, channels = 3, tiles = 4;
        static constexpr std::array<std::size_t, 4> taps{1, 2, 4, 5};
        static constexpr float norm_eps = 1e-5f;
    };
    struct text {
        static constexpr std::size_t width = 64, mlp = 160, heads = 4, kv_heads = 2, layers = 8;
        static constexpr std::array<std::size_t, 2> cross_layers{2, 6};
        static constexpr std::size_t vocabulary = 512, context = 131072;
        static constexpr float norm_eps = 1e-5f;
        static constexpr llamavision::config::rope_numbers rope{500000.0, true, 8.0, 1.0, 4.0, 8192};
    };
};

struct g1 {
    static constexpr std::string_view name = "g1";
    struct vision {
        static constexpr std::size_t width = 24, mlp = 52, heads = 3, layers = 4, global_layers = 1;
        static constexpr std::size_t tile = 28, patch = 14, channels = 3, tiles = 4;
        static constexpr std::array<std::size_t, 2> taps{0, 3};
        static constexpr float norm_eps = 1e-3f;
    };
    struct text {
        static constexpr std::size_t width = 32, mlp = 44, heads = 4, kv_heads = 1, layers = 5;
        static constexpr std::array<std::size_t, 2> cross_layers{0, 3};
        static constexpr std::size_t vocabulary = 300, context = 4096;
        static constexpr float norm_eps = 2e-3f;
        static constexpr llamavision::config::rope_numbers rope{10000.0, false, 8.0, 1.0, 4.0, 8192};
    };
};

struct g2 {
    static constexpr std::string_view name = "g2";
    struct vision {
        static constexpr std::size_t width = 20, mlp = 36, heads = 2, layers = 5, global_layers = 3;
        static constexpr std::size_t tile = 56, patch = 14, channels = 3, tiles = 4;
        static constexpr std::array<std::size_t, 3> taps{1, 2, 4};
        static constexpr float norm_eps = 1e-5f;
    };
    struct text {
        static constexpr std::size_t width = 36, mlp = 28, heads = 3, kv_heads = 3, layers = 6;
        static constexpr std::array<std::size_t, 2> cross_layers{1, 5};
        static constexpr std::size_t vocabulary = 270, context = 131072;
        static constexpr float norm_eps = 1e-5f;
        static constexpr llamavision::config::rope_numbers rope{500000.0, true, 8.0, 1.0, 4.0, 8192};
    };
};

} // namespace llamavision::golden
