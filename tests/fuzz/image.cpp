// SPDX-License-Identifier: Apache-2.0
// Any bytes as a picture: refused with an image_error, or decoded to as many pixels as it says. The checksums of a PNG
// are corrected first, since a fuzzer cannot guess them, and an attacker can compute them. What outside libraries
// decode is left to codecs.cpp.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include "../image/checksums.hpp"

#include <llamavision/image/decoder.hpp>
#include <llamavision/image/format.hpp>
#include <llamavision/image/open.hpp>
#include <llamavision/image/source.hpp>

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    auto const given = std::as_bytes(std::span(data, size));
    std::vector<std::byte> file(given.begin(), given.end());
    llamavision::image::source const named{file, "fuzzed"};
    if (llamavision::image::format_of(named) == llamavision::image::file_format::png) files::repair_checksums(file);
    for (auto const& outside : llamavision::image::decoders())
        if (outside->recognises(named)) return 0;
    llamavision::image::open_options options;
    options.max_pixels = std::size_t{1} << 20;
    try {
        auto const picture = llamavision::image::decode(file, "fuzzed", options);
        if (picture.width == 0 || picture.rgb.size() != picture.width * picture.height * 3) std::abort();
    } catch (llamavision::image_error const&) {
        return 0; // what a hostile file is for
    }
    return 0;
}
