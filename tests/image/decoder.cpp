// SPDX-License-Identifier: Apache-2.0
// A decoder of a program's own: what it is asked, in which order, and what is refused before it decodes.
#include "files.hpp"

#include <llamavision/image/decoder.hpp>
#include <llamavision/image/open.hpp>

#include <atomic>
#include <doctest/doctest.h>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace image = llamavision::image;
using files::octets;
using image::pixels;

namespace {

/// Farbfeld: "farbfeld", width, height, then R G B A with 16 bits each, all big-endian.
class farbfeld final : public image::decoder {
  public:
    std::string_view name() const override { return "farbfeld"; }
    bool recognises(image::source const& file) const override { return file.has(0, "farbfeld"); }
    image::picture_facts read_header(image::source const& file, std::size_t) const override {
        image::picture_facts says;
        says.width = file.be32(8);
        says.height = file.be32(12);
        return says;
    }
    std::vector<image::raw_picture> decode(image::source const& file, std::span<std::size_t const>,
                                           std::size_t) const override {
        image::raw_picture picture{file.be32(8), file.be32(12), image::pixel_format::rgba, {}};
        std::size_t const values = 4 * picture.width * picture.height;
        file.require(16, 2 * values, "the pixels");
        for (std::size_t i = 0; i < values; ++i)
            picture.data.push_back(static_cast<std::uint8_t>(file.u8(16 + 2 * i))); // the high byte
        return {picture};
    }
};

octets farbfeld_file(std::size_t width, std::size_t height, std::initializer_list<unsigned> high_bytes) {
    octets out = files::octets_of("farbfeld");
    files::be32(out, width);
    files::be32(out, height);
    for (unsigned const v : high_bytes) files::append(out, {v, v});
    return out;
}

/// Says of every file that begins with `mark` what its members hold.
struct told final : image::decoder {
    explicit told(std::string_view begins) : mark(begins) {}
    std::string_view mark;
    image::picture_facts facts{2, 1, 1, {}, 1};
    std::vector<image::raw_picture> pictures{{2, 1, image::pixel_format::grey, {10, 20}}};
    mutable std::atomic<int> decoded = 0;

    std::string_view name() const override { return "told"; }
    bool recognises(image::source const& file) const override { return file.has(0, mark); }
    image::picture_facts read_header(image::source const&, std::size_t) const override { return facts; }
    std::vector<image::raw_picture> decode(image::source const&, std::span<std::size_t const>,
                                           std::size_t) const override {
        ++decoded;
        return pictures;
    }
};

std::string complaint(octets const& bytes, image::open_options const& options = {}) {
    try {
        (void)image::decode(bytes, "photo", options);
    } catch (llamavision::image_error const& e) { return e.what(); }
    return {};
}

} // namespace

TEST_CASE("a registered decoder reads files of its format, with the policies of all pictures") {
    octets const file = farbfeld_file(2, 1, {200, 100, 0, 255, 200, 100, 0, 0});
    CHECK(complaint(file).starts_with("photo: looks like "));
    image::add_decoder(std::make_shared<farbfeld>());
    CHECK(image::decode(file, "photo") == pixels{2, 1, {200, 100, 0, 255, 255, 255}});
    CHECK(image::decode(file, "photo", {image::exif_policy::apply, image::alpha_policy::drop})
          == pixels{2, 1, {200, 100, 0, 200, 100, 0}});
    // More than the first MiB, which is what decides whether a file is read on.
    std::filesystem::path const path = std::filesystem::temp_directory_path() / "llamavision_test.ff";
    octets large = farbfeld_file(1000, 400, {});
    large.resize(16 + 8 * 1000 * 400, std::byte{255});
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<char const*>(large.data()), static_cast<std::streamsize>(large.size()));
    CHECK(image::open(path).rgb == std::vector<std::uint8_t>(3 * 1000 * 400, 255));
    std::filesystem::remove(path);

    octets const truncated(file.begin(), file.end() - 1);
    CHECK(complaint(truncated).starts_with("photo: truncated: the file ends at byte 31"));
    CHECK(complaint(files::octets_of("Dear diary")).find("farbfeld") != std::string::npos);
}

