// SPDX-License-Identifier: Apache-2.0
// BMP files of every kind that is read: pixels that are known, byte by byte.
#include "files.hpp"

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <llamavision/image/open.hpp>

namespace image = llamavision::image;
using files::octets;

namespace {

struct parts {
    std::size_t width, height, bits, compression = 0, header = 40;
    octets behind_header{}; ///< masks, palette; a longer header's other fields
    std::size_t used = 0, gap = 0;
};

octets bmp(parts const& p, octets const& data) {
    octets out = files::octets_of("BM");
    files::le(out, 0, 8);
    files::le(out, 14 + p.header + p.behind_header.size() - (p.header > 40 ? p.header - 40 : 0) + p.gap, 4);
    files::le(out, p.header, 4);
    if (p.header == 12) {
        files::le(out, p.width, 2);
        files::le(out, p.height, 2);
    } else {
        files::le(out, p.width, 4);
        files::le(out, p.height, 4);
    }
    files::le(out, 1, 2);
    files::le(out, p.bits, 2);
    if (p.header != 12) {
        files::le(out, p.compression, 4);
        files::append(out, octets(12));
        files::le(out, p.used, 4);
        files::le(out, 0, 4);
    }
    files::append(out, p.behind_header);
    files::append(out, octets(p.gap));
    files::append(out, data);
    return out;
}

octets bytes(std::initializer_list<unsigned> values) {
    octets out;
    files::append(out, values);
    return out;
}
octets words(std::initializer_list<std::uint32_t> values) {
    octets out;
    for (std::uint32_t const v : values) files::le(out, v, 4);
    return out;
}

using rgb = std::vector<std::uint8_t>;
rgb decoded(parts const& p, octets const& data) { return image::decode(bmp(p, data), "p.bmp").rgb; }
std::string complaint(parts const& p, octets const& data) {
    try {
        (void)image::decode(bmp(p, data), "p.bmp");
    } catch (llamavision::image_error const& e) { return e.what(); }
    return {};
}

/// Black, and (3, 2, 1), (6, 5, 4), (9, 8, 7).
octets const four_colours = bytes({0, 0, 0, 0, 1, 2, 3, 0, 4, 5, 6, 0, 7, 8, 9, 0});
rgb looked(std::initializer_list<int> indexes) {
    rgb out;
    for (int const i : indexes)
        for (int k = 0; k < 3; ++k) out.push_back(i == 0 ? 0 : static_cast<std::uint8_t>(3 * i - k));
    return out;
}

} // namespace

TEST_CASE("indexes of 1, 4 and 8 bits, palettes of OS/2, gaps") {
    CHECK(decoded({3, 1, 8, 0, 40, four_colours, 4}, bytes({1, 3, 2, 0})) == looked({1, 3, 2}));
    CHECK(decoded({3, 1, 8, 0, 40, four_colours, 4, 7}, bytes({1, 3, 2, 0})) == looked({1, 3, 2}));
    CHECK(decoded({3, 2, 4, 0, 40, four_colours, 4}, bytes({0x12, 0x30, 0, 0, 0x01, 0x10, 0, 0}))
          == looked({0, 1, 1, 1, 2, 3}));
    CHECK(decoded({3, 1, 1, 0, 40, four_colours, 2}, bytes({0xA0, 0, 0, 0})) == looked({1, 0, 1}));
    octets uncounted = bmp({3, 1, 8, 0, 40, four_colours, 4}, bytes({1, 3, 2, 0}));
    uncounted[10] = std::byte{54}; // the pixels are said to begin where the palette does
    CHECK(image::decode(uncounted, "p.bmp").rgb == looked({1, 3, 2}));
    // OS/2: colours of three bytes, fewer than there could be
    CHECK(decoded({2, 1, 8, 0, 12, bytes({0, 0, 0, 1, 2, 3, 4, 5, 6})}, bytes({2, 1, 0, 0})) == looked({2, 1}));
    octets of_64(24);
    files::append(of_64, four_colours);
    CHECK(decoded({2, 1, 8, 0, 64, of_64, 4}, bytes({2, 1, 0, 0})) == looked({2, 1}));
    CHECK(decoded({1, 1, 24, 0, 40, four_colours, 4}, bytes({3, 2, 1, 0})) == rgb{1, 2, 3});    // nobody needs it
    CHECK(decoded({2, 1, 8, 0, 40, four_colours, 4}, bytes({200, 1, 0, 0})) == looked({0, 1})); // not in the palette
}

