// SPDX-License-Identifier: Apache-2.0
// WebP, AVIF, HEIC and animated GIFs beside Pillow 13.0.0 and pillow-heif 1.8.1 (tests/golden/picture_codecs.py): what
// loses nothing is identical; what loses something is as near as releases of one codec are.
#include "files.hpp"

#include <llamavision/image/decoder.hpp>
#include <llamavision/image/frames.hpp>
#include <llamavision/image/open.hpp>

#include <algorithm>
#include <cstdlib>
#include <doctest/doctest.h>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace image = llamavision::image;
using files::octets;
using image::pixels;

namespace {

constexpr image::open_options as_meta{image::exif_policy::ignore, image::alpha_policy::drop};

bool built_in(std::string_view format) {
    auto const all = image::decoders();
    return std::any_of(all.begin(), all.end(), [&](auto const& known) { return known->name() == format; });
}

std::string_view format_of(std::string const& file) {
    return file.ends_with(".gif")    ? "GIF"
           : file.ends_with(".webp") ? "WebP"
           : file.ends_with(".avif") ? "AVIF"
                                     : "HEIC";
}

/// The largest difference of two pictures of one size.
int distance(pixels const& a, pixels const& b) {
    REQUIRE(a.width == b.width);
    REQUIRE(a.height == b.height);
    int most = 0;
    for (std::size_t i = 0; i < a.rgb.size(); ++i) most = std::max(most, std::abs(a.rgb[i] - b.rgb[i]));
    return most;
}

/// Levels. Debian 12's libwebp 1.2.4 and libavif 0.11.1 give exactly what the releases in Pillow's wheel (1.6.0, 1.4.2)
/// give, but libavif has two ways to convert to RGB (with libyuv and without). libheif 1.15.1 differs from
/// pillow-heif's 1.23.6 by at most one level.
int allowed(std::string_view format) { return format == "WebP" ? 0 : 1; }

} // namespace

TEST_CASE("WebP, AVIF, HEIC and animated GIFs as Pillow and pillow-heif decode them") {
    std::map<std::string_view, std::size_t> compared;
    std::filesystem::path const folder = pictures::folder() / "codecs";
    nlohmann::json const expected = pictures::json("codecs/codecs.json");
    for (nlohmann::json const& entry : expected["files"]) {
        std::string const file = entry["file"];
        CAPTURE(file);
        std::string_view const format = format_of(file);
        if (format != "GIF" && !built_in(format)) continue;
        ++compared[format];
        for (std::string const way : {"upright", "stored"}) {
            CAPTURE(way);
            image::open_options const options = way == "upright" ? image::open_options{} : as_meta;
            std::vector<pixels> const ours = image::open_frames(folder / file, 1000, options);
            REQUIRE(ours.size() == entry["frames"].get<std::size_t>());
            CHECK(image::open(folder / file, options) == ours[0]);
            for (std::size_t i = 0; i < ours.size(); ++i) {
                CAPTURE(i);
                CHECK(ours[i].width == entry[way + "_size"][0].get<std::size_t>());
                CHECK(ours[i].height == entry[way + "_size"][1].get<std::size_t>());
                if (entry["lossless"].get<bool>()) CHECK(pictures::sha(ours[i]) == entry[way][i].get<std::string>());
            }
            if (entry["lossless"].get<bool>()) continue;
            // The last frame, in a file of its own if the two ways differ.
            std::filesystem::path theirs = folder / (file + "." + way + ".png");
            if (!std::filesystem::exists(theirs)) theirs = folder / (file + ".upright.png");
            CHECK(distance(ours.back(), image::open(theirs)) <= allowed(format));
        }
    }
    CHECK(compared["GIF"] == 11);
    for (std::string_view const format : {"WebP", "AVIF", "HEIC"}) {
        if (built_in(format))
            CHECK(compared[format] > 3);
        else
            MESSAGE(std::string(format) << " is not built in");
    }
}

TEST_CASE("a limit of pixels holds for what is inside a container, too") {
    image::open_options options;
    options.max_pixels = 61 * 43 - 1;
    auto const complaint = [&](octets const& bytes) -> std::string {
        try {
            (void)image::decode(bytes, "photo", options);
        } catch (llamavision::image_error const& e) { return e.what(); }
        return {};
    };
    for (std::string const file : {"lossless.webp", "lossy.webp", "lossy.avif", "lossy.heic"}) {
        CAPTURE(file);
        if (!built_in(format_of(file))) continue;
        octets bytes = pictures::read("codecs/" + file);
        std::string const said = complaint(bytes);
        CHECK((said.find("more than the allowed 2622") != std::string::npos
               || said.find("too large") != std::string::npos));
        if (!file.ends_with(".heic")) continue;
        std::size_t const block = 64 * 64; // a stream's sizes are multiples of its smallest block
        std::size_t found = 0;             // boxes that say the size
        for (std::size_t at = 0; at + 16 < bytes.size(); ++at)
            if (image::source{bytes, ""}.has(at, "ispe")) {
                for (std::size_t const i : {std::size_t{11}, std::size_t{15}}) bytes[at + i] = std::byte{5};
                ++found;
            }
        REQUIRE(found > 0);
        CHECK(complaint(bytes).find("the HEVC stream in it says ") != std::string::npos);
        options.max_pixels = block;
        CHECK(complaint(bytes).find("the HEVC stream in it says ") == std::string::npos);
        for (std::size_t at = 0; at + 4 < bytes.size(); ++at)
            if (image::source{bytes, ""}.has(at, "hvc1"))
                std::copy_n(files::octets_of("av01").begin(), 4, bytes.begin() + static_cast<std::ptrdiff_t>(at));
        CHECK(complaint(bytes) == "photo: a HEIF picture of type av01; only those with HEVC are decoded");
    }
}

TEST_CASE("cut and changed files are refused, or decoded") {
    for (std::string const file :
         {"animated_alpha.webp", "exif6.webp", "turned5.avif", "lossy_alpha.avif", "turned5.heic"}) {
        CAPTURE(file);
        if (!built_in(format_of(file))) continue;
        octets const good = pictures::read("codecs/" + file);
        for (std::size_t size = 0; size < good.size(); size += 37) {
            try {
                (void)image::decode_frames(std::span(good).first(size), "photo", 3);
            } catch (llamavision::image_error const& e) { CHECK(std::string(e.what()).starts_with("photo: ")); }
            octets changed = good;
            changed[size] ^= std::byte{0x55};
            try {
                (void)image::decode_frames(changed, "photo", 3);
            } catch (llamavision::image_error const& e) { CHECK(std::string(e.what()).starts_with("photo: ")); }
        }
    }
}
