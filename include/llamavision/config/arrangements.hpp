// SPDX-License-Identifier: Apache-2.0
// The arrangements of tiles in a canvas, and their ids in checkpoints.
#pragma once

#include <cstddef>
#include <vector>

namespace llamavision::config {

/// A canvas of rows x columns tiles (transformers: one of `supported_aspect_ratios`).
struct arrangement {
    std::size_t rows = 1;
    std::size_t columns = 1;

    [[nodiscard]] constexpr std::size_t tiles() const { return rows * columns; }
    friend bool operator==(arrangement const&, arrangement const&) = default;
};

/// The number of arrangements of at most `tiles` tiles.
[[nodiscard]] constexpr std::size_t count_arrangements(std::size_t tiles) {
    std::size_t n = 0;
    for (std::size_t r = 1; r <= tiles; ++r) n += tiles / r;
    return n;
}

/// The id of an arrangement (transformers: aspect_ratio_id): 1 for (1, 1), then columns fastest: (1, 2), …, (2, 1), ….
/// 0 stands for an absent image.
/// @pre 1 <= rows · columns <= tiles
[[nodiscard]] constexpr std::size_t arrangement_id(std::size_t rows, std::size_t columns, std::size_t tiles) {
    std::size_t id = columns;
    for (std::size_t r = 1; r < rows; ++r) id += tiles / r;
    return id;
}

/// All arrangements of at most `tiles` tiles, in the order of their ids: (1, 1), (1, 2), (1, 3), (1, 4), (2, 1), (2,
/// 2), (3, 1), (4, 1) for 4.
[[nodiscard]] inline std::vector<arrangement> all_arrangements(std::size_t tiles) {
    std::vector<arrangement> all;
    for (std::size_t r = 1; r <= tiles; ++r)
        for (std::size_t c = 1; c <= tiles / r; ++c) all.push_back({r, c});
    return all;
}

} // namespace llamavision::config