TEST_CASE("sizes are checked before a decoder decodes") {
    auto const known = std::make_shared<told>("told:sizes");
    image::add_decoder(known);
    octets const file = files::octets_of("told:sizes");
    image::open_options options;
    options.max_pixels = 1;
    CHECK(complaint(file, options) == "photo: its header says 2 x 1 pixels, more than the allowed 1");
    known->facts.width = 0;
    CHECK(complaint(file) == "photo: its header says 0 x 1 pixels");
    known->facts = {std::size_t{1} << 40, std::size_t{1} << 40, 1, {}, 1};
    CHECK(complaint(file).find("more than the allowed") != std::string::npos);
    known->facts = {2, 1, 0, {}, 1};
    CHECK(complaint(file) == "photo: has no frames");
    known->facts = {2, 1, 1, {}, 9};
    CHECK(complaint(file) == "photo: the decoder for told says an orientation of 9");
    CHECK(known->decoded == 0);
}

TEST_CASE("what a decoder returns is checked") {
    auto const known = std::make_shared<told>("told:result");
    image::add_decoder(known);
    octets const file = files::octets_of("told:result");
    CHECK(image::decode(file, "photo") == pixels{2, 1, {10, 10, 10, 20, 20, 20}});
    known->facts.orientation = 6; // clockwise by 90 degrees
    CHECK(image::decode(file, "photo") == pixels{1, 2, {10, 10, 10, 20, 20, 20}});
    known->facts.orientation = 3;
    CHECK(image::decode(file, "photo") == pixels{2, 1, {20, 20, 20, 10, 10, 10}});
    CHECK(image::decode(file, "photo", {image::exif_policy::ignore}) == pixels{2, 1, {10, 10, 10, 20, 20, 20}});
    known->pictures[0].width = 1;
    CHECK(complaint(file) == "photo: cannot be decoded: the picture has not the size that its header says");
    known->pictures[0] = {2, 1, image::pixel_format::rgb, {10, 20}}; // too few bytes
    CHECK(complaint(file) == "photo: cannot be decoded: the picture has not the size that its header says");
    known->pictures.clear();
    CHECK(complaint(file) == "photo: cannot be decoded: frames are missing");
}

TEST_CASE("the decoder that was added last is asked first, before the library's own") {
    auto const first = std::make_shared<told>("told:order"), last = std::make_shared<told>("told:order");
    image::add_decoder(first);
    image::add_decoder(last);
    (void)image::decode(files::octets_of("told:order"), "photo");
    CHECK(first->decoded == 0);
    CHECK(last->decoded == 1);
    CHECK(image::decoders().front() == last);
    auto const replaced = std::make_shared<told>("GIF8 in another way");
    image::add_decoder(replaced);
    CHECK(image::decode(files::octets_of("GIF8 in another way"), "photo").width == 2);
    CHECK_THROWS_AS(image::add_decoder(nullptr), llamavision::argument_error);
}

TEST_CASE("decoders are added while other threads decode") {
    std::size_t const before = image::decoders().size();
    octets const picture = files::gif(2, 2, {0, 0, 2, 2}, {1, 2, 3, 4}, -1);
    std::atomic<int> wrong = 0;
    {
        std::vector<std::jthread> threads;
        for (int t = 0; t < 4; ++t)
            threads.emplace_back([&] {
                for (int i = 0; i < 25; ++i) {
                    image::add_decoder(std::make_shared<told>("told:threads"));
                    if (image::decode(picture, "photo").width != 2) ++wrong;
                }
            });
    }
    CHECK(wrong == 0);
    CHECK(image::decoders().size() == before + 100);
}
