// SPDX-License-Identifier: Apache-2.0
// Compares resizing with the definition, written as simply as possible: one output at a time, one pass after the other.
#include "pictures.hpp"

#include <llamavision/image/resize.hpp>
#include <llamavision/image/tiles.hpp>

#include <cmath>
#include <cstdint>
#include <doctest/doctest.h>
#include <functional>
#include <random>

namespace image = llamavision::image;
using image::pixels;

namespace {

/// Output x of m from the samples p(0) ... p(n - 1).
std::uint8_t sample(std::size_t x, std::size_t n, std::size_t m, std::function<int(std::size_t)> const& p) {
    double const scale = static_cast<double>(n) / static_cast<double>(m), wide = scale > 1 ? scale : 1;
    double const centre = (static_cast<double>(x) + 0.5) * scale;
    auto const inside = [&](std::size_t i) { // the filter's range, ends truncated
        double const low = std::trunc(centre - wide + 0.5), high = std::trunc(centre + wide + 0.5);
        return static_cast<double>(i) >= low && static_cast<double>(i) < high;
    };
    auto const weight = [&](std::size_t i) {
        double const distance = std::abs((static_cast<double>(i) - centre + 0.5) * (1 / wide));
        return inside(i) && distance < 1 ? 1 - distance : 0;
    };
    double total = 0;
    for (std::size_t i = 0; i < n; ++i) total += weight(i);
    std::int64_t sum = 1 << 21;
    for (std::size_t i = 0; i < n; ++i) sum += static_cast<std::int64_t>(weight(i) / total * 4194304 + 0.5) * p(i);
    sum >>= 22;
    return static_cast<std::uint8_t>(sum > 255 ? 255 : sum);
}

pixels plainly(pixels const& from, std::size_t width, std::size_t height) {
    pixels narrow = from, out;
    if (width != from.width) {
        narrow = {width, from.height, {}};
        for (std::size_t y = 0; y < from.height; ++y)
            for (std::size_t i = 0; i < width * 3; ++i)
                narrow.rgb.push_back(sample(i / 3, from.width, width,
                                            [&](std::size_t x) { return from.rgb[(y * from.width + x) * 3 + i % 3]; }));
    }
    if (height == from.height) return narrow;
    out = {width, height, {}};
    for (std::size_t y = 0; y < height; ++y)
        for (std::size_t i = 0; i < width * 3; ++i)
            out.rgb.push_back(
                sample(y, from.height, height, [&](std::size_t v) { return narrow.rgb[v * width * 3 + i]; }));
    return out;
}

} // namespace

TEST_CASE("resize equals its definition on random sizes") {
    std::mt19937 random(11);
    for (std::uint32_t round = 0; round < 150; ++round) {
        std::size_t const range = round % 2 ? 12 : 45;
        std::size_t const w = random() % range + 1, h = random() % range + 1, w2 = random() % range + 1,
                          h2 = random() % range + 1;
        CAPTURE(w);
        CAPTURE(h);
        CAPTURE(w2);
        CAPTURE(h2);
        pixels const p = pictures::formula(round % 3 ? "lcg" : "checker", w, h, round);
        REQUIRE(image::resize(p, w2, h2) == plainly(p, w2, h2));
    }
    pixels const wide = pictures::formula("lcg", 4001, 2, 3), tall = pictures::formula("lcg", 2, 4001, 3);
    CHECK(image::resize(wide, 3, 5) == plainly(wide, 3, 5));
    CHECK(image::resize(tall, 5, 3) == plainly(tall, 5, 3));
}

