// SPDX-License-Identifier: Apache-2.0
// Shared by the tests of image/: files of the data folder, pictures from the formulas of expected.json, and their
// SHA-256.
#pragma once

#include <llamavision/image/pixels.hpp>
#include <llamavision/support/sha256.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace pictures {

using llamavision::image::pixels;

inline std::filesystem::path folder() { return std::filesystem::path(LLAMAVISION_TEST_DATA) / "image"; }

inline std::vector<std::byte> read(std::string const& file) {
    std::ifstream in(folder() / file, std::ios::binary);
    if (!in) throw std::runtime_error("no test file " + file);
    std::string const text(std::istreambuf_iterator<char>(in), {});
    auto const bytes = std::as_bytes(std::span(text));
    return {bytes.begin(), bytes.end()};
}

inline nlohmann::json json(std::string const& file) {
    std::ifstream in(folder() / file);
    return nlohmann::json::parse(in);
}

inline std::string sha(pixels const& p) { return llamavision::sha256_hex(std::as_bytes(std::span(p.rgb))); }

/// The picture of expected.json's `formulas`.
inline pixels formula(std::string const& name, std::size_t width, std::size_t height, std::uint32_t seed) {
    pixels p{width, height, {}};
    p.rgb.reserve(width * height * 3);
    auto const put = [&p](std::size_t red, std::size_t green, std::size_t blue) {
        for (std::size_t const v : {red, green, blue}) p.rgb.push_back(static_cast<std::uint8_t>(v));
    };
    std::uint32_t s = seed;
    auto const random_byte = [&s] {
        s = s * 1664525 + 1013904223;
        return s >> 24;
    };
    for (std::size_t y = 0; y < height; ++y)
        for (std::size_t x = 0; x < width; ++x)
            if (name == "gradient") {
                put(x * 255 / std::max<std::size_t>(width - 1, 1), y * 255 / std::max<std::size_t>(height - 1, 1),
                    (x + y) % 256);
            } else if (name == "lcg") {
                std::size_t const red = random_byte(), green = random_byte(), blue = random_byte();
                put(red, green, blue);
            } else if (name == "checker") {
                put(((x + y) & 1) * 255, ((x / 3 + y / 3) & 1) * 255, ((x / 7 + y / 7) & 1) * 255);
            } else if (name == "lines") {
                put(x % 17 ? 0 : 255, y % 23 ? 0 : 255, (x + 2 * y) % 101 ? 0 : 255);
            } else if (name == "strokes") {
                std::size_t const v = ((x / 5) * 2654435761U ^ (y / 7) * 40503U) & 0xFFFFFFFF;
                std::size_t const level = (v >> 13) % 4 == 0 ? 20 : 240;
                put(level, level, level);
            } else {
                throw std::runtime_error("no formula " + name);
            }
    return p;
}

} // namespace pictures
