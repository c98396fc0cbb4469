// SPDX-License-Identifier: Apache-2.0
// The row plan of one picture: which rows its vision sequence has, and what each of them represents.
#pragma once

#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include <llamavision/config/configuration.hpp>
#include <llamavision/expression/context.hpp>
#include <llamavision/support/error.hpp>

namespace llamavision {

/// What becomes of the tile slots that a picture leaves empty, and of the pad rows of every tile.
struct padding {
    /// One representative for rows that are alike, with a multiplicity: the same numbers up to rounding, for less work.
    bool collapse = true;
    /// Whether padded tiles reach the image memory (only Hugging Face's leak reads them there).
    bool remember = false;
};

/// @throws image_error if no canvas has that arrangement of tiles
inline void check_arrangement(config::vision_numbers const& n, std::size_t grid_rows, std::size_t grid_columns) {
    if (grid_rows == 0 || grid_columns == 0 || grid_rows > n.tiles || grid_columns > n.tiles
        || grid_rows * grid_columns > n.tiles)
        throw image_error("no canvas has " + std::to_string(grid_rows) + " rows of " + std::to_string(grid_columns)
                          + " tiles; the model takes " + std::to_string(n.tiles) + " tiles at most");
}

/// @param grid_rows, grid_columns the picture's tiles, at least 1 and together at most n.tiles
/// @throws image_error if no canvas has that arrangement
[[nodiscard]] inline vision_rows plan_image(config::vision_numbers const& n, std::size_t grid_rows,
                                            std::size_t grid_columns, padding how) {
    check_arrangement(n, grid_rows, grid_columns);
    std::size_t const real = grid_rows * grid_columns, side = n.tile / n.patch;
    vision_rows plan;
    plan.aspect_id = config::arrangement_id(grid_rows, grid_columns, n.tiles);
    plan.patches = side * side;
    std::size_t const pads = (8 - plan.tokens() % 8) % 8;
    plan.pads = how.collapse && pads > 0 ? 1 : pads;
    plan.pad_multiplicity = how.collapse && pads > 0 ? pads : 1;
    for (std::size_t t = 0; t < real; ++t) plan.slots.push_back({t, true, 1});
    if (how.collapse && real < n.tiles) plan.slots.push_back({real, false, n.tiles - real});
    if (!how.collapse)
        for (std::size_t t = real; t < n.tiles; ++t) plan.slots.push_back({t, false, 1});
    plan.kept_slots = how.remember ? plan.slots.size() : real;
    if (how.collapse)
        for (vision_rows::slot const& s : plan.slots) {
            plan.bias.insert(plan.bias.end(), plan.tokens(), std::log(static_cast<float>(s.multiplicity)));
            plan.bias.insert(plan.bias.end(), plan.pads,
                             std::log(static_cast<float>(s.multiplicity * plan.pad_multiplicity)));
        }
    return plan;
}

} // namespace llamavision
