// SPDX-License-Identifier: Apache-2.0
// How a picture becomes rows: tiles are cut into patches, a class token leads each tile, and pad rows fill its end.
#pragma once

#include <cstddef>

#include <llamavision/expression/count.hpp>
#include <llamavision/expression/run.hpp>

namespace llamavision {

namespace layer {

/// Pixels (tiles, Channels, side, side) to one row for each patch, (channel, row, column) within it. Padded tiles have
/// no pixels: their normalised values are zero by definition, and so are their patches.
template <std::size_t Channels, std::size_t Patch>
struct unfold : expression_base {
    static constexpr std::string_view kind = "unfold";
    static constexpr std::size_t in = tile_pixels;
    static constexpr std::size_t out = Channels * Patch * Patch;

    static std::size_t rows_after(context const& c, std::size_t) { return c.vision->slots.size() * c.vision->patches; }

    template <class B>
    static void run(B const& backend, weights<unfold> const&, context&, pixel_tiles x, rows y) {
        std::size_t const across = x.side / Patch, real = x.count * across * across * out;
        backend.unfold(x.data, x.count, Channels, x.side, Patch, y.data);
        backend.zero(y.data + real, y.size() - real);
    }
};

/// The projection of a patch: a convolution with stride Patch, its weight (Width, Channels, Patch, Patch) seen as a
/// matrix.
template <name Name, std::size_t Channels, std::size_t Patch, std::size_t Width>
struct patch_projection : expression_base {
    static constexpr std::string_view label = Name.view();
    static constexpr std::size_t in = Channels * Patch * Patch;
    static constexpr std::size_t out = Width;
    static constexpr std::array parameters{parameter{".weight", weight_role::product, {Width, Channels, Patch, Patch}}};

    static constexpr double flops(work const&, double& rows) {
        return 2 * rows * static_cast<double>(in) * static_cast<double>(out);
    }

    template <class B>
    static void run(B const& backend, weights<patch_projection> const& w, context&, rows x, rows y) {
        backend.linear(w.own[0], nullptr, x.data, x.count, y.data);
    }
};

/// One learned row before the patches of every tile, padded tiles included.
template <name Name, std::size_t Width>
struct class_token : expression_base {
    static constexpr std::string_view label = Name.view();
    static constexpr bool is_observed = false;
    static constexpr std::size_t in = Width;
    static constexpr std::size_t out = Width;
    static constexpr std::array parameters{parameter{"", weight_role::vector, {Width}}};

    static std::size_t rows_after(context const& c, std::size_t) { return c.vision->slots.size() * c.vision->tokens(); }

    template <class B>
    static void run(B const& backend, weights<class_token> const& w, context& c, rows x, rows y) {
        std::size_t const patches = c.vision->patches * Width;
        for (std::size_t s = 0; s < c.vision->slots.size(); ++s) {
            float* tile = y.data + s * c.vision->tokens() * Width;
            backend.copy(w.own[0].floats(), Width, tile);
            backend.copy(x.data + s * patches, patches, tile + Width);
        }
    }
};

/// Zero rows after the tokens of every tile, up to a multiple of eight. Queries of real tokens do see them.
struct pad_rows : expression_base {
    static constexpr std::string_view kind = "pad to a multiple of eight";
    static std::size_t rows_after(context const& c, std::size_t) { return c.vision->rows(); }
    static constexpr double flops(work const& w, double& rows) {
        rows = w.tower_rows;
        return 0;
    }

    template <class B>
    static void run(B const& backend, weights<pad_rows> const&, context& c, rows x, rows y) {
        std::size_t const tokens = c.vision->tokens() * x.width, all = c.vision->rows_per_slot() * x.width;
        for (std::size_t s = 0; s < c.vision->slots.size(); ++s) {
            backend.copy(x.data + s * tokens, tokens, y.data + s * all);
            backend.zero(y.data + s * all + tokens, all - tokens);
        }
    }
};

/// [the last layer's output | what was tapped], token rows of the kept tiles only. Tapped values are interleaved:
/// feature Width + d·Taps + k is channel d of tap k (both references stack the taps along a new last axis and merge
/// it).
template <std::size_t Taps, std::size_t Width>
struct concat_taps : expression_base {
    static constexpr std::string_view kind = "concatenate what was tapped";
    static constexpr std::size_t in = Width;
    static constexpr std::size_t out = Width * (1 + Taps);

    static std::size_t rows_after(context const& c, std::size_t) { return c.vision->kept_slots * c.vision->tokens(); }
    static constexpr double flops(work const& w, double& rows) {
        rows = w.feature_rows;
        return 0;
    }

    template <class B>
    static void run(B const& backend, weights<concat_taps> const&, context& c, rows x, rows y) {
        std::array<float const*, Taps> tapped;
        for (std::size_t s = 0; s < c.vision->kept_slots; ++s) {
            std::size_t const from = s * c.vision->rows_per_slot() * Width, tokens = c.vision->tokens();
            float* features = y.data + s * tokens * out;
            float const* final_rows = x.data + from;
            for (std::size_t k = 0; k < Taps; ++k) tapped[k] = c.vision->taps[k] + from;
            backend.interleave(&final_rows, 1, tokens, Width, features, out);
            backend.interleave(tapped.data(), Taps, tokens, Width, features + Width, out);
        }
    }
};

} // namespace layer

/// C is a vision configuration.
template <class C>
inline constexpr layer::unfold<C::channels, C::patch> unfold{};

template <name Name, class C>
inline constexpr layer::patch_projection<Name, C::channels, C::patch, C::width> patch_projection{};

template <name Name, class C>
inline constexpr layer::class_token<Name, C::width> class_token{};

inline constexpr layer::pad_rows pad_rows{};

template <class C>
inline constexpr layer::concat_taps<C::taps.size(), C::width> concat_taps{};

} // namespace llamavision
