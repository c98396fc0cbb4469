// SPDX-License-Identifier: Apache-2.0
// Whether the tower's tile tables, which Hugging Face stores with a row for each arrangement of tiles, hold values for
// which Meta's two-dimensional tables have no place.
#pragma once

#include <string>
#include <vector>

#include <llamavision/checkpoint/tensor.hpp>
#include <llamavision/config/numbers.hpp>

namespace program {

struct tile_tables {
    std::vector<std::string> found;          ///< the tables that exist and have their shape
    std::vector<std::string> padded;         ///< of these, tables with values other than zero for padded tiles
    std::vector<std::string> by_arrangement; ///< tables with several vectors for one cell (row, column)

    [[nodiscard]] bool say_more() const { return !padded.empty() || !by_arrangement.empty(); }
};

/// Reads all of the tables.
[[nodiscard]] tile_tables examine_tile_tables(llamavision::checkpoint::named_tensors const& tensors,
                                              llamavision::config::vision_numbers const& n);

} // namespace program
