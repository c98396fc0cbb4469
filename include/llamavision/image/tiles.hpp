// SPDX-License-Identifier: Apache-2.0
// Picture -> canvas -> tiles: prepares the values that the vision tower reads.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <llamavision/image/canvas.hpp>
#include <llamavision/image/pixels.hpp>
#include <llamavision/image/resize.hpp>
#include <span>
#include <vector>

namespace llamavision::image {

/// A picture pasted into the top left corner of a black canvas of rows x columns tiles.
struct canvas {
    layout shape;
    pixels picture; // (rows * tile, columns * tile, 3)
};

/// How an 8-bit level u becomes a value: (u * rescale - mean) / std, with mean and std for R, G, B.
struct normalisation {
    std::array<double, 3> mean{0, 0, 0};
    std::array<double, 3> std{1, 1, 1};
    double rescale = 1.0 / 255.0;
};

/// The normalisation of CLIP, which Llama 3.2 Vision was trained with.
inline constexpr normalisation clip{
    {0.48145466, 0.4578275, 0.40821073}, {0.26862954, 0.26130258, 0.27577711}, 1.0 / 255.0};

/// Normalised tiles. `values` is (rows * columns, 3, side, side). Tile t is in row t / columns and column t % columns
/// of the canvas.
struct tiles {
    std::size_t rows = 0;
    std::size_t columns = 0;
    std::size_t side = 0;
    std::vector<float> values;
};

namespace detail {

inline canvas paste(pixels const& picture, layout const& shape, std::size_t tile, pillow_release release) {
    pixels const drawn = resize(picture, shape.resized_width, shape.resized_height, release);
    canvas result{shape, blank(shape.columns * tile, shape.rows * tile)};
    for (std::size_t y = 0; y < drawn.height; ++y)
        std::copy_n(drawn.rgb.data() + y * drawn.width * 3, drawn.width * 3,
                    result.picture.rgb.data() + y * result.picture.width * 3);
    return result;
}

} // namespace detail

/// Resizes a picture and pastes it on the canvas that `choose_layout` chooses.
/// @throws what `choose_layout` throws, and image_error if `rgb` does not fit the sizes
inline canvas make_canvas(pixels const& picture, std::size_t tile, std::size_t max_tiles = 4,
                          pillow_release release = pillow_release::v12) {
    return detail::paste(picture, choose_layout(picture.width, picture.height, tile, max_tiles), tile, release);
}

/// The same, with a canvas of one of the `supported` arrangements.
inline canvas make_canvas(pixels const& picture, std::size_t tile, std::span<arrangement const> supported,
                          pillow_release release = pillow_release::v12) {
    return detail::paste(picture, choose_layout(picture.width, picture.height, tile, supported), tile, release);
}

/// The normalised value of each 8-bit level, (3, 256). Rounded like in Meta's code and Hugging Face's: the level is
/// scaled in double and rounded to float32, mean and std are rounded to float32, then follow one subtraction and one
/// division in float32.
inline std::array<std::array<float, 256>, 3> normalisation_table(normalisation const& numbers) {
    std::array<std::array<float, 256>, 3> table;
    for (std::size_t channel = 0; channel < 3; ++channel) {
        float const mean = static_cast<float>(numbers.mean[channel]);
        float const deviation = static_cast<float>(numbers.std[channel]);
        for (std::size_t level = 0; level < 256; ++level) {
            float const scaled = static_cast<float>(static_cast<double>(level) * numbers.rescale);
            table[channel][level] = (scaled - mean) / deviation;
        }
    }
    return table;
}

/// Cuts a canvas into normalised tiles. The black around the picture is normalised, too: (0 - mean) / std.
/// @throws argument_error if the picture's sizes do not fit its arrangement
inline tiles to_tiles(canvas const& from, normalisation const& numbers = clip) {
    std::size_t const rows = from.shape.rows, columns = from.shape.columns, width = from.picture.width;
    std::size_t const side = columns == 0 ? 0 : width / columns;
    if (rows == 0 || side == 0 || side * columns != width || side * rows != from.picture.height
        || !detail::is_countable(width, from.picture.height)
        || from.picture.rgb.size() != width * from.picture.height * 3)
        throw argument_error("a canvas of " + std::to_string(width) + " x " + std::to_string(from.picture.height)
                             + " pixels is not " + std::to_string(rows) + " x " + std::to_string(columns)
                             + " square tiles");
    auto const table = normalisation_table(numbers);
    tiles result{rows, columns, side, std::vector<float>(rows * columns * 3 * side * side)};
    float* out = result.values.data();
    for (std::size_t t = 0; t < rows * columns; ++t)
        for (std::size_t channel = 0; channel < 3; ++channel)
            for (std::size_t y = 0; y < side; ++y) {
                std::size_t const line = (t / columns * side + y) * width + t % columns * side;
                std::uint8_t const* in = from.picture.rgb.data() + line * 3 + channel;
                for (std::size_t x = 0; x < side; ++x, in += 3) *out++ = table[channel][*in];
            }
    return result;
}

/// The options of `preprocess`. All but the last are in a checkpoint's `preprocessor_config.json`: size,
/// max_image_tiles, image_mean, image_std, rescale_factor.
struct preprocess_options {
    std::size_t tile = 560;
    std::size_t max_tiles = 4;
    normalisation numbers = clip;
    pillow_release resize = pillow_release::v12;
};

/// All steps: canvas, resizing, padding, normalisation, tiles.
/// @throws what `make_canvas` throws
inline tiles preprocess(pixels const& picture, preprocess_options const& options = {}) {
    return to_tiles(make_canvas(picture, options.tile, options.max_tiles, options.resize), options.numbers);
}

} // namespace llamavision::image
