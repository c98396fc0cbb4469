// SPDX-License-Identifier: Apache-2.0
// The choice of a canvas: sizes for which Meta's class and both Hugging Face processors gave these results, and
// properties that hold for every size.
#include <llamavision/image/canvas.hpp>

#include <array>
#include <doctest/doctest.h>
#include <random>

namespace image = llamavision::image;
using image::arrangement;
using image::choose_layout;
using image::layout;

TEST_CASE("the references' layouts at 560 pixels and 4 tiles") {
    struct row {
        std::size_t width, height;
        layout want;
    };
    for (row const& r :
         {row{1, 1, {1, 1, 560, 560}},         row{100, 100, {1, 1, 560, 560}},     row{560, 560, {1, 1, 560, 560}},
          row{561, 560, {1, 2, 561, 560}},     row{560, 561, {2, 1, 560, 561}},     row{640, 480, {1, 2, 640, 480}},
          row{800, 300, {1, 2, 800, 300}},     row{300, 800, {2, 1, 300, 800}},     row{1024, 768, {2, 2, 1024, 768}},
          row{1120, 1120, {2, 2, 1120, 1120}}, row{1121, 1120, {2, 2, 1120, 1119}}, row{1280, 720, {2, 2, 1120, 630}},
          row{1920, 1080, {2, 2, 1120, 630}},  row{1200, 1600, {2, 2, 840, 1120}},  row{1600, 1200, {2, 2, 1120, 840}},
          row{4000, 3000, {2, 2, 1120, 840}},  row{3000, 500, {1, 4, 2240, 373}},   row{500, 3000, {4, 1, 373, 2240}},
          row{2240, 560, {1, 4, 2240, 560}},   row{2241, 560, {1, 4, 2240, 559}},   row{10, 4000, {4, 1, 5, 2240}},
          row{850, 1100, {2, 2, 850, 1100}},   row{1700, 2200, {2, 2, 865, 1120}},  row{1, 5000, {4, 1, 1, 2240}}}) {
        CAPTURE(r.width);
        CAPTURE(r.height);
        CHECK(choose_layout(r.width, r.height, 560) == r.want);
    }
}

TEST_CASE("what holds for every size") {
    std::mt19937 random(7);
    for (int round = 0; round < 20000; ++round) {
        std::size_t const range = round % 3 == 0 ? 60 : round % 3 == 1 ? 2000 : 60000;
        std::size_t const width = random() % range + 1, height = random() % range + 1;
        std::size_t const tile = std::array<std::size_t, 4>{560, 448, 56, 7}[random() % 4];
        std::size_t const most = random() % 6 + 1;
        CAPTURE(width);
        CAPTURE(height);
        CAPTURE(tile);
        CAPTURE(most);
        layout const l = choose_layout(width, height, tile, most);
        REQUIRE(l.rows * l.columns >= 1);
        REQUIRE(l.rows * l.columns <= most);
        REQUIRE(l.resized_width >= 1);
        REQUIRE(l.resized_height >= 1);
        REQUIRE(l.resized_width <= l.columns * tile);
        REQUIRE(l.resized_height <= l.rows * tile);
        // Never enlarged beyond one tile.
        REQUIRE(l.resized_width <= std::max(width, tile));
        REQUIRE(l.resized_height <= std::max(height, tile));
        // The shape is kept: the other side is the scaled one, rounded down.
        double const x = static_cast<double>(l.resized_width) / static_cast<double>(width);
        double const y = static_cast<double>(l.resized_height) / static_cast<double>(height);
        if (l.resized_width > 1 && l.resized_height > 1) {
            REQUIRE(static_cast<double>(width) * std::max(x, y) < static_cast<double>(l.resized_width) + 1.001);
            REQUIRE(static_cast<double>(height) * std::max(x, y) < static_cast<double>(l.resized_height) + 1.001);
        }
        // A rotated picture gets the rotated canvas, unless two shapes are equally good.
        layout const turned = choose_layout(height, width, tile, most);
        if (width != height) REQUIRE(turned == layout{l.columns, l.rows, l.resized_height, l.resized_width});
        // A picture that fits into some canvas unshrunk is not shrunk.
        for (arrangement const& canvas : llamavision::config::all_arrangements(most))
            if (width <= canvas.columns * tile && height <= canvas.rows * tile) {
                REQUIRE(l.resized_width >= width);
                REQUIRE(l.resized_height >= height);
            }
    }
}

TEST_CASE("an explicit list of canvases") {
    std::vector<arrangement> const wide{{1, 2}, {1, 4}};
    CHECK(choose_layout(500, 3000, 560, wide) == layout{1, 2, 93, 560});
    CHECK(choose_layout(3000, 500, 560, wide) == layout{1, 4, 2240, 373});
    // Among equals the smallest, and among the smallest the first.
    CHECK(choose_layout(560, 560, 560, std::vector<arrangement>{{2, 1}, {1, 2}, {1, 1}}).rows == 1);
    CHECK(choose_layout(560, 560, 560, std::vector<arrangement>{{2, 1}, {1, 2}}) == layout{2, 1, 560, 560});
    CHECK(choose_layout(560, 560, 560, std::vector<arrangement>{{1, 2}, {2, 1}}) == layout{1, 2, 560, 560});
}

TEST_CASE("sizes that no canvas takes are refused") {
    CHECK_THROWS_AS(choose_layout(0, 10, 560), llamavision::image_error);
    CHECK_THROWS_AS(choose_layout(10, 0, 560), llamavision::image_error);
    CHECK_THROWS_AS(choose_layout(10, 10, 0), llamavision::argument_error);
    CHECK_THROWS_AS(choose_layout(10, 10, 65537), llamavision::argument_error);
    CHECK_THROWS_AS(choose_layout(10, 10, 560, 0), llamavision::argument_error);
    CHECK_THROWS_AS(choose_layout(10, 10, 560, 1025), llamavision::argument_error);
    CHECK_THROWS_AS(choose_layout(10, 10, 560, std::vector<arrangement>{}), llamavision::argument_error);
    CHECK_THROWS_AS(choose_layout(10, 10, 560, std::vector<arrangement>{{1, 1}, {0, 1}}), llamavision::argument_error);
    CHECK(choose_layout(std::size_t{1} << 40, 1, 560) == layout{1, 4, 2240, 1});
}
