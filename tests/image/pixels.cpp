// SPDX-License-Identifier: Apache-2.0
// Raw memory of every channel order and any stride, and what becomes of transparency.
#include <llamavision/image/pixels.hpp>

#include <array>
#include <cmath>
#include <doctest/doctest.h>

namespace image = llamavision::image;
using image::pixel_format;

namespace {

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
}
