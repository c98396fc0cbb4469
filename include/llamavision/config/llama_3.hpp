// SPDX-License-Identifier: Apache-2.0
// The published text models, number by number (Meta: models/sku_list.py; Hugging Face: config.json). Llama 3.2 Vision
// was built on the first of them.
#pragma once

#include <cstddef>
#include <string_view>

#include <llamavision/config/llama_3_2.hpp>

namespace llamavision {

struct llama_3_1_8b {
    static constexpr std::string_view name = "llama-3.1-8b";
    struct text : config::llama_3_2_text {
        static constexpr std::size_t width = 4096, mlp = 14336, heads = 32, kv_heads = 8, layers = 32;
        static constexpr bool tied_head = false;
    };
};

struct llama_3_2_3b {
    static constexpr std::string_view name = "llama-3.2-3b";
    struct text : config::llama_3_2_text {
        static constexpr std::size_t width = 3072, mlp = 8192, heads = 24, kv_heads = 8, layers = 28;
        static constexpr config::rope_numbers rope{500000.0, true, 32.0, 1.0, 4.0, 8192};
        static constexpr bool tied_head = true;
    };
};

struct llama_3_2_1b {
    static constexpr std::string_view name = "llama-3.2-1b";
    struct text : llama_3_2_3b::text {
        static constexpr std::size_t width = 2048, heads = 32, layers = 16;
    };
};

} // namespace llamavision
