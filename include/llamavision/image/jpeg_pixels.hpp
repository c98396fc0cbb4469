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
inline void inverse_dct_of_columns(short const* in, short* out) {
    constexpr std::array<std::array<int, 4>, 4> odd = {{{11363, 9633, 6437, 2260},
                                                        {9633, -2259, -11362, -6436},
                                                        {6437, -11362, 2261, 9633},
                                                        {2260, -6436, 9633, -11363}}};
    for (std::size_t column = 0; column < 8; ++column, ++in) {
        int const sum = 8192 * (in[0] + in[32]), difference = 8192 * (in[0] - in[32]);
        int const outer = 10703 * in[16] + 4433 * in[48], inner = 4433 * in[16] - 10704 * in[48];
        std::array<int, 4> const even = {sum + outer, difference + inner, difference - inner, sum - outer};
        for (std::size_t x = 0; x < 4; ++x) {
            int const rest = odd[x][0] * in[8] + odd[x][1] * in[24] + odd[x][2] * in[40] + odd[x][3] * in[56];
            auto const put = [&](std::size_t to, int value) { // as the vector units saturate, for damaged files
                out[8 * column + to] =
                    static_cast<short>(std::clamp((value + (1 << (shift - 1))) >> shift, -32768, 32767));
            };
            put(x, even[x] + rest);
            put(7 - x, even[x] - rest);
        }
    }
}

/// How many blocks `inverse_dct` was called for on this thread.
inline thread_local std::size_t inverse_dct_calls = 0;

/// The samples of a block: stb_image calls this with coefficients that were multiplied by the quantisation table.
inline void inverse_dct(unsigned char* out, int stride, short* coefficients) {
    ++inverse_dct_calls;
    std::array<short, 64> half{}, samples{};
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
/// coarser, are repeated.
inline void enlarged_row(jpeg_plane const& plane, std::size_t y, std::span<std::uint8_t> row) {
    bool const mixes_columns = plane.across == 2 && plane.down <= 2 && plane.width > 2;
    bool const mixes_rows = plane.down == 2 && (plane.across == 1 || mixes_columns);
    unsigned char const* const near = plane.data + y / plane.down * plane.stride;
    if (!mixes_columns && !mixes_rows) {
        for (std::size_t x = 0; x < row.size(); ++x) row[x] = near[x / plane.across];
        return;
    }
    std::size_t const above = y / 2 == 0 ? 0 : y / 2 - 1, below = std::min(y / 2 + 1, plane.height - 1);
    unsigned char const* const far = plane.data + (y % 2 == 0 ? above : below) * plane.stride;
    auto const mixed = [&](std::size_t x) { return mixes_rows ? 3 * near[x] + far[x] : near[x]; };
    if (!mixes_columns) {
        int const half = y % 2 == 0 ? 1 : 2;
        for (std::size_t x = 0; x < row.size(); ++x) row[x] = static_cast<std::uint8_t>((mixed(x) + half) >> 2);
        return;
    }
    int const half_left = mixes_rows ? 8 : 1, half_right = mixes_rows ? 7 : 2, shift = mixes_rows ? 4 : 2;
    for (std::size_t x = 0; x < row.size(); ++x) {
        std::size_t const at = x / 2, left = at == 0 ? 0 : at - 1, right = std::min(at + 1, plane.width - 1);
        int const sum = 3 * mixed(at) + (x % 2 == 0 ? mixed(left) + half_left : mixed(right) + half_right);
        row[x] = static_cast<std::uint8_t>(sum >> shift);
    }
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

/// The picture from its planes, which all have the colour's number of components.
/// @throws image_error if memory cannot hold it
inline pixels pixels_of_planes(std::span<jpeg_plane const> planes, jpeg_header const& says) {
    pixels out = blank(says.width, says.height);
    std::vector<std::vector<std::uint8_t>> rows(4, std::vector<std::uint8_t>(says.width));
    std::uint8_t* to = out.rgb.data();
    for (std::size_t y = 0; y < says.height; ++y) {
        for (std::size_t i = 0; i < planes.size(); ++i) enlarged_row(planes[i], y, rows[i]);
        for (std::size_t x = 0; x < says.width; ++x, to += 3) {
            std::array<std::uint8_t, 3> rgb = {rows[0][x], rows[1][x], rows[2][x]};
            if (says.colour == jpeg_colour::grey) rgb = {rgb[0], rgb[0], rgb[0]};
            if (says.colour == jpeg_colour::ycc || says.colour == jpeg_colour::ycck)
                rgb = rgb_of_ycc(rgb[0], rgb[1], rgb[2]);
            // Pillow takes all inks to be stored as Adobe stores them: 255 is none. Those in Y, Cb and Cr are
            // complements.
            if (says.colour == jpeg_colour::ycck)
                for (std::uint8_t& part : rgb) part = static_cast<std::uint8_t>(255 - part);
            if (says.colour == jpeg_colour::cmyk || says.colour == jpeg_colour::ycck)
                for (std::uint8_t& part : rgb) part = product_of_parts(part, rows[3][x]);
            std::copy(rgb.begin(), rgb.end(), to);
        }
    }
    return out;
}

} // namespace llamavision::image::detail
