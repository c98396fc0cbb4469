// SPDX-License-Identifier: Apache-2.0
// JPEGs whose chain of segments is not as the standard wants it, but which libjpeg reads, and so every viewer: the
// pixels are those of the file without the fault.
#include "pictures.hpp"

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <llamavision/image/open.hpp>

namespace image = llamavision::image;

namespace {

using octets = std::vector<std::byte>;

/// The segments of a file: from the first marker behind the start mark to that of the picture's data.
std::vector<std::pair<std::size_t, std::size_t>> segments(octets const& file) {
    std::vector<std::pair<std::size_t, std::size_t>> found;
    for (std::size_t at = 2;;) {
        std::size_t const length =
            2 + std::to_integer<std::size_t>(file.at(at + 2)) * 256 + std::to_integer<std::size_t>(file.at(at + 3));
        found.emplace_back(at, at + length);
        if (file[at + 1] == std::byte{0xDA}) return found;
        at += length;
    }
}

/// The file without the segments of a kind.
octets without(octets const& file, std::byte kind) {
    octets out(file.begin(), file.begin() + 2);
    std::size_t end = 2;
    for (auto const& [from, to] : segments(file)) {
        end = to;
        if (file[from + 1] != kind)
            out.insert(out.end(), file.begin() + static_cast<std::ptrdiff_t>(from),
                       file.begin() + static_cast<std::ptrdiff_t>(to));
    }
    out.insert(out.end(), file.begin() + static_cast<std::ptrdiff_t>(end), file.end());
    return out;
}

octets with(octets file, std::size_t at, std::initializer_list<unsigned> stray) {
    std::vector<std::byte> bytes;
    for (unsigned const b : stray) bytes.push_back(static_cast<std::byte>(b));
    file.insert(file.begin() + static_cast<std::ptrdiff_t>(at), bytes.begin(), bytes.end());
    return file;
}

} // namespace

TEST_CASE("a frame of a webcam has no Huffman tables: the standard ones are meant") {
    for (std::string const file : {"baseline_420.jpg", "gray.jpg"}) {
        CAPTURE(file);
        octets const whole = pictures::read(file);
        octets const bare = without(whole, std::byte{0xC4});
        REQUIRE(bare.size() + 100 < whole.size());
        CHECK(image::decode(bare, "p.jpg") == image::decode(whole, "p.jpg"));
    }
}

TEST_CASE("stray bytes before a segment are skipped; the first three bytes say that it is a JPEG") {
    octets const whole = pictures::read("baseline_420.jpg");
    image::pixels const wanted = image::decode(whole, "p.jpg");
    for (auto const& segment : segments(whole)) {
        std::size_t const from = segment.first;
        if (from == 2) continue;
        CAPTURE(from);
        CHECK(image::decode(with(whole, from, {0}), "p.jpg") == wanted);
        CHECK(image::decode(with(whole, from, {1, 2, 3, 4, 5, 6, 7}), "p.jpg") == wanted);
        CHECK(image::decode(with(whole, from, {0xFF, 0, 0xFF, 0}), "p.jpg") == wanted);
        CHECK(image::decode(with(whole, from, {0xFF, 0xFF, 0xFF}), "p.jpg") == wanted);
    }
    CHECK(image::decode(with(whole, whole.size() - 2, {0, 0, 9, 9}), "p.jpg") == wanted);
}

TEST_CASE("a missing end mark is no fault if all rows are there, and a missing row is one") {
    for (std::string const file : {"baseline_420.jpg", "baseline_444.jpg", "gray.jpg", "exif6.jpg"}) {
        CAPTURE(file);
        octets const whole = pictures::read(file);
        std::span const bytes(whole);
        CHECK(image::decode(bytes.first(whole.size() - 2), "p.jpg") == image::decode(whole, "p.jpg"));
        CHECK(image::decode(bytes.first(whole.size() - 1), "p.jpg") == image::decode(whole, "p.jpg"));
        for (std::size_t missing : {8u, 40u, 200u})
            CHECK_THROWS_WITH_AS((void)image::decode(bytes.first(whole.size() - missing), "p.jpg"),
                                 doctest::Contains("before its last row"), llamavision::image_error);
    }
    octets const progressive = pictures::read("progressive_420.jpg"); // later scans could still refine all of it
    CHECK_THROWS_AS((void)image::decode(std::span(progressive).first(progressive.size() - 2), "p.jpg"),
                    llamavision::image_error);
}

TEST_CASE("of several pictures in a file of a phone, the first one is read") {
    octets const whole = pictures::read("baseline_420.jpg"), other = pictures::read("gray.jpg");
    // CIPA DC-007: a segment APP2 "MPF" lists the pictures, which stand one after the other.
    octets several = with(whole, 2, {0xFF, 0xE2, 0, 14, 'M', 'P', 'F', 0, 'I', 'I', 42, 0, 8, 0, 0, 0});
    several.insert(several.end(), other.begin(), other.end());
    CHECK(image::decode(several, "p.mpo") == image::decode(whole, "p.jpg"));
    octets const cut(several.begin(), several.end() - 100); // the second may be damaged
    CHECK(image::decode(cut, "p.mpo") == image::decode(whole, "p.jpg"));
}
