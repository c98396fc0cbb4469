// SPDX-License-Identifier: Apache-2.0
// Resizes pictures. Every byte is equal to that of Pillow's antialiased bilinear resize of 8-bit pictures.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <llamavision/image/pixels.hpp>
#include <vector>

namespace llamavision::image {
namespace detail {

/// The samples of one output: weights in units of 2^-22, for the samples from `first` on.
struct taps {
    std::size_t first = 0;
    std::vector<std::int32_t> weights;
};

inline constexpr int precision_bits = 22;

/// The triangle filter from n to m samples. If the picture shrinks, the filter has a width of n/m samples on each side
/// of the output's centre, so that every sample contributes; if it grows, of one sample (bilinear interpolation).
inline std::vector<taps> triangle(std::size_t n, std::size_t m) {
    double const scale = static_cast<double>(n) / static_cast<double>(m);
    double const support = std::max(scale, 1.0);
    std::vector<taps> rows(m);
    std::vector<double> weights;
    for (std::size_t x = 0; x < m; ++x) {
        double const centre = (static_cast<double>(x) + 0.5) * scale;
        double const begin = std::max(std::trunc(centre - support + 0.5), 0.0);
        double const end = std::min(std::trunc(centre + support + 0.5), static_cast<double>(n));
        double sum = 0;
        weights.clear();
        for (double i = begin; i < end; ++i) {
            weights.push_back(std::max(0.0, 1.0 - std::abs((i - centre + 0.5) * (1.0 / support))));
            sum += weights.back();
        }
        rows[x].first = static_cast<std::size_t>(begin);
        for (double const w : weights)
            rows[x].weights.push_back(static_cast<std::int32_t>(w / sum * (1 << precision_bits) + 0.5));
    }
    return rows;
}

/// A weighted sum as 8 bits. The sum begins with one half, for rounding. It cannot overflow: the weights add up to
/// 2^22, except for a rounding error of one half for each weight that is not 0, and those are fewer than 2^23.
inline std::uint8_t to_byte(std::int32_t sum) {
    return static_cast<std::uint8_t>(std::min(sum >> precision_bits, 255));
}

inline constexpr std::int32_t one_half = 1 << (precision_bits - 1);

/// (height, width, 3) -> (height, new_width, 3)
inline pixels resize_columns(pixels const& from, std::size_t new_width) {
    pixels to = blank(new_width, from.height);
    std::vector<taps> const filter = triangle(from.width, new_width);
    std::uint8_t* out = to.rgb.data();
    for (std::size_t y = 0; y < from.height; ++y) {
        std::uint8_t const* const row = from.rgb.data() + y * from.width * 3;
        for (taps const& tap : filter) {
            std::int32_t red = one_half, green = one_half, blue = one_half;
            std::uint8_t const* p = row + tap.first * 3;
            for (std::int32_t const w : tap.weights) {
                red += w * p[0], green += w * p[1], blue += w * p[2];
                p += 3;
            }
            out[0] = to_byte(red), out[1] = to_byte(green), out[2] = to_byte(blue);
            out += 3;
        }
    }
    return to;
}

/// (height, width, 3) -> (new_height, width, 3). Adds whole rows, so that compilers vectorise the inner loop.
inline pixels resize_rows(pixels const& from, std::size_t new_height) {
    pixels to = blank(from.width, new_height);
    std::vector<taps> const filter = triangle(from.height, new_height);
    std::size_t const row_bytes = from.width * 3;
    std::vector<std::int32_t> sums(row_bytes);
    for (std::size_t y = 0; y < new_height; ++y) {
        std::fill(sums.begin(), sums.end(), one_half);
        std::uint8_t const* p = from.rgb.data() + filter[y].first * row_bytes;
        for (std::int32_t const w : filter[y].weights) {
            for (std::size_t i = 0; i < row_bytes; ++i) sums[i] += w * p[i];
            p += row_bytes;
        }
        std::transform(sums.begin(), sums.end(), to.rgb.data() + y * row_bytes, to_byte);
    }
    return to;
}

} // namespace detail

/// Which release of Pillow a resize has the bytes of. Up to 12, with which the model was trained, each row is resized
/// first, and then the columns. From 13.0.0 on, columns come first where rows are lost, and more than twice as many of
/// them as columns. Results differ by at most one level.
enum class pillow_release { v12, v13 };

/// Whether that release resizes along the height first.
[[nodiscard]] constexpr bool takes_height_first(pillow_release release, std::size_t width, std::size_t height,
                                                std::size_t new_width, std::size_t new_height) {
    if (release == pillow_release::v12 || height <= new_height) return false;
    return width <= new_width || height - new_height > 2 * (width - new_width);
}

/// The picture in the size new_width x new_height.
/// @throws image_error if one of the sizes is 0, or `from.rgb` does not fit its sizes
inline pixels resize(pixels const& from, std::size_t new_width, std::size_t new_height,
                     pillow_release release = pillow_release::v12) {
    if (from.width == 0 || from.height == 0 || new_width == 0 || new_height == 0)
        throw image_error("cannot resize a picture of " + std::to_string(from.width) + " x "
                          + std::to_string(from.height) + " to " + std::to_string(new_width) + " x "
                          + std::to_string(new_height));
    check(from);
    if (from.width == new_width) return from.height == new_height ? from : detail::resize_rows(from, new_height);
    if (takes_height_first(release, from.width, from.height, new_width, new_height))
        return detail::resize_columns(detail::resize_rows(from, new_height), new_width);
    pixels narrow = detail::resize_columns(from, new_width);
    return from.height == new_height ? narrow : detail::resize_rows(narrow, new_height);
}

} // namespace llamavision::image