TEST_CASE("16 and 32 bits, by masks in the header or behind it") {
    octets const pixels = bytes({0x1F, 0x00, 0xE0, 0x07, 0x00, 0xF8, 0x0C, 0x00}); // of 5, 6 and 5 bits
    rgb const wanted = {0, 0, 255, 0, 255, 0, 255, 0, 0, 0, 0, 99};                // 12 of 31: 01100 011
    octets const masks = words({0xF800, 0x07E0, 0x001F});
    CHECK(decoded({4, 1, 16, 3, 40, masks}, pixels) == wanted);
    CHECK(decoded({4, 1, 16, 3, 52, masks}, pixels) == wanted);
    octets const four_masks = words({0xF800, 0x07E0, 0x001F, 0});
    CHECK(decoded({4, 1, 16, 3, 56, four_masks}, pixels) == wanted);
    CHECK(decoded({2, 1, 16}, bytes({0x00, 0x7C, 0x0C, 0x00})) == rgb{255, 0, 0, 0, 0, 99});

    octets const with_alpha = words({0xFF0000, 0xFF00, 0xFF, 0xFF000000});
    octets const half = bytes({0, 0, 0, 128, 1, 2, 3, 255}), none = bytes({5, 6, 7, 0, 1, 2, 3, 0});
    rgb const over_white = {127, 127, 127, 3, 2, 1};
    CHECK(decoded({2, 1, 32, 3, 56, with_alpha}, half) == over_white);
    CHECK(decoded({2, 1, 32, 6, 40, with_alpha}, half) == over_white);
    CHECK(decoded({2, 1, 32, 3, 40, words({0xFF0000, 0xFF00, 0xFF})}, half) == rgb{0, 0, 0, 3, 2, 1});
    CHECK(decoded({2, 1, 32}, half) == rgb{0, 0, 0, 3, 2, 1});
    CHECK(decoded({2, 1, 32, 3, 56, with_alpha}, none) == rgb{7, 6, 5, 3, 2, 1}); // nobody filled it in
    octets const ten_bits = words({0x3FF00000, 0x000FFC00, 0x000003FF, 0});
    CHECK(decoded({1, 1, 32, 3, 56, ten_bits}, words({0x3FF00000 | 512u << 10 | 3})) == rgb{255, 128, 0});
}

TEST_CASE("runs of 8 and of 4 bits") {
    parts const eight{4, 2, 8, 1, 40, four_colours, 4}, four{4, 2, 4, 2, 40, four_colours, 4};
    CHECK(decoded(eight, bytes({4, 1, 0, 0, 2, 2, 2, 3, 0, 1})) == looked({2, 2, 3, 3, 1, 1, 1, 1}));
    // three indexes and a byte that fills up, then one more
    CHECK(decoded(eight, bytes({0, 3, 1, 2, 3, 0, 1, 1, 0, 0, 0, 1})) == looked({0, 0, 0, 0, 1, 2, 3, 1}));
    // two columns and one row on
    CHECK(decoded(eight, bytes({1, 1, 0, 2, 2, 1, 1, 3, 0, 1})) == looked({0, 0, 0, 3, 1, 0, 0, 0}));
    CHECK(decoded(eight, bytes({0, 1})) == looked({0, 0, 0, 0, 0, 0, 0, 0}));
    CHECK(decoded(eight, bytes({200, 1, 0, 0, 200, 2, 0, 0})) == looked({2, 2, 2, 2, 1, 1, 1, 1})); // beyond the row
    CHECK(decoded(four, bytes({4, 0x12, 0, 0, 0, 3, 0x12, 0x30, 0, 1})) == looked({1, 2, 3, 0, 1, 2, 1, 2}));
    CHECK(complaint(eight, bytes({4, 1})).find("truncated") != std::string::npos);
    CHECK(complaint(eight, bytes({0, 200, 1, 1})).find("truncated") != std::string::npos);
    CHECK(complaint(eight, bytes({0, 2, 1})).find("truncated") != std::string::npos);
}

TEST_CASE("what is not read is named") {
    auto const says = [](parts const& p, char const* text) {
        CAPTURE(text);
        CHECK(complaint(p, bytes({0, 0, 0, 0})).find(text) != std::string::npos);
    };
    says({1, 1, 24, 5}, "a BMP that holds a PNG");
    says({1, 1, 24, 9}, "a BMP of compression 9");
    says({1, 1, 8, 2, 40, four_colours, 4}, "8 bits a pixel and of compression 2");
    says({1, 1, 7}, "7 bits a pixel");
    says({1, 1, 24, 0, 41}, "a header of 41 bytes");
    says({1, 1, 1, 3, 64, octets(24)}, "in Huffman codes");
    octets inside = bmp({1, 1, 24}, bytes({3, 2, 1, 0}));
    inside[10] = std::byte{20};
    CHECK_THROWS_WITH_AS((void)image::decode(inside, "p.bmp"), doctest::Contains("inside of its header"),
                         llamavision::image_error);
}
