// SPDX-License-Identifier: Apache-2.0
// The words of the tower's two ends: patches, class token, positions, pad rows, taps.
#include <doctest/doctest.h>

#include <cmath>

#include <llamavision/layers/patches.hpp>
#include <llamavision/layers/position.hpp>
#include <llamavision/runtime/images/plan.hpp>

#include "../support/bound.hpp"
#include "../support/small.hpp"

namespace lv = llamavision;

namespace {
/// 4-pixel tiles of four patches, rows of two numbers.
struct tower {
    static constexpr std::size_t width = 2, tile = 4, patch = 2, channels = 3, tiles = 4;
    static constexpr std::array<std::size_t, 3> taps{0, 1, 2};
};
constexpr std::size_t patches = 4, tokens = 5;

lv::config::vision_numbers numbers() {
    lv::config::vision_numbers n;
    n.tile = tower::tile;
    n.patch = tower::patch;
    n.tiles = tower::tiles;
    return n;
}

/// A context with the plan of a picture of (rows, columns) tiles.
struct standing {
    lv::vision_rows plan;
    lv::arena nowhere;
    lv::context c{nowhere};

    standing(std::size_t rows, std::size_t columns, lv::padding how)
        : plan(lv::plan_image(numbers(), rows, columns, how)) {
        c.vision = &plan;
    }
};
constexpr lv::padding plain{false, false}, collapsed{true, false};

floats counting(std::size_t n, float first = 0) {
    floats v(n);
    for (std::size_t i = 0; i < n; ++i) v[i] = first + static_cast<float>(i);
    return v;
}
} // namespace

TEST_CASE("patches: row by row, channel, row and column within each; padded tiles are zero") {
    standing const s(1, 2, plain);
    floats const pixels = counting(2 * 3 * 4 * 4);
    bound const word(lv::unfold<tower>, {});
    floats const y = word.on(lv::pixel_tiles{pixels.data(), 2, 4}, 4 * patches, 12, s.c);
    for (std::size_t t = 0; t < 4; ++t)
        for (std::size_t p = 0; p < patches; ++p)
            for (std::size_t channel = 0; channel < 3; ++channel)
                for (std::size_t i = 0; i < 4; ++i) {
                    std::size_t const row = p / 2 * 2 + i / 2, column = p % 2 * 2 + i % 2;
                    float const wanted = t < 2 ? pixels[((t * 3 + channel) * 4 + row) * 4 + column] : 0.0f;
                    CHECK(y[(t * patches + p) * 12 + channel * 4 + i] == wanted);
                }
}

TEST_CASE("the patch projection is a matrix over (channel, row, column)") {
    floats weight(2 * 12, 0.0f);
    weight[5] = 1;       // output 0 reads channel 1, row 0, column 1
    weight[12 + 11] = 2; // output 1 reads channel 2, row 1, column 1
    bound const word(lv::patch_projection<"p", tower>, {{"p.weight", {2, 3, 2, 2}, weight}});
    CHECK(word(counting(12), 12, 2) == floats{5, 22});
}

TEST_CASE("the class token leads every tile, padded ones included") {
    standing const s(1, 1, collapsed);
    bound const word(lv::class_token<"c", tower>, {{"c", {2}, {-1, -2}}});
    floats const x = counting(2 * patches * 2), y = word(x, 2, 2, 2 * tokens, s.c);
    for (std::size_t t = 0; t < 2; ++t) {
        CHECK(y[t * tokens * 2] == -1);
        CHECK(y[t * tokens * 2 + 1] == -2);
        for (std::size_t i = 0; i < 2 * patches; ++i) CHECK(y[t * tokens * 2 + 2 + i] == x[t * patches * 2 + i]);
    }
}

TEST_CASE("pad rows are zero and follow each tile") {
    for (auto const& [how, pads] : {std::pair{plain, 3}, {collapsed, 1}}) {
        standing const s(2, 2, how);
        auto const all = tokens + static_cast<std::size_t>(pads);
        bound const word(lv::pad_rows, {});
        floats const x = counting(4 * tokens * 2, 1), y = word(x, 2, 2, 4 * all, s.c);
        for (std::size_t t = 0; t < 4; ++t)
            for (std::size_t i = 0; i < all * 2; ++i)
                CHECK(y[t * all * 2 + i] == (i < tokens * 2 ? x[t * tokens * 2 + i] : 0.0f));
    }
}

