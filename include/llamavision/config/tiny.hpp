// SPDX-License-Identifier: Apache-2.0
// The bundled small model (examples/tiny): the architecture of the large ones, but small enough to be trained in two
// hours on two cores, and to be kept in a repository.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

#include <llamavision/config/configuration.hpp>

namespace llamavision {

struct tiny {
    static constexpr std::string_view name = "tiny";
    struct vision {
        static constexpr std::size_t width = 128, mlp = 512, heads = 4, layers = 4, global_layers = 2;
        static constexpr std::size_t tile = 84, patch = 14, channels = 3, tiles = 4;
        static constexpr std::array<std::size_t, 3> taps{1, 2, 3};
        static constexpr float norm_eps = 1e-5f;
    };
    struct text {
        static constexpr std::size_t width = 128, mlp = 384, heads = 4, kv_heads = 2, layers = 6;
        static constexpr std::array<std::size_t, 2> cross_layers{1, 4};
        static constexpr std::size_t vocabulary = 768, context = 2048;
        static constexpr float norm_eps = 1e-5f;
        static constexpr config::rope_numbers rope{500000.0, true, 8.0, 1.0, 4.0, 8192};
    };
};

static_assert(configuration<tiny>);

} // namespace llamavision
