// SPDX-License-Identifier: Apache-2.0
// Compares the rows of tables, byte by byte.
#include "tile_tables.hpp"

#include <algorithm>
#include <cstddef>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include <llamavision/config/configuration.hpp>

namespace lv = llamavision;

namespace program {

namespace {

using bytes = std::span<std::byte const>;

/// Whether all values are zero: all their bytes, but for a sign.
bool is_zero(bytes values, std::size_t element) {
    for (std::size_t i = 0; i < values.size(); ++i) {
        bool const last = i % element == element - 1;
        if ((values[i] & (last ? std::byte{0x7f} : std::byte{0xff})) != std::byte{0}) return false;
    }
    return true;
}

bool equal(bytes a, bytes b) { return std::equal(a.begin(), a.end(), b.begin(), b.end()); }

} // namespace

tile_tables examine_tile_tables(lv::checkpoint::named_tensors const& tensors, lv::config::vision_numbers const& n) {
    tile_tables result;
    auto const arrangements = lv::config::all_arrangements(n.tiles);
    for (std::string const name :
         {"pre_tile_positional_embedding.embedding", "gated_positional_embedding.tile_embedding",
          "post_tile_positional_embedding.embedding"}) {
        auto const at = tensors.tensors.find("vision_model." + name + ".weight");
        if (at == tensors.tensors.end()) continue;
        lv::checkpoint::tensor const& table = at->second;
        if (table.shape.size() != 2 || table.shape[0] != arrangements.size() + 1 || table.shape[1] % n.tiles != 0)
            continue;
        result.found.push_back(name);
        std::vector<std::byte> buffer;
        bytes const all = lv::checkpoint::bytes_of(table, buffer);
        std::size_t const slot_size = all.size() / table.shape[0] / n.tiles;
        bool padded = false, several = false;
        std::map<std::pair<std::size_t, std::size_t>, bytes> cells;
        for (std::size_t a = 0; a < arrangements.size(); ++a) {
            auto const [rows, columns] = arrangements[a];
            for (std::size_t slot = 0; slot < n.tiles; ++slot) {
                bytes const vector = all.subspan(((a + 1) * n.tiles + slot) * slot_size, slot_size);
                if (slot >= rows * columns)
                    padded = padded || !is_zero(vector, lv::checkpoint::size_of(table.type));
                else
                    several =
                        several
                        || !equal(cells.try_emplace({slot / columns, slot % columns}, vector).first->second, vector);
            }
        }
        if (padded) result.padded.push_back(name);
        if (several) result.by_arrangement.push_back(name);
    }
    return result;
}

} // namespace program
