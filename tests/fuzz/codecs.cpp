// SPDX-License-Identifier: Apache-2.0
// Any bytes as a WebP, AVIF or HEIC file. No test runs this, since it mostly finds what is wrong in outside libraries;
// it is for their callers here: refused with an image_error, or decoded to as many pixels as it says.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include <llamavision/image/decoder.hpp>
#include <llamavision/image/frames.hpp>

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    auto const file = std::as_bytes(std::span(data, size));
    bool outside = false;
    for (auto const& known : llamavision::image::decoders()) outside = outside || known->recognises({file, "fuzzed"});
    if (!outside) return 0;
    llamavision::image::open_options options;
    options.max_pixels = std::size_t{1} << 16;
    try {
        for (auto const& frame : llamavision::image::decode_frames(file, "fuzzed", 3, options))
            if (frame.width == 0 || frame.rgb.size() != frame.width * frame.height * 3) std::abort();
    } catch (llamavision::image_error const&) {
        return 0; // what a hostile file is for
    }
    return 0;
}
