// SPDX-License-Identifier: Apache-2.0
// Llama 3.2 Vision, the whole model: an image encoder, and a language model that looks at what it outputs.
#pragma once

#include <llamavision/config/llama_3_2.hpp>
#include <llamavision/model/text.hpp>
#include <llamavision/model/vision.hpp>

namespace llamavision {

/// From what the tower outputs to the text's width.
template <has_vision C>
struct projector : module {
    static constexpr model_part part = model_part::projector;
    static constexpr std::size_t features = C::vision::width * (1 + C::vision::taps.size());
    static constexpr auto is = linear_with_bias<"multi_modal_projector", features, C::text::width>;
};

/// Tiles to the rows that cross-attention reads: (kept tiles · tokens, text width).
template <has_vision C>
struct image_encoder : module {
    static constexpr bool is_of_image = true;
    static constexpr auto is = vision_model<typename C::vision>{} | projector<C>{};
};

/// Both halves side by side. They meet in the image memory: `encoder` fills it, the cross-attention of `reader` reads
/// it.
template <has_vision C>
struct mllama_of {
    using configured = C;
    static constexpr image_encoder<C> encoder{};
    static constexpr language_model<typename C::text> reader{};
};

template <has_vision C>
inline constexpr mllama_of<C> mllama{};

/// Tensors and parameters of both halves.
template <has_vision C>
[[nodiscard]] constexpr totals count(mllama_of<C>) {
    totals sum = count(mllama_of<C>::encoder);
    return sum += count(mllama_of<C>::reader);
}

} // namespace llamavision
