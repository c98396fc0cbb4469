// SPDX-License-Identifier: Apache-2.0
// Chooses the canvas of tiles for a picture, and the picture's size on it, like Meta's `VariableSizeImageTransform` and
// Hugging Face's `MllamaImageProcessor`. Both have the same result for every size.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <llamavision/config/arrangements.hpp>
#include <llamavision/support/error.hpp>
#include <span>
#include <string>

namespace llamavision::image {

using config::arrangement;

/// A canvas of rows x columns tiles, and the size to which the picture is resized. The picture is in the canvas's top
/// left corner.
struct layout {
    std::size_t rows = 1;
    std::size_t columns = 1;
    std::size_t resized_width = 0;
    std::size_t resized_height = 0;

    friend bool operator==(layout const&, layout const&) = default;
};

namespace detail {

/// The factor by which the picture can be enlarged on the canvas; below 1, the factor by which it must shrink.
inline double fit(arrangement canvas, std::size_t width, std::size_t height, std::size_t tile) {
    return std::min(static_cast<double>(canvas.columns * tile) / static_cast<double>(width),
                    static_cast<double>(canvas.rows * tile) / static_cast<double>(height));
}

/// `length` · box / side, rounded down, at least 1 and at most `limit`. Computed in double; float32 has another result
/// for some sizes. Hugging Face has the minimum of 1; Meta's code fails for such pictures.
inline std::size_t scaled(std::size_t length, std::size_t box, std::size_t side, std::size_t limit) {
    double const scale = static_cast<double>(box) / static_cast<double>(side);
    double const result = std::floor(static_cast<double>(length) * scale);
    if (result >= static_cast<double>(limit)) return limit;
    return std::max<std::size_t>(static_cast<std::size_t>(result), 1);
}

} // namespace detail

/// Chooses one of the `supported` canvases for a picture of width x height. If some canvases can hold the whole
/// picture, it is the one that enlarges the picture least; else the one that shrinks it least. Among equals it is the
/// smallest. The picture is resized to the largest size that fits on the canvas, but it is never enlarged beyond one
/// tile.
/// @throws image_error for a size of 0; argument_error for a tile of 0 or above 65536 pixels, and for a list that is
///         empty or contains an empty arrangement
inline layout choose_layout(std::size_t width, std::size_t height, std::size_t tile,
                            std::span<arrangement const> supported) {
    if (width == 0 || height == 0)
        throw image_error("a picture of " + std::to_string(width) + " x " + std::to_string(height) + " has no pixels");
    if (tile == 0 || tile > 65536)
        throw argument_error("a tile must measure 1 to 65536 pixels, not " + std::to_string(tile));
    if (supported.empty()) throw argument_error("no canvas is allowed: the list of aspect ratios is empty");
    for (arrangement const& canvas : supported)
        if (canvas.rows == 0 || canvas.columns == 0 || canvas.rows > 65536 || canvas.columns > 65536)
            throw argument_error("no canvas has " + std::to_string(canvas.rows) + " x " + std::to_string(canvas.columns)
                                 + " tiles");
    arrangement best = supported[0];
    for (arrangement const& canvas : supported.subspan(1)) {
        double const held = detail::fit(best, width, height, tile);
        double const here = detail::fit(canvas, width, height, tile);
        bool const closer = here >= 1 ? held < 1 || here < held : held < 1 && here > held;
        bool const smaller = here == held && canvas.tiles() < best.tiles();
        if (closer || smaller) best = canvas;
    }
    std::size_t const box_width = std::min(std::max(width, tile), best.columns * tile);
    std::size_t const box_height = std::min(std::max(height, tile), best.rows * tile);
    double const scale_x = static_cast<double>(box_width) / static_cast<double>(width);
    double const scale_y = static_cast<double>(box_height) / static_cast<double>(height);
    layout result{best.rows, best.columns, box_width, box_height};
    if (scale_x < scale_y)
        result.resized_height = detail::scaled(height, box_width, width, box_height);
    else
        result.resized_width = detail::scaled(width, box_height, height, box_width);
    return result;
}

/// Chooses among all arrangements of at most `max_tiles` tiles (1 to 1024).
inline layout choose_layout(std::size_t width, std::size_t height, std::size_t tile, std::size_t max_tiles = 4) {
    if (max_tiles == 0 || max_tiles > 1024)
        throw argument_error("a canvas has 1 to 1024 tiles, not " + std::to_string(max_tiles));
    return choose_layout(width, height, tile, config::all_arrangements(max_tiles));
}

} // namespace llamavision::image
