// SPDX-License-Identifier: Apache-2.0
// EXIF orientation: read in both byte orders, with faults in the data, and applied as defined.
#include "pictures.hpp"

#include <llamavision/image/exif.hpp>
#include <llamavision/image/open.hpp>

#include <doctest/doctest.h>
#include <random>

namespace image = llamavision::image;
using image::pixels;

namespace {

using octets = std::vector<std::byte>;

void append(octets& to, std::initializer_list<unsigned> values) {
    for (unsigned const v : values) to.push_back(static_cast<std::byte>(v));
}

/// A TIFF block whose directory holds two entries, the second the orientation.
octets tiff(bool little, unsigned orientation, unsigned type = 3, unsigned count = 1, unsigned offset = 8) {
    octets block;
    auto const u16 = [&](unsigned v) { little ? append(block, {v & 255, v >> 8}) : append(block, {v >> 8, v & 255}); };
    auto const u32 = [&](unsigned v) { little ? (u16(v & 65535), u16(v >> 16)) : (u16(v >> 16), u16(v & 65535)); };
    append(block, {little ? 0x49U : 0x4DU, little ? 0x49U : 0x4DU});
    u16(42), u32(offset), u16(2);
    u16(0x010F), u16(2), u32(4), u32(0);
    u16(0x0112), u16(type), u32(count), u16(orientation), u16(0);
    u32(0);
    return block;
}

/// `jpeg` with an EXIF segment after its first marker.
octets with_exif(octets const& jpeg, octets const& block) {
    octets out(jpeg.begin(), jpeg.begin() + 2);
    std::size_t const length = block.size() + 8;
    append(out, {0xFF, 0xE1, static_cast<unsigned>(length >> 8), static_cast<unsigned>(length & 255), 'E', 'x', 'i',
                 'f', 0, 0});
    out.insert(out.end(), block.begin(), block.end());
    out.insert(out.end(), jpeg.begin() + 2, jpeg.end());
    return out;
}

/// 3 x 2:  a b c
///         d e f
pixels letters(std::string const& text, std::size_t width) {
    pixels p{width, text.size() / width, {}};
    for (char const c : text)
        for (int i = 0; i < 3; ++i) p.rgb.push_back(static_cast<std::uint8_t>(c + 40 * i));
    return p;
}

} // namespace

TEST_CASE("each orientation turns the picture as EXIF defines it") {
    pixels const stored = letters("abcdef", 3);
    CHECK(image::upright(stored, 1) == stored);
    CHECK(image::upright(stored, 2) == letters("cbafed", 3));
    CHECK(image::upright(stored, 3) == letters("fedcba", 3));
    CHECK(image::upright(stored, 4) == letters("defabc", 3));
    CHECK(image::upright(stored, 5) == letters("adbecf", 2));
    CHECK(image::upright(stored, 6) == letters("daebfc", 2));
    CHECK(image::upright(stored, 7) == letters("fcebda", 2));
    CHECK(image::upright(stored, 8) == letters("cfbead", 2));
    CHECK_THROWS_AS(image::upright(stored, 0), llamavision::argument_error);
    CHECK_THROWS_AS(image::upright(stored, 9), llamavision::argument_error);
}

TEST_CASE("the orientation is found in both byte orders, and nothing else is taken for one") {
    for (bool const little : {false, true}) {
        for (unsigned value = 1; value <= 8; ++value) CHECK(image::exif_orientation(tiff(little, value)) == value);
        CHECK(image::exif_orientation(tiff(little, 0)) == 1);
        CHECK(image::exif_orientation(tiff(little, 9)) == 1);
        CHECK(image::exif_orientation(tiff(little, 6, 2)) == 1);    // a text
        CHECK(image::exif_orientation(tiff(little, 6, 3, 2)) == 6); // the first of two values
        CHECK(image::exif_orientation(tiff(little, 6, 3, 0)) == 1); // no value
        for (unsigned const offset : {0U, 9U, 30U, 37U, 38U, 39U, 65535U, 0x7FFFFFFFU, 0xFFFFFFFFU})
            CHECK(image::exif_orientation(tiff(little, 6, 3, 1, offset)) == 1);
        octets const whole = tiff(little, 6);
        for (std::size_t length = 0; length < 34; ++length)
            CHECK(image::exif_orientation(std::span(whole).first(length)) == 1);
    }
    CHECK(image::exif_orientation({}) == 1);
}

TEST_CASE("damaged EXIF never crashes") {
    std::mt19937 random(5);
    for (int round = 0; round < 5000; ++round) {
        octets block = tiff(round % 2 == 0, 6);
        for (int flips = 0; flips < 3; ++flips) block[random() % block.size()] = static_cast<std::byte>(random());
        unsigned const found = image::exif_orientation(block);
        CHECK(found >= 1);
        CHECK(found <= 8);
    }
}

TEST_CASE("a JPEG is turned by its EXIF segment, unless asked otherwise") {
    CHECK(image::jpeg_orientation(pictures::read("exif6.jpg")) == 6);
    octets const plain = pictures::read("baseline_420.jpg");
    CHECK(image::jpeg_orientation(plain) == 1);
    pixels const stored = image::decode(plain, "plain");
    image::open_options as_stored;
    as_stored.exif = image::exif_policy::ignore;
    for (unsigned value = 1; value <= 8; ++value) {
        octets const turned = with_exif(plain, tiff(value % 2 == 0, value));
        CHECK(image::jpeg_orientation(turned) == value);
        CHECK(image::decode(turned, "turned") == image::upright(stored, value));
        CHECK(image::decode(turned, "turned", as_stored) == stored);
    }
    // The first EXIF segment counts.
    CHECK(image::jpeg_orientation(with_exif(with_exif(plain, tiff(true, 3)), tiff(true, 8))) == 8);
    CHECK_THROWS_AS(image::jpeg_orientation(pictures::read("rgb8.png")), llamavision::image_error);
}
