// SPDX-License-Identifier: Apache-2.0
// The text models Llama 3.1 and 3.2: the self-attention blocks of text.hpp, and nothing that looks at an image. C is a
// text configuration.
#pragma once

#include <llamavision/config/llama_3.hpp>
#include <llamavision/model/text.hpp>

namespace llamavision {

/// The head multiplies with its own weight, or, in the small models, with the embedding's.
template <class C>
struct llama_head : module {
    static constexpr model_part part = model_part::head;
    static constexpr auto is = [] {
        if constexpr (C::tied_head)
            return tied_linear<"lm_head", "model.embed_tokens.weight", C::width, C::vocabulary>;
        else
            return linear<"lm_head", C::width, C::vocabulary>;
    }();
};

// clang-format off

template <class C>
struct llama_language_model : module {
    static constexpr auto is = scope<"model">(
          token_embedding<C, C::vocabulary>{}
        | scope<"layers">(repeat<C::layers>(text_block<C>{}))
        | wanted_rows
        | rms_norm<"norm", C>)
    | llama_head<C>{};
};

// clang-format on

/// A model without an encoder: it reads text.
template <is_text_alone C>
struct llama_of {
    using configured = C;
    static constexpr llama_language_model<typename C::text> reader{};
};

} // namespace llamavision
