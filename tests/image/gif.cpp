// SPDX-License-Identifier: Apache-2.0
// The first picture of GIFs of every kind that Pillow reads: pixels that are known.
#include "files.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <llamavision/image/open.hpp>

namespace image = llamavision::image;
using files::octets;

namespace {

using indexes = std::vector<std::uint8_t>;

/// LZW codes in blocks of `block` bytes, behind the number of bits. The table is never emptied once it is full.
octets packed(indexes const& picture, unsigned bits, std::size_t block = 255) {
    std::size_t const clear = std::size_t{1} << bits;
    std::map<std::pair<std::size_t, std::uint8_t>, std::size_t> table; // code and index to code
    std::size_t used = clear + 2;
    unsigned width = bits + 1, held = 0;
    std::uint32_t buffer = 0;
    octets bytes, out;
    auto const put = [&](std::size_t code) {
        buffer |= static_cast<std::uint32_t>(code) << held;
        for (held += width; held >= 8; held -= 8, buffer >>= 8) files::append(bytes, {buffer & 255});
    };
    put(clear);
    std::size_t code = picture.at(0);
    for (std::size_t i = 1; i < picture.size(); ++i) {
        auto const known = table.find({code, picture[i]});
        if (known != table.end()) {
            code = known->second;
            continue;
        }
        put(code);
        if (used < 4096) {
            table[{code, picture[i]}] = used;
            if (used == std::size_t{1} << width && width < 12) ++width;
            ++used;
        }
        code = picture[i];
    }
    put(code);
    put(clear + 1);
    files::append(bytes, {buffer & 255});
    files::append(out, {bits});
    for (std::size_t at = 0; at < bytes.size(); at += block) {
        std::size_t const count = std::min(block, bytes.size() - at);
        files::append(out, {static_cast<unsigned>(count)});
        out.insert(out.end(), bytes.begin() + static_cast<std::ptrdiff_t>(at),
                   bytes.begin() + static_cast<std::ptrdiff_t>(at + count));
    }
    files::append(out, {0});
    return out;
}

struct parts {
    std::size_t width, height;                ///< of the screen
    std::array<std::size_t, 4> frame;         ///< left, top, width, height
    std::vector<unsigned> palette{}, local{}; ///< red, green, blue of 2, 4, 8, ... colours
    octets before_frame{};
    bool is_interlaced = false;
};

unsigned palette_bits(std::vector<unsigned> const& palette) {
    unsigned bits = 0;
    while (std::size_t{6} << bits < palette.size()) ++bits;
    return palette.empty() ? 0 : 0x80 | bits;
}

octets gif(parts const& p, octets const& data) {
    octets out = files::octets_of("GIF89a");
    files::le(out, p.width, 2);
    files::le(out, p.height, 2);
    files::append(out, {palette_bits(p.palette), 1, 0}); // background colour 1
    for (unsigned const v : p.palette) files::append(out, {v});
    files::append(out, p.before_frame);
    files::append(out, {0x2C});
    for (std::size_t const v : p.frame) files::le(out, v, 2);
    files::append(out, {palette_bits(p.local) | (p.is_interlaced ? 0x40U : 0U)});
    for (unsigned const v : p.local) files::append(out, {v});
    files::append(out, data);
    files::append(out, {0x3B});
    return out;
}

octets control(unsigned flags, unsigned colour) {
    octets out;
    files::append(out, {0x21, 0xF9, 4, flags, 0, 0, colour, 0});
    return out;
}

/// Red of each pixel.
indexes reds(octets const& file, image::alpha_policy alpha = image::alpha_policy::white) {
    image::open_options options;
    options.alpha = alpha;
    image::pixels const p = image::decode(file, "p.gif", options);
    indexes out;
    for (std::size_t i = 0; i < p.rgb.size(); i += 3) out.push_back(p.rgb[i]);
    return out;
}
std::string complaint(octets const& file) {
    try {
        (void)image::decode(file, "p.gif");
    } catch (llamavision::image_error const& e) { return e.what(); }
    return {};
}

std::vector<unsigned> const four = {10, 0, 0, 20, 0, 0, 30, 0, 0, 40, 0, 0};

} // namespace

TEST_CASE("a table of codes that fills up stays as it is") {
    indexes picture;
    std::uint32_t state = 1;
    for (std::size_t i = 0; i < 200 * 200; ++i) {
        state = state * 1664525 + 1013904223;
        picture.push_back(static_cast<std::uint8_t>(state >> 30 | (i % 50 < 20 ? 4 : 0)));
    }
    std::vector<unsigned> ramp;
    for (unsigned i = 0; i < 8; ++i) ramp.insert(ramp.end(), {i * 30, 0, 1});
    indexes wanted;
    for (std::uint8_t const i : picture) wanted.push_back(static_cast<std::uint8_t>(30 * i));
    for (std::size_t const block : {255U, 1U, 7U})
        CHECK(reds(gif({200, 200, {0, 0, 200, 200}, ramp}, packed(picture, 3, block))) == wanted);
    // a string that is made of the one before and its own first index
    CHECK(reds(gif({5, 1, {0, 0, 5, 1}, four}, packed({1, 1, 1, 1, 1}, 2))) == indexes{20, 20, 20, 20, 20});
}

