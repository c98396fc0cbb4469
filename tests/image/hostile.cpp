// SPDX-License-Identifier: Apache-2.0
// Hostile files: truncated at every byte, with random bits changed, with wrong headers, with data that expand without
// end. Each is read or refused. None crashes, hangs, or uses more memory than its size allows.
#include "files.hpp"

#include <llamavision/image/open.hpp>

#include <chrono>
#include <doctest/doctest.h>
#include <random>
#include <string>

namespace image = llamavision::image;
using files::octets;

namespace {

std::vector<std::string> const samples{
    "rgb8.png",  "rgba8.png",           "gray_alpha8.png",  "palette_trns.png",    "rgb16.png",
    "rgb24.bmp", "baseline_444.jpg",    "baseline_420.jpg", "rgb8_interlaced.png", "still.gif",
    "gray.jpg",  "progressive_420.jpg", "exif6.jpg"};

enum class outcome { read, refused };

/// Decodes. The result must be a whole picture or an image_error with a message.
outcome attempt(std::span<std::byte const> bytes, image::alpha_policy alpha = image::alpha_policy::white) {
    image::open_options options;
    options.alpha = alpha;
    try {
        image::pixels const p = image::decode(bytes, "hostile", options);
        REQUIRE(p.width * p.height * 3 == p.rgb.size());
        REQUIRE(!p.rgb.empty());
        return outcome::read;
    } catch (llamavision::image_error const& e) {
        REQUIRE(std::string_view(e.what()).starts_with("hostile: "));
        REQUIRE(std::string_view(e.what()).size() > 12);
        return outcome::refused;
    }
}

} // namespace

TEST_CASE("truncated files are refused, wherever they end") {
    for (std::string const& file : samples) {
        CAPTURE(file);
        octets const whole = pictures::read(file);
        REQUIRE(attempt(whole) == outcome::read);
        // All that a JPEG may lack is its end mark (jpeg_segments.cpp).
        std::size_t const most = whole.size() - (file.ends_with("jpg") ? 2 : 0);
        for (std::size_t length = 0; length < most; length += length < 400 ? 1 : 37) {
            CAPTURE(length);
            CHECK(attempt(std::span(whole).first(length)) == outcome::refused);
        }
    }
}

TEST_CASE("files with random damage are read or refused") {
    std::mt19937 random(23);
    std::size_t refused = 0, read = 0;
    for (std::string const& file : samples) {
        octets const whole = pictures::read(file);
        for (int round = 0; round < 400; ++round) {
            octets damaged = whole;
            // Mostly near the front, where the headers are.
            std::size_t const range = round % 3 == 0 ? damaged.size() : std::min<std::size_t>(damaged.size(), 700);
            for (int flips = round % 4; flips >= 0; --flips) {
                std::byte& victim = damaged[random() % range];
                victim = round % 2 ? static_cast<std::byte>(random()) : victim ^ std::byte{1} << (random() % 8);
            }
            auto const alpha = round % 2 ? image::alpha_policy::white : image::alpha_policy::drop;
            if (file.ends_with(".png") && round % 8 != 0) files::repair_checksums(damaged);
            ++(attempt(damaged, alpha) == outcome::read ? read : refused);
        }
    }
    CHECK(read > 100);
    CHECK(refused > 100);
}