TEST_CASE("the order of Pillow 13: along the height first where it loses more than twice as much") {
    using enum image::pillow_release;
    CHECK_FALSE(image::takes_height_first(v12, 10, 100, 10, 1));
    CHECK(image::takes_height_first(v13, 10, 100, 5, 89));        // 11 > 2 · 5
    CHECK_FALSE(image::takes_height_first(v13, 10, 100, 5, 90));  // 10
    CHECK(image::takes_height_first(v13, 10, 100, 20, 99));       // grows across, shrinks down
    CHECK_FALSE(image::takes_height_first(v13, 10, 100, 5, 100)); // no row is lost
    CHECK_FALSE(image::takes_height_first(v13, 10, 100, 5, 200));
    nlohmann::json const expected = pictures::json("resize_by_release.json");
    std::size_t differ = 0;
    for (nlohmann::json const& e : expected.at("resizes")) {
        CAPTURE(e.dump());
        auto const size = [&](char const* key) { return e.at(key).get<std::size_t>(); };
        pixels const p =
            pictures::formula(e.at("formula").get<std::string>(), size("width"), size("height"), e.at("seed"));
        CHECK(pictures::sha(image::resize(p, size("new_width"), size("new_height"))) == e.at("pillow-12"));
        CHECK(pictures::sha(image::resize(p, size("new_width"), size("new_height"), v13)) == e.at("pillow-13"));
        differ += e.at("pillow-12") != e.at("pillow-13");
    }
    CHECK(differ > 5);
}

TEST_CASE("resize keeps a picture of its own size, and a flat colour") {
    pixels const p = pictures::formula("lcg", 19, 23, 1);
    CHECK(image::resize(p, 19, 23) == p);
    for (int const level : {0, 1, 77, 254, 255}) {
        pixels const flat{17, 9, std::vector<std::uint8_t>(17 * 9 * 3, static_cast<std::uint8_t>(level))};
        for (std::size_t const side : {1U, 4U, 9U, 40U}) {
            pixels const resized = image::resize(flat, side, side + 1);
            CHECK(resized.rgb == std::vector<std::uint8_t>(side * (side + 1) * 3, static_cast<std::uint8_t>(level)));
        }
    }
}

TEST_CASE("very long rows neither overflow nor wrap") {
    // Weights so small that rounding each to a multiple of 2^-22 makes their sum 1/3 too large.
    std::size_t const length = 6000000;
    pixels const white{length, 1, std::vector<std::uint8_t>(length * 3, 255)};
    pixels const one = image::resize(white, 1, 1);
    for (std::uint8_t const v : one.rgb) CHECK(v == 255);
}

TEST_CASE("a picture or a target without pixels is refused") {
    pixels const p = pictures::formula("lcg", 4, 4, 1);
    CHECK_THROWS_AS(image::resize(p, 0, 4), llamavision::image_error);
    CHECK_THROWS_AS(image::resize(p, 4, 0), llamavision::image_error);
    CHECK_THROWS_AS(image::resize(pixels{}, 4, 4), llamavision::image_error);
    CHECK_THROWS_AS(image::make_canvas(pixels{}, 560), llamavision::image_error);
}

TEST_CASE("tiles are cut row by row, normalised, black included") {
    pixels const p = pictures::formula("lcg", 30, 12, 4);
    image::canvas const canvas = image::make_canvas(p, 14);
    REQUIRE(canvas.shape == image::layout{1, 3, 30, 12});
    image::normalisation const numbers{{0.5, 0.25, 0.125}, {0.5, 2, 4}, 1.0 / 255};
    image::tiles const cut = image::to_tiles(canvas, numbers);
    CHECK(cut.rows == 1);
    CHECK(cut.columns == 3);
    CHECK(cut.side == 14);
    REQUIRE(cut.values.size() == 3 * 3 * 14 * 14);
    for (std::size_t t = 0; t < 3; ++t)
        for (std::size_t c = 0; c < 3; ++c)
            for (std::size_t y = 0; y < 14; ++y)
                for (std::size_t x = 0; x < 14; ++x) {
                    bool const inside = y < 12 && t * 14 + x < 30;
                    double const level = inside ? p.rgb[(y * 30 + t * 14 + x) * 3 + c] : 0;
                    double const want = (level / 255 - numbers.mean[c]) / numbers.std[c];
                    CHECK(std::abs(cut.values[((t * 3 + c) * 14 + y) * 14 + x] - want) < 1e-6);
                }
    image::canvas wrong = canvas;
    wrong.shape.columns = 4;
    CHECK_THROWS_AS(image::to_tiles(wrong), llamavision::argument_error);
    wrong = canvas;
    wrong.picture.rgb.pop_back();
    CHECK_THROWS_AS(image::to_tiles(wrong), llamavision::argument_error);
}