TEST_CASE("a first picture beside its screen makes the screen larger; around it is colour 0, or the transparent one") {
    octets const data = packed({1, 2, 3, 1}, 2);
    CHECK(reds(gif({2, 2, {1, 1, 2, 2}, four}, data)) == indexes{10, 10, 10, 10, 20, 30, 10, 40, 20});
    CHECK(reds(gif({0, 0, {0, 0, 2, 2}, four}, data)) == indexes{20, 30, 40, 20});
    CHECK(reds(gif({3, 3, {0, 1, 2, 2}, four}, data)) == indexes{10, 10, 10, 20, 30, 10, 40, 20, 10});
    octets const clear = gif({3, 2, {0, 0, 2, 2}, four, {}, control(1, 2)}, data);
    CHECK(reds(clear) == indexes{20, 255, 255, 40, 20, 255});
    CHECK(reds(clear, image::alpha_policy::drop) == indexes{20, 30, 30, 40, 20, 30});
    // A later block that names no transparent colour takes nothing back.
    octets both = control(1, 2);
    files::append(both, control(0, 3));
    CHECK(reds(gif({2, 2, {0, 0, 2, 2}, four, {}, both}, data)) == indexes{20, 255, 40, 20});
}

TEST_CASE("palettes: the picture's own one, those that are too short, and none") {
    octets const data = packed({0, 1, 2, 3}, 2);
    auto const of = [&](std::vector<unsigned> const& global, std::vector<unsigned> const& local) {
        return reds(gif({4, 1, {0, 0, 4, 1}, global, local}, data));
    };
    CHECK(of(four, {}) == indexes{10, 20, 30, 40});
    CHECK(of({}, four) == indexes{10, 20, 30, 40});
    CHECK(of({1, 1, 1, 2, 2, 2}, four) == indexes{10, 20, 30, 40});
    CHECK(of({7, 7, 7, 8, 8, 8}, {}) == indexes{7, 8, 0, 0});
    CHECK(of({0, 0, 0, 1, 1, 1}, {}) == indexes{0, 1, 2, 3}); // a grey ramp
    CHECK(of({}, {}) == indexes{0, 1, 2, 3});
    CHECK(of(four, {0, 0, 0, 1, 1, 1}) == indexes{0, 1, 2, 3});
}

TEST_CASE("interlaced rows, stray bytes, blocks that end with the file") {
    parts shape{1, 10, {0, 0, 1, 10}, four};
    shape.is_interlaced = true;
    // rows 0 8, 4, 2 6, 1 3 5 7 9
    CHECK(reds(gif(shape, packed({0, 0, 1, 2, 2, 3, 3, 3, 3, 3}, 2)))
          == indexes{10, 40, 30, 40, 20, 40, 30, 40, 10, 40});
    octets stray = files::octets_of({"\0\0\x07", 3});
    octets const data = packed({1, 2, 3, 1}, 2);
    CHECK(reds(gif({2, 2, {0, 0, 2, 2}, four, {}, stray}, data)) == indexes{20, 30, 40, 20});
    octets cut = gif({2, 2, {0, 0, 2, 2}, four}, data);
    cut.resize(cut.size() - 2);
    CHECK(reds(cut) == indexes{20, 30, 40, 20});
    CHECK(reds(gif({2, 2, {0, 0, 2, 2}, four}, packed({1, 2, 3, 1, 2, 2, 2}, 2)))
          == indexes{20, 30, 40, 20}); // too many
    CHECK(reds(gif({2, 2, {0, 0, 2, 2}, four}, packed({1, 2, 3, 1}, 11))) == indexes{20, 30, 40, 20});
}

TEST_CASE("what is not read is named") {
    CHECK(complaint(gif({2, 2, {0, 0, 2, 2}, four}, packed({1, 2, 3}, 2))).find("before its last row")
          != std::string::npos);
    octets cut = gif({2, 2, {0, 0, 2, 2}, four}, packed({1, 2, 3, 1}, 2));
    cut.resize(cut.size() - 4);
    CHECK(complaint(cut).find("truncated") != std::string::npos);
    octets wide;
    files::append(wide, {12, 1, 0, 0});
    CHECK(complaint(gif({2, 2, {0, 0, 2, 2}, four}, wide)).find("indexes of 12 bits") != std::string::npos);
    octets unknown;
    files::append(unknown, {2, 1, 0x3C, 0}); // clear (4), then 7
    CHECK(complaint(gif({2, 2, {0, 0, 2, 2}, four}, unknown)).find("not in its table") != std::string::npos);
    CHECK(complaint(gif({2, 2, {0, 0, 0, 2}, four}, packed({1}, 2))).find("has no pixels") != std::string::npos);
    octets none = files::octets_of("GIF89a");
    files::append(none, {2, 0, 2, 0, 0, 0, 0, 0x3B});
    CHECK(complaint(none).find("without a picture") != std::string::npos);
}
