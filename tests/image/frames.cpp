// SPDX-License-Identifier: Apache-2.0
// Which frames are chosen, from files and from folders, and what is refused on the way.
#include "files.hpp"

#include <llamavision/image/decoder.hpp>
#include <llamavision/image/frames.hpp>

#include <doctest/doctest.h>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace image = llamavision::image;
using files::octets;
using image::pixels;
using numbers = std::vector<std::size_t>;

namespace {

numbers chosen(std::vector<unsigned> const& durations, std::size_t count) {
    return image::choose_frames(durations, count);
}

std::string complaint(octets const& bytes, std::size_t count, image::open_options const& options = {}) {
    try {
        (void)image::decode_frames(bytes, "clip.gif", count, options);
    } catch (llamavision::image_error const& e) { return e.what(); }
    return {};
}

/// A GIF of 4 x 2 pixels, whose frame i has the colour i everywhere.
octets clip(std::size_t frames) {
    octets out = files::gif(4, 2, {0, 0, 4, 2}, {0, 0, 0, 0, 0, 0, 0, 0}, -1);
    out.pop_back(); // the end mark
    for (unsigned i = 1; i < frames; ++i) {
        octets const one = files::gif(4, 2, {0, 0, 4, 2}, {i, i, i, i, i, i, i, i}, -1);
        out.insert(out.end(), one.begin() + 13 + 3 * 128, one.end() - 1);
    }
    files::append(out, {0x3B});
    return out;
}

pixels plain(unsigned index) {
    auto const colour = files::gif_colour(index);
    pixels out{4, 2, {}};
    for (int i = 0; i < 8; ++i)
        for (unsigned const v : colour) out.rgb.push_back(static_cast<std::uint8_t>(v));
    return out;
}

/// A folder that goes away with its owner.
struct folder {
    std::filesystem::path path = std::filesystem::temp_directory_path() / "llamavision_test_frames";
    folder() {
        std::filesystem::remove_all(path);
        std::filesystem::create_directories(path);
    }
    ~folder() { std::filesystem::remove_all(path); }
    folder(folder const&) = delete;
    folder& operator=(folder const&) = delete;

    void put(std::string const& name, octets const& bytes) const {
        std::ofstream(path / name, std::ios::binary)
            .write(reinterpret_cast<char const*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    }
};

} // namespace

TEST_CASE("frames are chosen evenly in time, each once") {
    CHECK(chosen({1, 1, 1, 1}, 1) == numbers{2});
    CHECK(chosen({1, 1, 1, 1}, 2) == numbers{1, 3});
    CHECK(chosen({1, 1, 1, 1, 1, 1, 1, 1, 1}, 3) == numbers{1, 4, 7});
    CHECK(chosen({1, 1, 1}, 3) == numbers{0, 1, 2});
    CHECK(chosen({1, 1, 1}, 9) == numbers{0, 1, 2});
    CHECK(chosen({0, 0, 0, 0}, 2) == numbers{1, 3}); // no times are as good as equal ones
    CHECK(chosen({100, 1, 1, 1}, 1) == numbers{0});
    CHECK(chosen({100, 1, 1, 1}, 3) == numbers{0, 1, 2}); // the first covers all parts, and is shown once
    CHECK(chosen({1, 1, 1, 100}, 3) == numbers{1, 2, 3}); // as many are left as are still to be chosen
    CHECK(chosen({100, 100, 400, 100}, 2) == numbers{1, 2});
    CHECK(chosen({4294967295u, 4294967295u, 4294967295u}, 1) == numbers{1});
    CHECK(chosen({}, 3).empty());
    CHECK_THROWS_AS((void)chosen({1}, 0), llamavision::argument_error);
}

TEST_CASE("frames of a GIF") {
    octets const file = clip(9);
    std::vector<pixels> const three = image::decode_frames(file, "clip.gif", 3);
    CHECK(three == std::vector<pixels>{plain(1), plain(4), plain(7)});
    CHECK(image::decode_frames(file, "clip.gif", 100).size() == 9);
    CHECK(image::decode(file, "clip.gif") == plain(0));
    CHECK(image::decode_frames(clip(1), "clip.gif", 3) == std::vector<pixels>{plain(0)});
    CHECK_THROWS_AS((void)image::decode_frames(file, "clip.gif", 0), llamavision::argument_error);
    // A picture that is no animation is one frame.
    CHECK(image::decode_frames(pictures::read("rgb8.png"), "rgb8.png", 4)
          == std::vector<pixels>{image::open(pictures::folder() / "rgb8.png")});
}

TEST_CASE("all frames together have at most the allowed pixels, and so many are drawn on the way") {
    image::open_options options;
    options.max_pixels = 24;
    CHECK(image::decode_frames(clip(9), "clip.gif", 3, options).size() == 3);
    CHECK(complaint(clip(9), 4, options) == "clip.gif: 4 frames of 4 x 2 pixels, more than the allowed 24 together");
    CHECK(image::decode_frames(clip(96), "clip.gif", 3, options).size() == 3);
    CHECK(complaint(clip(600), 1, options)
          == "clip.gif: 301 frames of 4 x 2 pixels would have to be drawn, which is too many");
    options.max_pixels = 7;
    CHECK(complaint(clip(9), 1, options) == "clip.gif: its header says 4 x 2 pixels, more than the allowed 7");
    options.max_bytes = 100;
    CHECK(complaint(clip(9), 1, options).find("more than is allowed for a picture") != std::string::npos);
}

TEST_CASE("damaged animations are refused") {
    octets const good = clip(3);
    for (std::size_t size = 13; size < good.size(); ++size) { // never anything else than an image_error
        octets const cut(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size));
        CAPTURE(size);
        std::string const said = complaint(cut, 3);
        CHECK((said.empty() || said.starts_with("clip.gif: ")));
    }
    octets outside = good;
    std::size_t const second = 13 + 3 * 128 + 23; // its mark
    REQUIRE(outside[second] == std::byte{0x2C});
    outside[second + 1] = std::byte{1};
    CHECK(complaint(outside, 3) == "clip.gif: a GIF whose picture 2 lies outside its screen, which is not supported");
    octets wide = good;
    wide[second + 10] = std::byte{12}; // the smallest size of a code
    CHECK(complaint(wide, 3).starts_with("clip.gif: a damaged GIF: indexes of 12 bits"));
    octets stray = good; // skipped, as in Pillow
    stray.insert(stray.begin() + static_cast<std::ptrdiff_t>(second), std::byte{0x77});
    CHECK(image::decode_frames(stray, "clip.gif", 3) == image::decode_frames(good, "clip.gif", 3));
    octets sticking_out = good;
    sticking_out[6] = std::byte{2}; // the screen's width
    CHECK(image::decode_frames(sticking_out, "clip.gif", 3) == image::decode_frames(good, "clip.gif", 3));
    CHECK(image::decode(sticking_out, "clip.gif") == plain(0));
}

