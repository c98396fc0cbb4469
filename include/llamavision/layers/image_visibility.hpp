// SPDX-License-Identifier: Apache-2.0
// rows_seeing_image: rows of text that see no image get zero from a cross-attention block, so that it leaves them alone
// (Meta: full_text_row_masked_out_mask).
#pragma once

#include <cstddef>

#include <llamavision/expression/count.hpp>
#include <llamavision/expression/run.hpp>

namespace llamavision {

/// Which half of a cross-attention block is masked. Hugging Face masks only the MLP's.
enum class masked { attention, mlp };

namespace layer {

template <masked What>
struct rows_seeing_image : expression_base {
    static constexpr std::string_view kind = "rows seeing an image";
    static constexpr bool in_place = true;

    /// What a row attends to without seeing it is kept in Hugging Face's reading of the attention half.
    static bool keeps(image_visibility const& s) {
        return s.sees() || (What == masked::attention && s.leak && !s.images.empty());
    }

    /// No row of this pass is kept.
    static bool outputs_zero(context const& c) {
        return What == masked::attention ? !c.text->any_attends() : !c.text->any_sees();
    }
    static constexpr bool outputs_zero(work const& w) { return !w.sees_image; }

    template <class B>
    static void run(B const& backend, weights<rows_seeing_image> const&, context& c, rows x, rows y) {
        if (x.data != y.data) backend.copy(x.data, x.size(), y.data);
        for (image_visibility const& s : c.text->visibility)
            if (!keeps(s)) backend.zero(y.data + s.first * y.width, s.rows * y.width);
    }
};

} // namespace layer

template <masked What>
inline constexpr layer::rows_seeing_image<What> rows_seeing_image{};

} // namespace llamavision
