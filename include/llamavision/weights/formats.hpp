// SPDX-License-Identifier: Apache-2.0
// What weights are kept in while the model runs, chosen for each part of the model.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace llamavision {

/// - `stored`: as the checkpoint has them, mapped; products widen them to float (exact activations).
/// - `bf16`: repacked for products of bfloat16, whose activations are rounded to bfloat16 as well.
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

/// The parts of a model that may be kept in different formats. Modules declare theirs (model/text.hpp).
enum class model_part : std::uint8_t {
    vision,    ///< the tower
    projector, ///< from the tower to the text's width
    cross,     ///< text layers that look at the image
    self,      ///< the other text layers
    embedding,
    head,
    other ///< small weights outside of these
};

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

    /// The format of that part's products.
    [[nodiscard]] constexpr weight_format of(model_part part) const {
        switch (part) {
        case model_part::vision: return vision;
        case model_part::projector: return projector;
        case model_part::cross: return cross;
        case model_part::self: return self;
        case model_part::embedding: return embedding;
        case model_part::head: return head;
        default: return weight_format::stored;
        }
    }
};

} // namespace llamavision
