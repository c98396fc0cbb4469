// SPDX-License-Identifier: Apache-2.0
// What weights are kept in while the model runs, chosen for each part of the model.
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace llamavision {

/// - `stored`: as the checkpoint has them, mapped; products widen them to float (exact activations).
/// - `bf16`: laid out for products of bfloat16, whose activations are rounded to bfloat16 as well.
/// - `i8`: integers with one scale an output, whose activations are rounded to integers with one scale a row.
/// - `q8`, `q4`: blocks of 32 integers with one scale a block.
enum class weight_format : std::uint8_t { stored, bf16, i8, q8, q4 };

[[nodiscard]] constexpr std::string_view name_of(weight_format f) {
    constexpr std::string_view names[] = {"stored", "bf16", "i8", "q8", "q4"};
    return names[static_cast<std::size_t>(f)];
}

/// The format of that name, or nothing.
[[nodiscard]] constexpr std::optional<weight_format> weight_format_of(std::string_view name) {
    for (auto const f :
         {weight_format::stored, weight_format::bf16, weight_format::i8, weight_format::q8, weight_format::q4})
        if (name_of(f) == name) return f;
    return std::nullopt;
}

/// One format for each part of the model.
struct weight_formats {
    weight_format vision = weight_format::stored;    ///< the tower; only here `i8` is offered
    weight_format projector = weight_format::stored; ///< from the tower to the text's width
    weight_format cross = weight_format::stored;     ///< text layers that look at the image
    weight_format self = weight_format::stored;      ///< the other text layers
    weight_format embedding = weight_format::stored; ///< a table, not a product: bf16 is `stored`
    weight_format head = weight_format::stored;

    /// One format for the tower and the projector, one for the text. In 4 bits, the head keeps 8: its error goes
    /// straight into the logits. The embedding stays mapped, where a token reads one row of it.
    [[nodiscard]] static constexpr weight_formats divided(weight_format vision, weight_format text) {
        return {
            vision, vision, text, text, weight_format::stored, text == weight_format::q4 ? weight_format::q8 : text};
    }

    friend bool operator==(weight_formats const&, weight_formats const&) = default;

    /// The format of the weight of that name, as Hugging Face spells it; `cross_layers` are the indices of the text
    /// layers that look at the image.
    [[nodiscard]] weight_format of(std::string_view name, std::span<std::size_t const> cross_layers) const {
        if (name.starts_with("vision_model.")) return vision;
        if (name.starts_with("multi_modal_projector.")) return projector;
        if (name.starts_with("language_model.lm_head.")) return head;
        std::optional<std::size_t> const layer = text_layer(name);
        if (!layer) return embedding;
        for (std::size_t const c : cross_layers)
            if (c == *layer) return cross;
        return self;
    }

    /// The layer of the text that the weight of that name belongs to, if it does to one.
    [[nodiscard]] static std::optional<std::size_t> text_layer(std::string_view name) {
        constexpr std::string_view layers = "language_model.model.layers.";
        if (!name.starts_with(layers)) return std::nullopt;
        std::size_t layer = 0;
        std::from_chars(name.data() + layers.size(), name.data() + name.size(), layer);
        return layer;
    }
};

} // namespace llamavision
