// SPDX-License-Identifier: Apache-2.0
// From a JPEG's coefficients to pixels, with the integer arithmetic of libjpeg-turbo (jidctint.c, jdsample.c and
// jdcolor.c say what it computes), so that the result is Pillow's bit for bit. Releases of stb_image approximate each
// of the three steps, and mix up one column of 4:2:2 pictures.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <llamavision/image/jpeg.hpp>
#include <llamavision/image/pixels.hpp>
#include <span>
#include <vector>

namespace llamavision::image::detail {

constexpr std::uint8_t clamped(int value) { return static_cast<std::uint8_t>(std::clamp(value, 0, 255)); }

/// The inverse DCT of each column of a block of 8 x 8, times √8 and divided by 2^shift; `out` is transposed. With
/// c(k) = 8192 √2 cos(kπ/16), sample x of a column is Σ c((2x+1)k) in[k], where in[0] has the factor 8192. Some factors
/// are one off: libjpeg rounds the terms that they are sums of. Samples x and 7 - x differ in the sign of the odd k.
template <int shift>
inline void inverse_dct_of_columns(std::int16_t const* in, std::int16_t* out) {
    constexpr std::array<std::array<int, 4>, 4> odd = {{{11363, 9633, 6437, 2260},
                                                        {9633, -2259, -11362, -6436},
                                                        {6437, -11362, 2261, 9633},
                                                        {2260, -6436, 9633, -11363}}};
    std::array<std::array<int, 8>, 8> samples; // of each x, all columns
    for (std::size_t column = 0; column < 8; ++column) {
        std::int16_t const* const at = in + column;
        int const sum = 8192 * (at[0] + at[32]), difference = 8192 * (at[0] - at[32]);
        int const outer = 10703 * at[16] + 4433 * at[48], inner = 4433 * at[16] - 10704 * at[48];
        std::array<int, 4> const even = {sum + outer, difference + inner, difference - inner, sum - outer};
        for (std::size_t x = 0; x < 4; ++x) {
            int const rest = odd[x][0] * at[8] + odd[x][1] * at[24] + odd[x][2] * at[40] + odd[x][3] * at[56];
            samples[x][column] = even[x] + rest;
            samples[7 - x][column] = even[x] - rest;
        }
    }
    for (std::size_t x = 0; x < 8; ++x) // saturated as the vector units do it, for damaged files
        for (std::size_t column = 0; column < 8; ++column)
            out[8 * column + x] = static_cast<std::int16_t>(
                std::clamp((samples[x][column] + (1 << (shift - 1))) >> shift, -32768, 32767));
}

/// How many blocks `inverse_dct` was called for on this thread.
inline thread_local std::size_t inverse_dct_calls = 0;

/// The samples of a block: stb_image calls this with coefficients that were multiplied by the quantisation table.
inline void inverse_dct(unsigned char* out, int stride, std::int16_t* coefficients) {
    ++inverse_dct_calls;
    std::array<std::int16_t, 64> half{}, samples{};
    inverse_dct_of_columns<11>(coefficients, half.data()); // 2 bits more than the result, to round once
    inverse_dct_of_columns<18>(half.data(), samples.data());
    for (std::size_t i = 0; i < 64; ++i)
        out[static_cast<std::size_t>(stride) * (i / 8) + i % 8] = clamped(samples[i] + 128);
}

/// The samples of one component, and how often each is repeated to fill the picture.
struct jpeg_plane {
    unsigned char const* data = nullptr;
    std::size_t width = 0, height = 0, stride = 0; ///< without what fills up the last blocks
    std::size_t across = 1, down = 1;
};

/// Row `y` of the picture from a plane. Where there are half as many columns or rows, a sample is mixed 3 : 1 with its
/// nearest neighbour; what rounds up and down alternates. Planes of one or two columns, and those that are even
/// coarser, are repeated. `sums` is room for work.
inline void enlarged_row(jpeg_plane const& plane, std::size_t y, std::span<std::uint8_t> row,
                         std::vector<std::int16_t>& sums) {
    bool const mixes_columns = plane.across == 2 && plane.down <= 2 && plane.width > 2;
    bool const mixes_rows = plane.down == 2 && (plane.across == 1 || mixes_columns);
    unsigned char const* const near = plane.data + y / plane.down * plane.stride;
    if (!mixes_columns && !mixes_rows) {
        if (plane.across == 1)
            std::copy_n(near, row.size(), row.data());
        else
            for (std::size_t x = 0; x < row.size(); ++x) row[x] = near[x / plane.across];
        return;
    }
    std::size_t const above = y / 2 == 0 ? 0 : y / 2 - 1, below = std::min(y / 2 + 1, plane.height - 1);
    unsigned char const* const far = plane.data + (y % 2 == 0 ? above : below) * plane.stride;
    sums.resize(plane.width);
    std::int16_t* const sum = sums.data();
    for (std::size_t x = 0; x < plane.width; ++x)
        sum[x] = static_cast<std::int16_t>(mixes_rows ? 3 * near[x] + far[x] : near[x]);
    if (!mixes_columns) {
        int const half = y % 2 == 0 ? 1 : 2;
        for (std::size_t x = 0; x < row.size(); ++x) row[x] = static_cast<std::uint8_t>((sum[x] + half) >> 2);
        return;
    }
    int const half_left = mixes_rows ? 8 : 1, half_right = mixes_rows ? 7 : 2, shift = mixes_rows ? 4 : 2;
    auto const mixed = [&](std::size_t at, std::size_t with, int half) {
        return static_cast<std::uint8_t>((3 * sum[at] + sum[with] + half) >> shift);
    };
    std::size_t const last = plane.width - 1;
    row[0] = mixed(0, 0, half_left);
    for (std::size_t at = 0; at < last; ++at) { // between two samples
        row[2 * at + 1] = mixed(at, at + 1, half_right);
        row[2 * at + 2] = mixed(at + 1, at, half_left);
    }
    if (row.size() == 2 * plane.width) row.back() = mixed(last, last, half_right);
}

/// Red, green and blue of a pixel in Y, Cb and Cr (ITU T.871), with factors of 16 bits behind the point.
constexpr std::array<std::uint8_t, 3> rgb_of_ycc(int luminance, int blue, int red) {
    blue -= 128, red -= 128;
    constexpr int half = 1 << 15;
    return {clamped(luminance + ((91881 * red + half) >> 16)),
            clamped(luminance + ((-22554 * blue - 46802 * red + half) >> 16)),
            clamped(luminance + ((116130 * blue + half) >> 16))};
}

/// a · b / 255, rounded.
constexpr std::uint8_t product_of_parts(int a, int b) { return static_cast<std::uint8_t>((a * b + 127) / 255); }

/// A row of pixels from a row of each component.
inline void rgb_row(jpeg_colour colour, std::span<std::vector<std::uint8_t> const, 4> rows, std::size_t width,
                    std::uint8_t* to) {
    std::uint8_t const *const a = rows[0].data(), *const b = rows[1].data(), *const c = rows[2].data();
    auto const put_all = [&](auto const& pixel) {
        for (std::size_t x = 0; x < width; ++x, to += 3) {
            std::array<std::uint8_t, 3> const rgb = pixel(x);
            to[0] = rgb[0], to[1] = rgb[1], to[2] = rgb[2];
        }
    };
    // Pillow takes all inks to be stored as Adobe stores them: 255 is none. Those in Y, Cb and Cr are complements.
    auto const inked = [&](std::size_t x, std::array<std::uint8_t, 3> rgb, int complement) {
        for (std::uint8_t& part : rgb) part = product_of_parts(part ^ complement, rows[3][x]);
        return rgb;
    };
    switch (colour) {
    case jpeg_colour::grey: return put_all([&](std::size_t x) { return std::array{a[x], a[x], a[x]}; });
    case jpeg_colour::rgb: return put_all([&](std::size_t x) { return std::array{a[x], b[x], c[x]}; });
    case jpeg_colour::ycc: return put_all([&](std::size_t x) { return rgb_of_ycc(a[x], b[x], c[x]); });
    case jpeg_colour::cmyk: return put_all([&](std::size_t x) { return inked(x, {a[x], b[x], c[x]}, 0); });
    case jpeg_colour::ycck: return put_all([&](std::size_t x) { return inked(x, rgb_of_ycc(a[x], b[x], c[x]), 255); });
    }
}

/// The picture from its planes, which all have the colour's number of components.
/// @throws image_error if memory cannot hold it
inline pixels pixels_of_planes(std::span<jpeg_plane const> planes, jpeg_header const& says) {
    pixels out = blank(says.width, says.height);
    std::array<std::vector<std::uint8_t>, 4> rows;
    for (std::vector<std::uint8_t>& row : rows) row.resize(says.width);
    std::vector<std::int16_t> sums;
    for (std::size_t y = 0; y < says.height; ++y) {
        for (std::size_t i = 0; i < planes.size(); ++i) enlarged_row(planes[i], y, rows[i], sums);
        rgb_row(says.colour, rows, says.width, out.rgb.data() + y * says.width * 3);
    }
    return out;
}

} // namespace llamavision::image::detail