TEST_CASE("headers that promise more than the file can hold are refused at once") {
    octets const few = files::stored(octets(100));
    for (std::size_t const side : {20000U, 65535U, 1U << 24, 0x7FFFFFFFU})
        for (unsigned const colour : {0U, 2U, 6U}) {
            CHECK(attempt(files::png(side, side, 8, colour, few)) == outcome::refused);
            CHECK(attempt(files::png(side, 1 << 6, 16, colour, few)) == outcome::refused);
        }
    CHECK(attempt(files::png(0xFFFFFFFF, 0xFFFFFFFF, 8, 2, few)) == outcome::refused);
    CHECK(attempt(files::gif(65535, 65535, {0, 0, 1, 1}, {1}, -1)) == outcome::refused);
    CHECK(attempt(files::gif(2000, 2000, {0, 0, 1, 1}, {1}, -1)) == outcome::refused);
    CHECK(attempt(files::gif(2, 2, {65535, 65535, 2, 2}, {1, 1, 1, 1}, -1)) == outcome::refused); // makes it larger
    CHECK(attempt(files::bmp(65535, 65535, 24, 0, {1, 2, 3})) == outcome::refused);
    CHECK(attempt(files::bmp(0x7FFFFFFF, 1, 1, 0, {1, 2, 3})) == outcome::refused);
    octets jpeg = pictures::read("baseline_444.jpg");
    for (std::size_t i = 0; i + 9 < jpeg.size(); ++i)
        if (jpeg[i] == std::byte{0xFF} && jpeg[i + 1] == std::byte{0xC0})
            for (std::size_t k = 5; k < 9; ++k) jpeg[i + k] = std::byte{0xFF};
    CHECK(attempt(jpeg) == outcome::refused);
    // The same with every pixel allowed: the bytes do not suffice.
    image::open_options any;
    any.max_pixels = SIZE_MAX;
    CHECK_THROWS_AS((void)image::decode(jpeg, "", any), llamavision::image_error);
    CHECK_THROWS_AS((void)image::decode(files::png(0xFFFFFFFF, 0xFFFFFFFF, 16, 6, few), "", any),
                    llamavision::image_error);
}

TEST_CASE("pictures without pixels are refused") {
    octets const data = files::stored(octets(100));
    CHECK(attempt(files::png(0, 5, 8, 2, data)) == outcome::refused);
    CHECK(attempt(files::png(5, 0, 8, 2, data)) == outcome::refused);
    CHECK(attempt(files::gif(0, 0, {0, 0, 0, 0}, {1}, -1)) == outcome::refused);
    CHECK(attempt(files::bmp(0, 1, 24, 0, {1, 2, 3, 4})) == outcome::refused);
    CHECK(attempt(files::bmp(1, 0, 24, 0, {1, 2, 3, 4})) == outcome::refused);
}

TEST_CASE("data that unfolds far beyond the picture is refused, not unfolded") {
    octets const flood = files::bomb(40000); // 10 MB in 65 KB
    REQUIRE(flood.size() < 70000);
    CHECK(attempt(files::png(1, 1, 8, 0, flood)) == outcome::refused);
    CHECK(attempt(files::png(7, 7, 8, 6, flood)) == outcome::refused);
    // The same stream with a header that fits is a picture.
    CHECK(attempt(files::png(3000, 3000, 8, 0, flood)) == outcome::read);
}

TEST_CASE("a JPEG of endlessly many scans is refused before it is decoded") {
    octets jpeg = pictures::read("progressive_420.jpg");
    std::size_t scan = 2; // the first scan's marker
    while (jpeg[scan + 1] != std::byte{0xDA})
        scan += 2 + std::to_integer<std::size_t>(jpeg[scan + 2]) * 256 + std::to_integer<std::size_t>(jpeg[scan + 3]);
    std::size_t end = scan + 2;
    while (jpeg[end] != std::byte{0xFF} || jpeg[end + 1] == std::byte{0}) ++end;
    octets const once(jpeg.begin() + static_cast<std::ptrdiff_t>(scan),
                      jpeg.begin() + static_cast<std::ptrdiff_t>(end));
    octets many(jpeg.begin(), jpeg.begin() + static_cast<std::ptrdiff_t>(scan));
    for (int i = 0; i < 101; ++i) files::append(many, once);
    files::append(many, {0xFF, 0xD9});
    try {
        (void)image::decode(many, "scans");
        FAIL("not refused");
    } catch (llamavision::image_error const& e) { CHECK(std::string_view(e.what()).ends_with("more than 100 scans")); }
}
