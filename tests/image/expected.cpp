// SPDX-License-Identifier: Apache-2.0
// Every entry of expected.json: the decoded bytes, the canvas at every tile size, the normalised tiles.
#include "pictures.hpp"

#include <llamavision/image/exif.hpp>
#include <llamavision/image/jpeg.hpp>
#include <llamavision/image/open.hpp>
#include <llamavision/image/tiles.hpp>

#include <array>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <doctest/doctest.h>

namespace image = llamavision::image;
using image::pixels;

namespace {

/// Meta's policies, or those that an entry names.
constexpr image::open_options as_meta{image::exif_policy::ignore, image::alpha_policy::drop};

/// Compares with `expect`: an object from tile size to results. Returns how many sizes it held.
std::size_t check_canvases(pixels const& picture, nlohmann::json const& expect) {
    for (auto entry = expect.begin(); entry != expect.end(); ++entry) {
        nlohmann::json const& want = entry.value();
        std::size_t const tile = std::stoul(entry.key());
        CAPTURE(tile);
        image::canvas const canvas = image::make_canvas(picture, tile);
        CHECK(canvas.shape
              == image::layout{want["tiles"][0], want["tiles"][1], want["resized"][1], want["resized"][0]});
        CHECK(canvas.picture.height == want["canvas"][0].get<std::size_t>());
        CHECK(canvas.picture.width == want["canvas"][1].get<std::size_t>());
        CHECK(pictures::sha(canvas.picture) == want["canvas_sha256"].get<std::string>());
        auto const ratios = llamavision::config::all_arrangements(4);
        CHECK(ratios.at(want["aspect_ratio_id"].get<std::size_t>() - 1)
              == image::arrangement{canvas.shape.rows, canvas.shape.columns});
        if (!want.contains("tiles_f32_sha256")) continue;
        image::tiles const cut = image::to_tiles(canvas);
        CHECK(llamavision::sha256_hex(std::as_bytes(std::span(cut.values)))
              == want["tiles_f32_sha256"].get<std::string>());
        CHECK(image::preprocess(picture, {tile, 4, image::clip}).values == cut.values);
    }
    return expect.size();
}

/// The mean of a channel over the rectangle [x0, x1) x [y0, y1).
double mean(pixels const& p, std::size_t channel, std::size_t x0, std::size_t x1, std::size_t y0, std::size_t y1) {
    double sum = 0;
    for (std::size_t y = y0; y < y1; ++y)
        for (std::size_t x = x0; x < x1; ++x) sum += p.rgb[(y * p.width + x) * 3 + channel];
    return sum / static_cast<double>((x1 - x0) * (y1 - y0));
}

void check_means(pixels const& p, nlohmann::json const& entry) {
    for (std::size_t c = 0; c < 3; ++c)
        CHECK(std::abs(mean(p, c, 0, p.width, 0, p.height) - entry["mean_rgb"][c].get<double>()) < 0.5);
    if (!entry.contains("block_means_8x8_rgb")) return;
    for (std::size_t y = 0; y < 8; ++y)
        for (std::size_t x = 0; x < 8; ++x)
            for (std::size_t c = 0; c < 3; ++c)
                CHECK(std::abs(
                          mean(p, c, x * p.width / 8, (x + 1) * p.width / 8, y * p.height / 8, (y + 1) * p.height / 8)
                          - entry["block_means_8x8_rgb"][y][x][c].get<double>())
                      < 1.0);
}

void check_jpeg(std::string const& file, nlohmann::json const& entry) {
    pixels const ours = image::open(pictures::folder() / file, as_meta);
    CHECK(ours.width == entry["width"].get<std::size_t>());
    CHECK(ours.height == entry["height"].get<std::size_t>());
    check_means(ours, entry);
    if (!entry.contains("reference_decode")) return;
    pixels const reference = image::open(pictures::folder() / entry["reference_decode"].get<std::string>(), as_meta);
    CHECK(pictures::sha(reference) == entry["rgb_sha256"].get<std::string>());
    CHECK(ours == reference);
    check_canvases(reference, entry["expect"]);
    if (!entry.contains("expect_upright")) return;
    unsigned const orientation = image::jpeg_orientation(pictures::read(file));
    pixels const turned = image::upright(reference, orientation);
    CHECK(pictures::sha(turned) == entry["rgb_upright_sha256"].get<std::string>());
    check_canvases(turned, entry["expect_upright"]);
    CHECK(image::open(pictures::folder() / file) == image::upright(ours, orientation));
}

void check_exact_file(std::string const& file, nlohmann::json const& entry) {
    pixels const picture = image::open(pictures::folder() / file, as_meta);
    CHECK(picture.width == entry["width"].get<std::size_t>());
    CHECK(picture.height == entry["height"].get<std::size_t>());
    CHECK(pictures::sha(picture) == entry["rgb_sha256"].get<std::string>());
    check_canvases(picture, entry["expect"]);
    pixels const white = image::open(pictures::folder() / file);
    if (!entry.contains("rgb_over_white_sha256")) {
        CHECK(white == picture);
        return;
    }
    CHECK(pictures::sha(white) == entry["rgb_over_white_sha256"].get<std::string>());
    check_canvases(white, entry["expect_over_white"]);
}

} // namespace

TEST_CASE("pictures made by formulas become the references' canvases and tiles") {
    std::size_t pictures_seen = 0, canvases = 0;
    nlohmann::json const expected = pictures::json("expected.json");
    for (auto const& entry : expected["images"]) {
        if (!entry.contains("formula")) continue;
        CAPTURE(entry["formula"].get<std::string>());
        CAPTURE(entry["width"].get<std::size_t>());
        CAPTURE(entry["height"].get<std::size_t>());
        pixels const picture =
            pictures::formula(entry["formula"], entry["width"], entry["height"], entry.value("seed", std::uint32_t{0}));
        CHECK(pictures::sha(picture) == entry["rgb_sha256"].get<std::string>());
        canvases += check_canvases(picture, entry["expect"]);
        ++pictures_seen;
    }
    CHECK(pictures_seen == 29);
    CHECK(canvases >= 56);
}

TEST_CASE("files become the references' pixels, canvases and tiles") {
    std::size_t seen = 0;
    nlohmann::json const expected = pictures::json("expected.json");
    for (auto const& entry : expected["images"]) {
        if (!entry.contains("file")) continue;
        std::string const file = entry["file"];
        CAPTURE(file);
        if (!std::filesystem::exists(pictures::folder() / file)) {
            MESSAGE("skipped, not in the repository: " << file);
            continue;
        }
        if (entry["format"] == "JPEG")
            check_jpeg(file, entry);
        else
            check_exact_file(file, entry);
        ++seen;
    }
    CHECK(seen >= 15);
}

TEST_CASE("the normalisation table holds the references' bits") {
    auto const want = pictures::json("normalise_lut.json");
    auto const table = image::normalisation_table(image::clip);
    for (std::size_t channel = 0; channel < 3; ++channel) {
        CHECK(image::clip.mean[channel] == want["mean"][channel].get<double>());
        CHECK(image::clip.std[channel] == want["std"][channel].get<double>());
        for (std::size_t level = 0; level < 256; ++level)
            CHECK(std::bit_cast<std::uint32_t>(table[channel][level])
                  == std::stoul(want["meta_and_hf_pil"][channel][level].get<std::string>(), nullptr, 16));
    }
}
