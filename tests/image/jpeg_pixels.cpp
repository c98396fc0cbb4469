// SPDX-License-Identifier: Apache-2.0
// JPEGs of each way to store colours become Pillow's pixels, bit for bit (tests/image/pillow_pictures.py made them).
#include "pictures.hpp"

#include <cstddef>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <llamavision/image/open.hpp>

namespace image = llamavision::image;

namespace {

std::vector<std::byte> from_hex(std::string const& digits) {
    std::vector<std::byte> out;
    for (std::size_t i = 0; i + 1 < digits.size(); i += 2)
        out.push_back(static_cast<std::byte>(std::stoul(digits.substr(i, 2), nullptr, 16)));
    return out;
}

} // namespace

TEST_CASE("resolutions of planes and meanings of components, as libjpeg has them") {
    nlohmann::json const made = pictures::json("jpeg_by_pillow.json");
    CHECK(made["jpegs"].size() == 21);
    for (auto const& entry : made["jpegs"]) {
        CAPTURE(entry["name"].get<std::string>());
        image::pixels const out = image::decode(from_hex(entry["jpeg"]), "p.jpg");
        CHECK(out.width == entry["width"].get<std::size_t>());
        CHECK(out.height == entry["height"].get<std::size_t>());
        CHECK(pictures::sha(out) == entry["rgb_sha256"].get<std::string>());
    }
}

TEST_CASE("a JPEG of which stb_image leaves out a part is refused") {
    nlohmann::json const made = pictures::json("jpeg_by_pillow.json");
    for (auto const& entry : made["jpegs"]) {
        if (entry["name"] != "restart marks") continue;
        auto jpeg = from_hex(entry["jpeg"]);
        std::size_t marks = 0;
        for (std::size_t at = 2; at + 1 < jpeg.size() && marks == 0; ++at)
            if (jpeg[at] == std::byte{0xFF} && jpeg[at + 1] == std::byte{0xD0}) {
                jpeg.insert(jpeg.begin() + static_cast<std::ptrdiff_t>(at), 9, std::byte{0x55}); // left over
                ++marks;
            }
        CHECK(marks == 1);
        CHECK_THROWS_AS((void)image::decode(jpeg, "p.jpg"), llamavision::image_error);
    }
}

TEST_CASE("planes of no whole ratio are refused") {
    nlohmann::json const made = pictures::json("jpeg_by_pillow.json");
    for (auto const& entry : made["jpegs"]) {
        if (entry["name"] != "4:2:0") continue;
        auto jpeg = from_hex(entry["jpeg"]);
        for (std::size_t at = 0; at + 20 < jpeg.size(); ++at)
            if (jpeg[at] == std::byte{0xFF} && jpeg[at + 1] == std::byte{0xC0}) {
                jpeg[at + 11] = std::byte{0x32}; // three columns of blocks beside two
                jpeg[at + 14] = std::byte{0x21};
            }
        CHECK_THROWS_AS((void)image::decode(jpeg, "p.jpg"), llamavision::image_error);
    }
}
