// SPDX-License-Identifier: Apache-2.0
// Picture files: which ones are read, with which policies, and the errors for others.
#include "files.hpp"

#include <llamavision/image/decoder.hpp>
#include <llamavision/image/format.hpp>
#include <llamavision/image/open.hpp>

#include <algorithm>
#include <cstdio>
#include <doctest/doctest.h>
#include <string>

namespace image = llamavision::image;
using files::octets;
using image::pixels;

namespace {

constexpr image::open_options dropping{image::exif_policy::apply, image::alpha_policy::drop};

/// The message of the image_error that decoding `bytes` throws; empty if it throws none.
std::string complaint(octets const& bytes, image::open_options const& options = {}) {
    try {
        (void)image::decode(bytes, "photo.png", options);
    } catch (llamavision::image_error const& e) { return e.what(); }
    return {};
}

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

bool is_registered(std::string_view format) {
    auto const all = image::decoders();
    return std::any_of(all.begin(), all.end(), [&](auto const& known) { return known->name() == format; });
}

} // namespace

TEST_CASE("what is no picture that can be decoded is named, and how to convert it, and what would be accepted") {
    struct row {
        std::string_view bytes, kind, tool;
    };
    for (row const& r : {row{"", "an empty file", ""},
                         row{{"RIFF\x10\0\0\0WEBPVP8 ", 16}, "a WebP picture", "dwebp"},
                         row{{"\0\0\0\x20"
                              "ftypavif\0\0",
                              14},
                             "an AVIF picture",
                             "avifdec"},
                         row{{"\0\0\0\x20"
                              "ftypheic\0\0",
                              14},
                             "a HEIC picture",
                             "heif-convert"},
                         row{{"\0\0\0\x20"
                              "ftypisom\0\0",
                              14},
                             "a video",
                             "ffmpeg"},
                         row{{"\0\0\0\x18"
                              "ftypcrx \0\0",
                              14},
                             "a raw photo (CR3)",
                             "darktable-cli"},
                         row{{"II*\0\x08\0\0\0", 8}, "a TIFF picture", "convert"},
                         row{{"MM\0*\0\0\0\x08", 8}, "a TIFF picture", "convert"},
                         row{{"II+\0\x08\0\0\0", 8}, "a TIFF picture", "convert"},
                         row{{"II*\0\x10\0\0\0CR\2\0", 12}, "a raw photo (CR2)", "dcraw"},
                         row{"%PDF-1.7\n", "a PDF document", "pdftoppm"},
                         row{"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing", "rsvg-convert"},
                         row{"<?xml version='1.0'?><svg/>", "an SVG drawing", "rsvg-convert"},
                         row{"P6\n1 1\n255\nabc", "a PNM picture", "pnmtopng"},
                         row{"P5 1 1 255 a", "a PNM picture", "pnmtopng"},
                         row{"P7\nWIDTH 1\n", "a PNM picture", "pnmtopng"},
                         row{"P3\r\n1 1", "a PNM picture", "pnmtopng"},
                         row{{"\0\0\1\0\1\0", 6}, "an icon", "convert"},
                         row{"\xFF\x0A\x01", "a JPEG XL picture", "djxl"},
                         row{{"\0\0\0\x0CJXL \r\n", 10}, "a JPEG XL picture", "djxl"},
                         row{{"\0\0\0\x0CjP  \r\n", 10}, "a JPEG 2000 picture", "opj_decompress"},
                         row{"8BPS", "a Photoshop picture", "convert"},
                         row{"Dear diary", "a text file", ""},
                         row{{"\0\0\0\0\0\0", 6}, "a file of zeros", ""},
                         row{{"\x01\x02\x03\x04", 4}, "no picture", ""}}) {
        std::string const said = complaint(files::octets_of(r.bytes));
        CAPTURE(said);
        CHECK(said.find('\n') == std::string::npos);
        bool decoded = false; // by a library that this program has, which calls the file damaged
        for (std::string_view const name : {"WebP", "AVIF", "HEIC"})
            decoded = decoded || (contains(r.kind, name) && is_registered(name));
        if (decoded) {
            CHECK(contains(said, "truncated"));
            continue;
        }
        CHECK(said.starts_with("photo.png: looks like " + std::string(r.kind) + "; "));
        CHECK(contains(said, "PNG, JPEG, BMP"));
        CHECK(contains(said, "pictures are accepted"));
        CHECK(contains(said, "`" + std::string(r.tool)) == !r.tool.empty());
    }
}

TEST_CASE("a picture whose library is not built in") {
    for (std::string_view const brand : {"avif", "mif1", "heic"}) {
        octets container = files::octets_of({"\0\0\0\x18"
                                             "ftypmif1\0\0\0\0mif1",
                                             20});
        files::append(container, files::octets_of(brand));
        image::file_kind const found = image::recognise({container, "photo"});
        CHECK(found.kind == (brand == "avif" ? "an AVIF picture" : "a HEIC picture"));
        CHECK(contains(found.advice, brand == "avif"
                                         ? "without libavif (Debian: libavif-dev; CMake: LLAMAVISION_AVIF)"
                                         : "without libheif (Debian: libheif-dev; CMake: LLAMAVISION_HEIC)"));
    }
    octets const webp = files::octets_of({"RIFF\x10\0\0\0WEBPVP8 ", 16});
    CHECK(contains(image::recognise({webp, "photo"}).advice,
                   "without libwebp (Debian: libwebp-dev; CMake: LLAMAVISION_WEBP)"));
}

