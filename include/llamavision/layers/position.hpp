// SPDX-License-Identifier: Apache-2.0
// The position of a row in the tower: which tile of which arrangement, and which patch of the tile.
// The tables hold one row for each arrangement (rows, columns) of tiles, as Hugging Face stores them, and a vector for
// each of the tile slots in it. What Meta's two-dimensional tables cannot hold, different vectors for the same place in
// different arrangements and vectors for padded tiles, is kept.
#pragma once

#include <cmath>
#include <cstddef>

#include <llamavision/config/configuration.hpp>
#include <llamavision/expression/run.hpp>

namespace llamavision {

namespace layer {

/// x + tanh(gate) · E[arrangement, tile], the same vector for every row of a tile.
template <name Name, std::size_t Arrangements, std::size_t Tiles, std::size_t Width>
struct tile_position : expression_base {
    static constexpr std::string_view label = Name.view();
    static constexpr std::size_t in = Width;
    static constexpr std::size_t out = Width;
    static constexpr bool in_place = true;
    static constexpr bool takes_scratch = true;
    static constexpr std::array parameters{
        parameter{".embedding.weight", weight_role::tile_table, {Arrangements + 1, Tiles* Width}},
        parameter{".gate", weight_role::gate, {1}}};

    /// Whether an arrangement gives two tile slots the same vector.
    template <class B>
    static bool bytes_equal(B const& backend, weights<tile_position> const& w, std::size_t arrangement, std::size_t a,
                            std::size_t b) {
        std::size_t const row = arrangement * Tiles;
        return backend.bytes_equal(w.own[0], (row + a) * Width, (row + b) * Width, Width);
    }

    template <class B>
    static void run(B const& backend, weights<tile_position> const& w, context& c, rows x, rows y) {
        arena::frame const frame(c.scratch);
        rows const vector = c.scratch.take(1, Width);
        if (c.measuring()) return;
        float const gate = std::tanh(*w.own[1].floats());
        std::size_t const per_slot = x.count / c.vision->slots.size();
        for (std::size_t s = 0; s < c.vision->slots.size(); ++s) {
            backend.widen(w.own[0], (c.vision->aspect_id * Tiles + c.vision->slots[s].tile) * Width, Width,
                          vector.data);
            std::size_t const first = s * per_slot * Width;
            backend.add_row(x.data + first, per_slot, Width, gate, vector.data, y.data + first);
        }
    }
};

/// x + (1 - tanh(gate)) · E[token] + tanh(gate) · T[arrangement, tile, token].
template <name Name, std::size_t Arrangements, std::size_t Tiles, std::size_t Tokens, std::size_t Width>
struct gated_position : expression_base {
    static constexpr std::string_view label = Name.view();
    static constexpr std::size_t in = Width;
    static constexpr std::size_t out = Width;
    static constexpr bool in_place = true;
    static constexpr bool takes_scratch = true;
    static constexpr std::array parameters{
        parameter{".embedding", weight_role::table, {Tokens, Width}}, parameter{".gate", weight_role::gate, {1}},
        parameter{".tile_embedding.weight", weight_role::tile_table, {Arrangements + 1, Tiles* Tokens* Width}}};

    /// Whether an arrangement gives two tile slots the same vectors.
    template <class B>
    static bool bytes_equal(B const& backend, weights<gated_position> const& w, std::size_t arrangement, std::size_t a,
                            std::size_t b) {
        constexpr std::size_t tile = Tokens * Width;
        std::size_t const row = arrangement * Tiles;
        return backend.bytes_equal(w.own[2], (row + a) * tile, (row + b) * tile, tile);
    }

    template <class B>
    static void run(B const& backend, weights<gated_position> const& w, context& c, rows x, rows y) {
        constexpr std::size_t tile = Tokens * Width;
        arena::frame const frame(c.scratch);
        rows const table = c.scratch.take(Tokens, Width);
        if (c.measuring()) return;
        float const gate = std::tanh(*w.own[1].floats());
        backend.widen(w.own[0], 0, tile, table.data);
        for (std::size_t s = 0; s < c.vision->slots.size(); ++s)
            backend.add_scaled(x.data + s * tile, 1.0f - gate, table.data, tile, y.data + s * tile);
        for (std::size_t s = 0; s < c.vision->slots.size(); ++s) {
            backend.widen(w.own[2], (c.vision->aspect_id * Tiles + c.vision->slots[s].tile) * tile, tile, table.data);
            backend.add_scaled(y.data + s * tile, gate, table.data, tile, y.data + s * tile);
        }
    }
};

} // namespace layer

/// C is a vision configuration.
template <name Name, class C>
inline constexpr layer::tile_position<Name, config::arrangements<C>, C::tiles, C::width> tile_position{};

template <name Name, class C>
inline constexpr layer::gated_position<Name, config::arrangements<C>, C::tiles, config::tokens<C>, C::width>
    gated_position{};

} // namespace llamavision
