// SPDX-License-Identifier: Apache-2.0
// Which rows a picture has, and what each of them stands for.
#include <doctest/doctest.h>

#include <cmath>

#include <llamavision/runtime/images/plan.hpp>

#include "../support/message.hpp"

namespace lv = llamavision;

namespace {
/// The numbers of the published towers: 560 or 448 pixels, patches of 14.
lv::config::vision_numbers tower(std::size_t tile) {
    lv::config::vision_numbers n;
    n.tile = tile;
    n.patch = 14;
    return n;
}
} // namespace

TEST_CASE("plain: four tiles of 1608 (1032) rows, whatever the picture") {
    for (auto const& [tile, tokens, rows] : {std::tuple{560, 1601u, 6432u}, {448, 1025u, 4128u}}) {
        std::size_t id = 0;
        for (auto const& [r, c] : lv::config::all_arrangements(4)) {
            lv::vision_rows const plan = lv::plan_image(tower(static_cast<std::size_t>(tile)), r, c, {false, false});
            CHECK(plan.aspect_id == ++id);
            CHECK(plan.tokens() == tokens);
            CHECK(plan.rows() == rows);
            CHECK(plan.bias.empty());
            CHECK(plan.pad_multiplicity == 1);
            CHECK(plan.kept_slots == r * c);
            REQUIRE(plan.slots.size() == 4);
            for (std::size_t s = 0; s < 4; ++s) {
                CHECK(plan.slots[s].tile == s);
                CHECK(plan.slots[s].real == (s < r * c));
                CHECK(plan.slots[s].multiplicity == 1);
            }
            CHECK(lv::plan_image(tower(560), r, c, {false, true}).kept_slots == 4);
        }
        CHECK(id == 8);
    }
}

TEST_CASE("collapsed: a representative counts as many rows as it stands for") {
    std::size_t const rows_of[] = {0, 3204, 4806, 6408, 6408}; // for so many real tiles at 560 pixels
    for (auto const& [r, c] : lv::config::all_arrangements(4)) {
        std::size_t const real = r * c;
        lv::vision_rows const plan = lv::plan_image(tower(560), r, c, {true, true});
        CAPTURE(real);
        CHECK(plan.rows() == rows_of[real]);
        REQUIRE(plan.bias.size() == plan.rows());
        double rows = 0;
        for (float b : plan.bias) rows += std::exp(static_cast<double>(b));
        CHECK(rows == doctest::Approx(6432).epsilon(1e-6));
        CHECK(plan.kept_slots == plan.slots.size());
        if (real == 4) continue;
        CHECK(plan.slots.back().multiplicity == 4 - real);
        CHECK_FALSE(plan.slots.back().real);
        CHECK(plan.slots.back().tile == real);
        CHECK(plan.bias[plan.rows() - 1] == doctest::Approx(std::log(7.0 * static_cast<double>(4 - real))));
        CHECK(plan.bias[plan.rows() - 2] == doctest::Approx(std::log(static_cast<double>(4 - real))));
        CHECK(plan.bias[1600] == 0);
        CHECK(plan.bias[1601] == doctest::Approx(std::log(7.0)));
    }
}

TEST_CASE("ids of the arrangements") {
    std::size_t id = 0;
    for (auto const& [r, c] : lv::config::all_arrangements(4)) CHECK(lv::config::arrangement_id(r, c, 4) == ++id);
    CHECK(lv::config::arrangement_id(2, 2, 4) == 6);
    CHECK(lv::config::arrangement_id(4, 1, 4) == 8);
    CHECK(lv::config::count_arrangements(4) == 8);
    CHECK(lv::config::count_arrangements(6) == 14);
}

TEST_CASE("arrangements that no canvas has") {
    auto const refused = [](std::size_t r, std::size_t c) {
        return message_of<lv::image_error>([&] { return lv::plan_image(tower(560), r, c, {}); });
    };
    CHECK(contains(refused(0, 1), "0 rows of 1 tiles"));
    CHECK(contains(refused(1, 0), "1 rows of 0 tiles"));
    CHECK(contains(refused(2, 3), "2 rows of 3 tiles; the model takes 4"));
    CHECK(contains(refused(5, 1), "5 rows"));
    std::size_t const half = std::size_t{1} << 32; // its square is zero
    CHECK(contains(refused(half, half), "the model takes 4"));
}