TEST_CASE("what lies under a picture's name instead of it is named, and what to do") {
    CHECK(complaint(files::octets_of(" \n<!DOCTYPE html><html>")).starts_with("photo.png: this is a web page"));
    CHECK(complaint(files::octets_of("<html><body>404</body></html>")).starts_with("photo.png: this is a web page"));
    CHECK(contains(complaint(files::octets_of("version https://git-lfs.github.com/spec/v1\noid sha256:00\n")),
                   "photo.png: this is a Git LFS pointer, not the file itself; fetch the file with `git lfs pull`"));
}

TEST_CASE("files that cannot be read") {
    CHECK_THROWS_AS((void)image::open(pictures::folder() / "no such picture.png"), llamavision::file_error);
    CHECK_THROWS_AS((void)image::open(pictures::folder()), llamavision::file_error);
    // An endless device is refused after its first bytes.
    if (std::filesystem::exists("/dev/zero")) CHECK_THROWS_AS((void)image::open("/dev/zero"), llamavision::image_error);
    image::open_options small;
    small.max_bytes = 1000;
    CHECK_THROWS_AS((void)image::open(pictures::folder() / "rgb8.png", small), llamavision::image_error);
}

TEST_CASE("sizes are judged by the header, before anything is decoded") {
    image::open_options small;
    small.max_pixels = 121 * 83 - 1;
    for (char const* file : {"rgb8.png", "rgb8_interlaced.png", "palette8.png"}) {
        std::string const said = complaint(pictures::read(file), small);
        CHECK(contains(said, "121 x 83"));
        CHECK(contains(said, std::to_string(small.max_pixels)));
    }
    small.max_pixels = 40 * 60 - 1;
    for (char const* file : {"rgb24.bmp", "still.gif", "exif6.jpg", "progressive_420.jpg"})
        CHECK(contains(complaint(pictures::read(file), small), "more than the allowed 2399"));
}

TEST_CASE("16 bits a channel: the high byte, for grey as well") {
    octets raw; // one row: filter 0, then two grey levels
    files::append(raw, {0, 0x12, 0xFF, 0x80, 0x00});
    pixels const grey = image::decode(files::png(2, 1, 16, 0, files::stored(raw)), "grey");
    CHECK(grey.rgb == std::vector<std::uint8_t>{0x12, 0x12, 0x12, 0x80, 0x80, 0x80});
}

TEST_CASE("a transparent colour counts in grey and palette PNG, and not in RGB, as in Hugging Face's processor") {
    octets grey, rgb;
    files::append(grey, {0, 7, 9});
    files::append(rgb, {0, 1, 2, 3, 4, 5, 6});
    octets const key_grey = files::octets_of({"\0\x07", 2}), key_rgb = files::octets_of({"\0\1\0\2\0\3", 6});
    auto const file_grey = files::png(2, 1, 8, 0, files::stored(grey), key_grey);
    CHECK(image::decode(file_grey, "").rgb == std::vector<std::uint8_t>{255, 255, 255, 9, 9, 9});
    CHECK(image::decode(file_grey, "", dropping).rgb == std::vector<std::uint8_t>{7, 7, 7, 9, 9, 9});
    auto const file_rgb = files::png(2, 1, 8, 2, files::stored(rgb), key_rgb);
    CHECK(image::decode(file_rgb, "").rgb == std::vector<std::uint8_t>{1, 2, 3, 4, 5, 6});
}

TEST_CASE("GIF: transparency, the rim around a small first picture, the first of several") {
    auto const colour = [](unsigned index) { return files::gif_colour(index); };
    auto const at = [](pixels const& p, std::size_t x, std::size_t y) {
        std::size_t const i = (y * p.width + x) * 3;
        return std::array<unsigned, 3>{p.rgb[i], p.rgb[i + 1], p.rgb[i + 2]};
    };
    constexpr std::array<unsigned, 3> white{255, 255, 255};
    // A picture of 2 x 2 with colours 5 6 7 5 at (1, 1) on a screen of 4 x 3, background colour 9.
    octets const clear = files::gif(4, 3, {1, 1, 2, 2}, {5, 6, 7, 5}, 5);
    pixels const over_white = image::decode(clear, ""), beneath = image::decode(clear, "", dropping);
    CHECK(at(over_white, 0, 0) == white);
    CHECK(at(over_white, 1, 1) == white);
    CHECK(at(over_white, 2, 1) == colour(6));
    CHECK(at(over_white, 1, 2) == colour(7));
    CHECK(at(beneath, 0, 0) == colour(5));
    CHECK(at(beneath, 1, 1) == colour(5));
    CHECK(at(beneath, 2, 1) == colour(6));
    pixels const opaque = image::decode(files::gif(4, 3, {1, 1, 2, 2}, {5, 6, 7, 5}, -1), "");
    CHECK(at(opaque, 3, 2) == colour(0)); // as Pillow, whatever the background colour
    CHECK(at(opaque, 1, 1) == colour(5));
    octets moving = files::gif(2, 2, {0, 0, 2, 2}, {1, 2, 3, 4}, -1);
    octets const next = files::gif(2, 2, {0, 0, 2, 2}, {9, 9, 9, 9}, -1);
    moving.pop_back(); // the end mark
    moving.insert(moving.end(), next.begin() + 13 + 128 * 3, next.end());
    CHECK(image::decode(moving, "") == image::decode(files::gif(2, 2, {0, 0, 2, 2}, {1, 2, 3, 4}, -1), ""));
}