namespace {
/// [9, 4, n]: every value tells its arrangement, slot and place.
floats table(std::size_t n) {
    floats t(9 * 4 * n);
    for (std::size_t id = 0; id < 9; ++id)
        for (std::size_t slot = 0; slot < 4; ++slot)
            for (std::size_t i = 0; i < n; ++i)
                t[(id * 4 + slot) * n + i] = static_cast<float>(id * 1000 + slot * 100 + i);
    return t;
}
} // namespace

TEST_CASE("tile_position: the row of the arrangement, the vector of the tile, for every row of the tile") {
    bound const word(lv::tile_position<"t", tower>,
                     {{"t.embedding.weight", {9, 8}, table(2)}, {"t.gate", {1}, {0.25f}}});
    float const gate = std::tanh(0.25f);
    std::size_t id = 0;
    for (auto const& [rows, columns] : lv::config::all_arrangements(4)) {
        ++id;
        standing const s(rows, columns, plain);
        floats const y = word(floats(4 * patches * 2, 1.0f), 2, 2, 0, s.c);
        for (std::size_t slot = 0; slot < 4; ++slot)
            for (std::size_t r = 0; r < patches; ++r)
                for (std::size_t i = 0; i < 2; ++i)
                    CHECK(y[(slot * patches + r) * 2 + i]
                          == doctest::Approx(1 + gate * static_cast<float>(id * 1000 + slot * 100 + i)));
        CHECK(word.peaks_equal);
    }
}

TEST_CASE("gated_position: (1 - tanh g) of the shared table and tanh g of the tile's") {
    floats const shared = counting(tokens * 2, -7);
    bound const word(lv::gated_position<"g", tower>,
                     {{"g.embedding", {tokens, 2}, shared},
                      {"g.gate", {1}, {-0.6f}},
                      {"g.tile_embedding.weight", {9, 4 * tokens * 2}, table(tokens * 2)}});
    float const gate = std::tanh(-0.6f);
    standing const s(3, 1, plain); // arrangement 7
    floats const x = counting(4 * tokens * 2, 5), y = word(x, 2, 2, 0, s.c);
    for (std::size_t slot = 0; slot < 4; ++slot)
        for (std::size_t i = 0; i < tokens * 2; ++i)
            CHECK(y[slot * tokens * 2 + i]
                  == doctest::Approx(x[slot * tokens * 2 + i] + (1 - gate) * shared[i]
                                     + gate * static_cast<float>(7000 + slot * 100 + i)));
    CHECK(word.peaks_equal);
}

TEST_CASE("whether a table tells two padded tiles apart") {
    floats values(9 * 8, 0.0f);
    values[2 * 8 + 3 * 2 + 1] = 1; // arrangement 2, slot 3
    bound const word(lv::tile_position<"t", tower>, {{"t.embedding.weight", {9, 8}, values}, {"t.gate", {1}, {1}}});
    using type = std::remove_const_t<decltype(lv::tile_position<"t", tower>)>;
    CHECK(type::bytes_equal(lv::scalar{}, word.weights(), 1, 2, 3));
    CHECK_FALSE(type::bytes_equal(lv::scalar{}, word.weights(), 2, 2, 3));
    CHECK(type::bytes_equal(lv::scalar{}, word.weights(), 2, 1, 2));
}

TEST_CASE("taps follow the tower's word: feature width + channel · taps + tap, kept tiles, no pad rows") {
    for (auto const& how : {plain, collapsed, lv::padding{false, true}}) {
        standing s(1, 3, how);
        std::size_t const all = s.plan.rows_per_slot(), kept = s.plan.kept_slots;
        CHECK(kept == (how.remember ? 4 : 3));
        std::vector<floats> tapped;
        std::vector<float*> pointers;
        for (std::size_t k = 0; k < 3; ++k)
            tapped.push_back(counting(s.plan.rows() * 2, static_cast<float>(1000 * (k + 1))));
        for (floats& t : tapped) pointers.push_back(t.data());
        s.plan.taps = pointers;
        floats const x = counting(s.plan.rows() * 2);
        bound const word(lv::concat_taps<tower>, {});
        floats const y = word(x, 2, 8, kept * tokens, s.c);
        for (std::size_t t = 0; t < kept; ++t)
            for (std::size_t r = 0; r < tokens; ++r)
                for (std::size_t d = 0; d < 2; ++d) {
                    std::size_t const from = (t * all + r) * 2 + d, to = (t * tokens + r) * 8;
                    CHECK(y[to + d] == x[from]);
                    for (std::size_t k = 0; k < 3; ++k) CHECK(y[to + 2 + d * 3 + k] == tapped[k][from]);
                }
    }
}