TEST_CASE("a folder's files are frames, in the order of numbers in their names") {
    folder const frames;
    CHECK_THROWS_AS((void)image::open_frames(frames.path, 2), llamavision::file_error);
    for (unsigned i = 1; i <= 12; ++i)
        frames.put("frame" + std::to_string(i) + ".gif", files::gif(4, 2, {0, 0, 4, 2}, {i, i, i, i, i, i, i, i}, -1));
    frames.put(".DS_Store", files::octets_of("no picture"));
    std::filesystem::create_directories(frames.path / "frame0");
    CHECK(image::open_frames(frames.path, 3) == std::vector<pixels>{plain(3), plain(7), plain(11)});
    std::vector<pixels> const all = image::open_frames(frames.path, 100);
    REQUIRE(all.size() == 12);
    for (unsigned i = 0; i < 12; ++i) CHECK(all[i] == plain(i + 1));
    image::open_options options;
    options.max_pixels = 16;
    CHECK(image::open_frames(frames.path, 2, options).size() == 2);
    CHECK_THROWS_AS((void)image::open_frames(frames.path, 3, options), llamavision::image_error);
    frames.put("frame99.txt", files::octets_of("Dear diary"));
    CHECK_THROWS_AS((void)image::open_frames(frames.path, 100), llamavision::image_error);
    CHECK_THROWS_AS((void)image::open_frames(frames.path, 0), llamavision::argument_error);
    CHECK_THROWS_AS((void)image::open_frames(frames.path / "none", 2), llamavision::file_error);
}

TEST_CASE("frames of an animated WebP are chosen by the times that it says") {
    std::filesystem::path const file = pictures::folder() / "codecs" / "animated.webp"; // 100, 100, 400 and 100 ms
    bool const decoded = [&] {
        for (auto const& known : image::decoders())
            if (known->name() == "WebP") return true;
        return false;
    }();
    if (!decoded) {
        MESSAGE("WebP is not built in");
        CHECK_THROWS_AS((void)image::open_frames(file, 2), llamavision::image_error);
        return;
    }
    std::vector<pixels> const all = image::open_frames(file, 4), two = image::open_frames(file, 2);
    REQUIRE(all.size() == 4);
    CHECK(two == std::vector<pixels>{all[1], all[2]});
}
