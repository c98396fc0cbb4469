// SPDX-License-Identifier: Apache-2.0
// Any bytes as an animated GIF, of which the first byte says how many frames are wanted: refused with an image_error,
// or decoded to so many pictures of one size.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include <llamavision/image/format.hpp>
#include <llamavision/image/frames.hpp>

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    if (size == 0) return 0;
    std::size_t const wanted = data[0] % 16 + std::size_t{1};
    auto const file = std::as_bytes(std::span(data, size)).subspan(1);
    if (llamavision::image::format_of({file, "fuzzed"}) != llamavision::image::file_format::gif) return 0;
    llamavision::image::open_options options;
    options.max_pixels = std::size_t{1} << 16;
    try {
        auto const frames = llamavision::image::decode_frames(file, "fuzzed", wanted, options);
        if (frames.empty() || frames.size() > wanted) std::abort();
        for (auto const& frame : frames)
            if (frame.width != frames[0].width || frame.rgb.size() != frame.width * frame.height * 3) std::abort();
    } catch (llamavision::image_error const&) {
        return 0; // what a hostile file is for
    }
    return 0;
}
