// SPDX-License-Identifier: Apache-2.0
// Pictures in memory with every order of channels and any stride, and the handling of transparency.
#include <llamavision/image/exif.hpp>
#include <llamavision/image/pixels.hpp>
#include <llamavision/image/tiles.hpp>

#include "../support/message.hpp"

#include <array>
#include <cmath>
#include <doctest/doctest.h>

namespace image = llamavision::image;
using image::pixel_format;
using image::pixels;

#if defined(__has_feature)
#define LLAMAVISION_HAS_FEATURE(name) __has_feature(name)
#else
#define LLAMAVISION_HAS_FEATURE(name) false
#endif

namespace {

/// AddressSanitizer ends a program that requests more memory than the address space has.
constexpr bool sanitized = LLAMAVISION_HAS_FEATURE(address_sanitizer);

/// 3 x 2 pixels; channel c of pixel i holds 40 i + 10 c + 5, alpha counting as channel 3.
std::vector<std::uint8_t> memory(std::vector<int> const& channels, std::size_t stride) {
    std::vector<std::uint8_t> bytes(stride + 3 * channels.size(), 0xEE);
    for (std::size_t y = 0; y < 2; ++y)
        for (std::size_t x = 0; x < 3; ++x)
            for (std::size_t c = 0; c < channels.size(); ++c)
                bytes[y * stride + x * channels.size() + c] =
                    static_cast<std::uint8_t>(40 * (3 * y + x) + 10 * static_cast<std::size_t>(channels[c]) + 5);
    return bytes;
}

struct kind {
    pixel_format format;
    std::vector<int> channels;
};

std::vector<kind> const kinds{{pixel_format::grey, {0}},          {pixel_format::grey_alpha, {0, 3}},
                              {pixel_format::rgb, {0, 1, 2}},     {pixel_format::bgr, {2, 1, 0}},
                              {pixel_format::rgba, {0, 1, 2, 3}}, {pixel_format::bgra, {2, 1, 0, 3}}};

} // namespace

TEST_CASE("raw memory of every format and stride becomes the same RGB") {
    for (kind const& k : kinds)
        for (std::size_t const gap : {0U, 1U, 5U}) {
            CAPTURE(static_cast<int>(k.format));
            CAPTURE(gap);
            std::size_t const row = 3 * k.channels.size();
            REQUIRE(image::bytes_per_pixel(k.format) == k.channels.size());
            std::vector<std::uint8_t> const bytes = memory(k.channels, row + gap); // no padding behind the last row
            image::pixels const p =
                image::from_raw({bytes.data(), 3, 2, gap == 0 ? 0 : row + gap, k.format}, image::alpha_policy::drop);
            REQUIRE(p.width == 3);
            REQUIRE(p.height == 2);
            REQUIRE(p.rgb.size() == 18);
            for (std::size_t i = 0; i < 6; ++i)
                for (std::size_t c = 0; c < 3; ++c)
                    CHECK(p.rgb[3 * i + c] == 40 * i + (k.channels.size() < 3 ? 0 : 10 * c) + 5);
        }
}

TEST_CASE("transparency is laid over white unless it is dropped; formats without it are not touched") {
    for (kind const& k : kinds) {
        bool const has_alpha = k.channels.size() % 2 == 0;
        std::vector<std::uint8_t> const bytes = memory(k.channels, 3 * k.channels.size());
        image::pixels const plain = image::from_raw({bytes.data(), 3, 2, 0, k.format}, image::alpha_policy::drop);
        image::pixels const white = image::from_raw({bytes.data(), 3, 2, 0, k.format});
        for (std::size_t i = 0; i < 18; ++i) {
            double const alpha = static_cast<double>(40 * (i / 3) + 35) / 255;
            double const want = has_alpha ? plain.rgb[i] * alpha + 255 * (1 - alpha) : plain.rgb[i];
            CHECK(std::abs(white.rgb[i] - want) <= 0.5);
        }
    }
    for (unsigned v = 0; v < 256; ++v) {
        CHECK(image::over_white(static_cast<std::uint8_t>(v), 255) == v);
        CHECK(image::over_white(static_cast<std::uint8_t>(v), 0) == 255);
    }
    CHECK(image::over_white(0, 128) == 127);
}

TEST_CASE("raw memory that cannot be a picture is refused") {
    std::array<std::uint8_t, 64> const bytes{};
    CHECK_THROWS_AS(image::from_raw({nullptr, 1, 1, 0, pixel_format::rgb}), llamavision::argument_error);
    CHECK_THROWS_AS(image::from_raw({bytes.data(), 4, 4, 11, pixel_format::rgb}), llamavision::argument_error);
    CHECK_THROWS_AS(image::from_raw({bytes.data(), 0, 4, 0, pixel_format::rgb}), llamavision::image_error);
    CHECK_THROWS_AS(image::from_raw({bytes.data(), 4, 0, 0, pixel_format::rgb}), llamavision::image_error);
    std::size_t const huge = std::size_t{1} << 62;
    CHECK_THROWS_AS(image::from_raw({bytes.data(), huge, huge, 0, pixel_format::grey}), llamavision::image_error);
    if (!sanitized)
        CHECK_THROWS_AS(image::from_raw({bytes.data(), std::size_t{1} << 50, 1 << 10, 0, pixel_format::grey}),
                        llamavision::image_error);
}

TEST_CASE("a picture has exactly the bytes that its sizes promise, wherever it is handed in") {
    struct row {
        std::size_t width, height, bytes;
        std::string says;
    };
    constexpr std::size_t large = std::size_t{1} << 40, half = std::size_t{1} << 32;
    for (row const& r : {row{0, 0, 0, "a picture of 0 x 0 has no pixels"}, row{3, 0, 0, "3 x 0 has no pixels"},
                         row{0, 3, 9, "0 x 3 has no pixels"},
                         row{100, 90, 9000, "100 x 90 pixels takes 27000 bytes of RGB; this one has 9000"},
                         row{2, 2, 13, "2 x 2 pixels takes 12 bytes of RGB; this one has 13"},
                         row{large, 4, 0, "takes 13194139533312 bytes of RGB; this one has 0"},
                         row{large, large, 0, "more than 2^61 bytes"},
                         row{half, half, 0, "more than 2^61 bytes"}}) { // their product is 0
        pixels const wrong{r.width, r.height, std::vector<std::uint8_t>(r.bytes)};
        CAPTURE(r.says);
        CHECK(contains(message_of<llamavision::image_error>([&] { return image::check(wrong), 0; }), r.says));
        CHECK_THROWS_AS((void)image::resize(wrong, r.width, r.height), llamavision::image_error);
        CHECK_THROWS_AS((void)image::resize(wrong, 5, 7), llamavision::image_error);
        CHECK_THROWS_AS((void)image::upright(wrong, 1), llamavision::image_error);
        CHECK_THROWS_AS((void)image::upright(wrong, 6), llamavision::image_error);
        CHECK_THROWS_AS((void)image::preprocess(wrong, {84, 4, {}}), llamavision::image_error);
        image::canvas const laid{{1, 1, r.width, r.height}, wrong};
        CHECK_THROWS_AS((void)image::to_tiles(laid), llamavision::argument_error);
    }
    CHECK_NOTHROW(image::check({2, 2, std::vector<std::uint8_t>(12)}));
}
