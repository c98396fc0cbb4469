// SPDX-License-Identifier: Apache-2.0
// The form of every picture in this library: 8-bit RGB. Copies pictures from memory, and removes transparency.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <llamavision/support/error.hpp>
#include <new>
#include <string>
#include <vector>

namespace llamavision::image {

/// A picture. `rgb` is (height, width, 3), row-major, R G B, without padding between rows. In pictures from this
/// library, both sizes are at least 1.
struct pixels {
    std::size_t width = 0;
    std::size_t height = 0;
    std::vector<std::uint8_t> rgb;

    friend bool operator==(pixels const&, pixels const&) = default;
};

/// How transparency is removed. `white`: the picture is drawn over white, like Hugging Face's processor does with a PIL
/// image. `drop`: the alpha channel is ignored, and the colours stay as they are, like in Meta's code
/// (`convert("RGB")`).
enum class alpha_policy { white, drop };

/// The order of the 8-bit channels of a pixel in memory.
enum class pixel_format { grey, grey_alpha, rgb, rgba, bgr, bgra };

/// Bytes of one pixel.
constexpr std::size_t bytes_per_pixel(pixel_format format) {
    switch (format) {
    case pixel_format::grey: return 1;
    case pixel_format::grey_alpha: return 2;
    case pixel_format::rgb:
    case pixel_format::bgr: return 3;
    case pixel_format::rgba:
    case pixel_format::bgra: return 4;
    }
    return 0;
}

/// A view of a caller's picture in memory: `height` rows of `width` pixels. Rows begin `stride` bytes apart; 0 means
/// without padding. After the last row no padding is needed.
struct raw_view {
    void const* data = nullptr;
    std::size_t width = 0;
    std::size_t height = 0;
    std::size_t stride = 0;
    pixel_format format = pixel_format::rgb;
};

/// A channel's value over white, rounded to nearest. For all 65536 pairs the result is that of Pillow's
/// `alpha_composite` over an opaque white picture.
constexpr std::uint8_t over_white(std::uint8_t value, std::uint8_t alpha) {
    return static_cast<std::uint8_t>((value * alpha + 255 * (255 - alpha) + 127) / 255);
}

namespace detail {

inline std::string sizes_of(std::size_t width, std::size_t height) {
    return "a picture of " + std::to_string(width) + " x " + std::to_string(height);
}

/// Whether std::size_t can hold the number of bytes of such a picture.
constexpr bool is_countable(std::size_t width, std::size_t height) {
    return width == 0 || height <= std::numeric_limits<std::size_t>::max() / 8 / width;
}

/// A black picture.
/// @throws image_error for a size of 0 or one that memory cannot hold
inline pixels blank(std::size_t width, std::size_t height) {
    if (width == 0 || height == 0) throw image_error(sizes_of(width, height) + " has no pixels");
    if (is_countable(width, height)) {
        try {
            return {width, height, std::vector<std::uint8_t>(width * height * 3)};
        } catch (std::bad_alloc const&) {} // the error below
    }
    throw image_error(sizes_of(width, height) + " pixels does not fit into memory");
}

} // namespace detail

/// Checks that a picture from a caller has pixels, and that `rgb` has as many bytes as its sizes need.
/// @throws image_error
inline void check(pixels const& picture) {
    std::size_t const width = picture.width, height = picture.height;
    if (width == 0 || height == 0) throw image_error(detail::sizes_of(width, height) + " has no pixels");
    bool const countable = detail::is_countable(width, height);
    if (countable && picture.rgb.size() == width * height * 3) return;
    throw image_error(detail::sizes_of(width, height) + " pixels takes "
                      + (countable ? std::to_string(width * height * 3) : "more than 2^61")
                      + " bytes of RGB; this one has " + std::to_string(picture.rgb.size()));
}

/// Copies a picture from memory.
/// @throws argument_error for a null pointer or a stride shorter than a row, image_error for a size of 0 or one that
///         memory cannot hold
inline pixels from_raw(raw_view const& view, alpha_policy alpha = alpha_policy::white) {
    std::size_t const step = bytes_per_pixel(view.format);
    pixels out = detail::blank(view.width, view.height);
    if (view.data == nullptr) throw argument_error("from_raw: the picture's data is a null pointer");
    std::size_t const stride = view.stride == 0 ? view.width * step : view.stride;
    if (stride < view.width * step)
        throw argument_error("from_raw: a stride of " + std::to_string(stride) + " bytes is shorter than a row of "
                             + std::to_string(view.width) + " pixels of " + std::to_string(step) + " bytes");
    bool const grey = step < 3;
    bool const has_alpha = step % 2 == 0;
    bool const blue_first = view.format == pixel_format::bgr || view.format == pixel_format::bgra;
    // The offsets of red, green and blue in a pixel of the source.
    std::size_t const red = blue_first ? 2 : 0, green = grey ? 0 : 1, blue = grey || blue_first ? 0 : 2;
    std::uint8_t* to = out.rgb.data();
    for (std::size_t y = 0; y < view.height; ++y) {
        std::uint8_t const* from = static_cast<std::uint8_t const*>(view.data) + y * stride;
        for (std::size_t x = 0; x < view.width; ++x, from += step, to += 3) {
            to[0] = from[red], to[1] = from[green], to[2] = from[blue];
            if (has_alpha && alpha == alpha_policy::white)
                for (int channel = 0; channel < 3; ++channel) to[channel] = over_white(to[channel], from[step - 1]);
        }
    }
    return out;
}

} // namespace llamavision::image