TEST_CASE("BMP: rows from the top or the bottom; the fourth byte is no transparency unless masks say so") {
    auto const down = image::decode(files::bmp(1, 2, 24, 0, {3, 2, 1, 0, 6, 5, 4, 0}), "");
    CHECK(down.rgb == std::vector<std::uint8_t>{4, 5, 6, 1, 2, 3});
    auto const up = image::decode(files::bmp(1, 0U - 2U, 24, 0, {3, 2, 1, 0, 6, 5, 4, 0}), "");
    CHECK(up.rgb == std::vector<std::uint8_t>{1, 2, 3, 4, 5, 6});
    auto const padding = image::decode(files::bmp(2, 1, 32, 0, {3, 2, 1, 0, 6, 5, 4, 128}), "");
    CHECK(padding.rgb == std::vector<std::uint8_t>{1, 2, 3, 4, 5, 6});
    // Some writers leave out the padding of the last row.
    CHECK(image::decode(files::bmp(1, 1, 24, 0, {3, 2, 1}), "").rgb == std::vector<std::uint8_t>{1, 2, 3});
    CHECK(contains(complaint(files::bmp(1, 1, 24, 4, {3, 2, 1, 0})), "a BMP that holds a JPEG"));
    CHECK(contains(complaint(files::bmp(1, 0x80000000, 24, 0, {3, 2, 1, 0})), "2^31"));
}

TEST_CASE("a PNG's chunks are what their checksums were made of, up to the last of the picture's data") {
    octets const row = files::octets_of({"\0\1\2\3", 4});
    octets const whole = files::png(1, 1, 8, 2, files::stored(row), files::octets_of({"\0\1\0\2\0\3", 6}));
    REQUIRE(complaint(whole).empty());
    struct chunk {
        std::size_t at, length;
        char const* type;
    };
    for (chunk const& c : {chunk{8, 13, "IHDR"}, chunk{33, 6, "tRNS"}, chunk{51, 15, "IDAT"}})
        for (std::size_t i = c.at + 8; i < c.at + 12 + c.length; ++i) { // all of its data, and the checksum
            octets damaged = whole;
            damaged[i] ^= std::byte{1};
            CAPTURE(i);
            std::string const said = complaint(damaged);
            CHECK(!said.empty());
            // An impossible size in a header is reported first.
            if (c.at > 8 || i >= 29)
                CHECK(said
                      == "photo.png: a damaged PNG: the chunk \"" + std::string(c.type) + "\" at byte "
                             + std::to_string(c.at) + " does not match its checksum");
        }
    // Like Pillow: chunks that are not critical are checked before the picture's data, and not after them.
    octets const remark = files::chunk("tEXt", files::octets_of({"a\0b", 3}));
    for (std::size_t const at : {33U, 78U}) {
        octets with = whole;
        with.insert(with.begin() + static_cast<std::ptrdiff_t>(at), remark.begin(), remark.end());
        CHECK(complaint(with).empty());
        with[at + 8] ^= std::byte{1};
        CHECK(complaint(with).empty() == (at == 78));
    }
    octets end = whole;
    end.back() ^= std::byte{1};
    files::append(end, {1, 2, 3});
    CHECK(complaint(end).empty());
}

TEST_CASE("kinds of JPEG and PNG that are not supported are named") {
    octets lossless = pictures::read("baseline_420.jpg");
    for (std::size_t i = 0; i + 1 < lossless.size(); ++i)
        if (lossless[i] == std::byte{0xFF} && lossless[i + 1] == std::byte{0xC0}) lossless[i + 1] = std::byte{0xC9};
    CHECK(contains(complaint(lossless), "arithmetic"));
    octets apple = pictures::read("rgb8.png");
    octets const chunk = files::chunk("CgBI", files::octets_of({"\0\0\0\0", 4}));
    apple.insert(apple.begin() + 8, chunk.begin(), chunk.end());
    CHECK(contains(complaint(apple), "CgBI"));
    octets strange = pictures::read("rgb8.png");
    octets const critical = files::chunk("NeWs", {});
    strange.insert(strange.begin() + 33, critical.begin(), critical.end());
    CHECK(contains(complaint(strange), "critical chunk"));
}
