// SPDX-License-Identifier: Apache-2.0
// Converts a whole checkpoint from Meta's names and layouts to Hugging Face's, and back. Tensors whose layout changes
// are made when their bytes are asked for; all others stay views.
#pragma once

#include <llamavision/checkpoint/form/meta/names.hpp>
#include <llamavision/checkpoint/pieces.hpp>
#include <llamavision/checkpoint/tensor.hpp>
#include <llamavision/config/configuration.hpp>
#include <llamavision/config/numbers.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/listed.hpp>
#include <llamavision/support/quoted.hpp>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace llamavision::checkpoint {

namespace detail {

/// The same rows in the other order: Hugging Face's row h · d + a · d/2 + i is Meta's row h · d + 2i + a, with d =
/// head, a = 0 or 1.
[[nodiscard]] inline tensor with_rotary_rows(tensor const& from, std::size_t head, bool to_meta,
                                             std::string const& name) {
    if (from.shape.size() != 2 || from.shape[0] % head != 0)
        throw mismatch_error(name + ": has the shape " + shape_text(from.shape) + ", which holds no heads of "
                             + std::to_string(head) + " rows");
    tensor result{from.type, from.shape, {}, {}};
    result.make = [from, head, to_meta](std::span<std::byte> to) {
        std::vector<std::byte> buffer;
        auto const bytes = bytes_of(from, buffer);
        std::size_t const row = bytes_behind(from, 0), half = head / 2;
        if (row == 0) return;
        for (std::size_t r = 0; r < from.shape[0]; ++r) {
            std::size_t const within = r % head;
            std::size_t const meta = r - within + 2 * (within % half) + within / half;
            std::memcpy(to.data() + (to_meta ? meta : r) * row, bytes.data() + (to_meta ? r : meta) * row, row);
        }
    };
    return result;
}

/// Meta's tile table as Hugging Face's: from (tiles, tiles, tokens, width), a cell for each place (row, column) of a
/// tile, to (arrangements + 1, tiles · tokens · width), a row for each arrangement and in it a slot for each tile. Row
/// 0 and unused slots are zero.
[[nodiscard]] inline tensor with_arrangements(tensor const& from, std::size_t tiles, std::string const& name) {
    if (from.shape.size() != 4 || from.shape[0] != tiles || from.shape[1] != tiles)
        throw mismatch_error(name + ": has the shape " + shape_text(from.shape) + ", not one cell for each of "
                             + std::to_string(tiles) + " by " + std::to_string(tiles) + " tiles");
    auto const all = config::all_arrangements(tiles);
    tensor result{from.type, {all.size() + 1, tiles * from.shape[2] * from.shape[3]}, {}, {}};
    result.make = [from, tiles, all](std::span<std::byte> to) {
        std::vector<std::byte> buffer;
        auto const bytes = bytes_of(from, buffer);
        std::size_t const cell = bytes_behind(from, 1);
        if (cell == 0) return;
        std::fill(to.begin(), to.end(), std::byte{0});
        for (std::size_t a = 0; a < all.size(); ++a)
            for (std::size_t slot = 0; slot < all[a].tiles(); ++slot) {
                std::size_t const row = slot / all[a].columns, column = slot % all[a].columns;
                std::memcpy(to.data() + ((a + 1) * tiles + slot) * cell, bytes.data() + (row * tiles + column) * cell,
                            cell);
            }
    };
    return result;
}

/// Checks that Hugging Face's tile table can be Meta's: a cell has the same values in every arrangement, and unused
/// slots are zero.
/// @param cell the size of a slot in bytes
/// @throws mismatch_error
inline void check_two_dimensional(std::span<std::byte const> table, std::size_t tiles, std::size_t cell,
                                  std::string const& name) {
    auto const all = config::all_arrangements(tiles);
    for (std::size_t a = 0; a < all.size(); ++a)
        for (std::size_t slot = 0; slot < tiles; ++slot) {
            auto const [rows, columns] = all[a];
            auto const values = table.subspan(((a + 1) * tiles + slot) * cell, cell);
            std::string const where = " of the arrangement (" + std::to_string(rows) + ", " + std::to_string(columns)
                                      + "), which Meta's form cannot express";
            if (slot >= rows * columns) {
                if (std::any_of(values.begin(), values.end(), [](std::byte b) { return b != std::byte{0}; }))
                    throw mismatch_error(name + ": holds values for the padded tiles" + where);
                continue;
            }
            // The smallest arrangement that has this cell; there it is the last tile.
            std::size_t const first = config::arrangement_id(slot / columns + 1, slot % columns + 1, tiles);
            std::size_t const last = (slot / columns + 1) * (slot % columns + 1) - 1;
            auto const cell_values = table.subspan((first * tiles + last) * cell, cell);
            if (!std::equal(values.begin(), values.end(), cell_values.begin()))
                throw mismatch_error(name + ": holds a vector of its own for the tile " + std::to_string(slot) + where);
        }
}

/// Whether some arrangement has a tile in this row and column. Both count from 0.
[[nodiscard]] constexpr bool occurs(std::size_t row, std::size_t column, std::size_t tiles) {
    return (row + 1) * (column + 1) <= tiles;
}

/// The cells of a table that no arrangement has, in their order: (cells, tokens, width).
/// @pre the shape was checked
[[nodiscard]] inline tensor spare_cells_of(tensor const& table, std::size_t tiles) {
    std::size_t const count = tiles * tiles - config::count_arrangements(tiles);
    tensor result{table.type, {count, table.shape[2], table.shape[3]}, {}, {}};
    result.make = [table, tiles](std::span<std::byte> to) {
        std::vector<std::byte> buffer;
        auto const bytes = bytes_of(table, buffer);
        std::size_t const cell = bytes_behind(table, 1);
        std::byte* at = to.data();
        for (std::size_t i = 0; cell > 0 && i < tiles * tiles; ++i)
            if (!occurs(i / tiles, i % tiles, tiles)) {
                std::memcpy(at, bytes.data() + i * cell, cell);
                at += cell;
            }
    };
    return result;
}

/// Hugging Face's tile table as Meta's. Cells that no arrangement has come from `spare`, or are zero.
[[nodiscard]] inline tensor with_cells(tensor const& from, config::vision_numbers const& n, tensor const* spare,
                                       std::string const& name) {
    std::size_t const tiles = n.tiles;
    if (from.shape.size() != 2 || from.shape[0] != config::count_arrangements(tiles) + 1
        || from.shape[1] % (tiles * n.width) != 0)
        throw mismatch_error(name + ": has the shape " + shape_text(from.shape)
                             + ", not a row for each arrangement of at most " + std::to_string(tiles) + " tiles");
    std::size_t const cell = bytes_behind(from, 0) / tiles;
    std::vector<std::byte> all;
    check_two_dimensional(bytes_of(from, all), tiles, cell, name);
    tensor result{from.type, {tiles, tiles, from.shape[1] / tiles / n.width, n.width}, {}, {}};
    std::vector<std::size_t> const spare_shape{tiles * tiles - config::count_arrangements(tiles), result.shape[2],
                                               n.width};
    if (spare && (spare->type != from.type || spare->shape != spare_shape))
        throw mismatch_error(name + ": the spare cells are " + std::string(name_of(spare->type)) + " "
                             + shape_text(spare->shape) + ", not " + std::string(name_of(from.type)) + " "
                             + shape_text(spare_shape));
    result.make = [from, tiles, cell, more = spare ? *spare : tensor{}](std::span<std::byte> to) {
        std::vector<std::byte> buffer, spare_buffer;
        auto const bytes = bytes_of(from, buffer), others = bytes_of(more, spare_buffer);
        if (cell == 0) return;
        std::fill(to.begin(), to.end(), std::byte{0});
        std::size_t taken = 0;
        for (std::size_t r = 0; r < tiles; ++r)
            for (std::size_t c = 0; c < tiles; ++c) {
                std::byte* const place = to.data() + (r * tiles + c) * cell;
                if (occurs(r, c, tiles)) {
                    std::size_t const id = config::arrangement_id(r + 1, c + 1, tiles), slot = (r + 1) * (c + 1) - 1;
                    std::memcpy(place, bytes.data() + (id * tiles + slot) * cell, cell);
                } else if (!others.empty()) {
                    std::memcpy(place, others.data() + taken++ * cell, cell);
                }
            }
    };
    return result;
}

[[nodiscard]] inline tensor reshaped(tensor from, std::vector<std::size_t> shape, std::string const& name) {
    std::size_t count = 1;
    for (std::size_t const n : shape) count *= n;
    if (values_of(from) != count)
        throw mismatch_error(name + ": has the shape " + shape_text(from.shape) + ", which does not make "
                             + shape_text(shape));
    from.shape = std::move(shape);
    return from;
}

[[nodiscard]] inline std::size_t head_width(config::text_numbers const& text) { return text.width / text.heads; }

/// Adds a tensor.
/// @throws mismatch_error if the name exists
inline void put(named_tensors& into, std::string name, tensor value) {
    auto const [at, is_new] = into.tensors.emplace(std::move(name), std::move(value));
    if (!is_new) throw mismatch_error("two tensors stand for " + in_quotes(at->first));
}

} // namespace detail

/// A whole checkpoint in Meta's form (if it has several files, after merge_shards) with Hugging Face's names and
/// layouts. Names that are not Meta's stay, and `bind` reports them.
/// @pre config::contradictions(n) is empty
/// @throws mismatch_error for shapes that cannot be converted
[[nodiscard]] inline named_tensors meta_to_hugging_face(named_tensors source, config::numbers const& n) {
    named_tensors result;
    result.owners = std::move(source.owners);
    for (auto const& [name, value] : source.tensors) {
        auto entry = find_meta_tensor(name);
        if (entry && family_of(*entry) != n.kind) entry.reset();
        if (entry && entry->rule.how == conversion::dropped) continue;
        if (n.text.tied_head && name == "output.weight") continue; // a copy of the embedding
        auto target = entry ? hugging_face_name(*entry, n.text) : std::nullopt;
        if (!target) {
            detail::put(result, name, value);
            continue;
        }
        auto const put = [&](tensor made) { detail::put(result, *std::move(target), std::move(made)); };
        switch (entry->rule.how) {
        case conversion::rotary: put(detail::with_rotary_rows(value, detail::head_width(n.text), false, name)); break;
        case conversion::table: put(detail::with_arrangements(value, n.vision.tiles, name)); break;
        case conversion::patches:
            put(detail::reshaped(value, {n.vision.width, n.vision.channels, n.vision.patch, n.vision.patch}, name));
            break;
        case conversion::embedding: {
            auto const extra = source.tensors.find("text_model.learnable_embedding.weight");
            put(extra == source.tensors.end() ? value : join({value, extra->second}, 0, name));
            break;
        }
        case conversion::extra_embedding:
            if (!source.tensors.contains("text_model.tok_embeddings.weight")) put(value);
            break;
        case conversion::same:
        case conversion::dropped: put(value); break;
        }
    }
    return result;
}

/// What Hugging Face's form cannot hold, under Meta's names: the cells of each tile table that no arrangement has,
/// (cells, tokens, width). No computation reads them; hugging_face_to_meta puts them back.
[[nodiscard]] inline named_tensors spare_cells(named_tensors const& meta, config::vision_numbers const& n) {
    named_tensors result;
    result.owners = meta.owners;
    for (auto const& [name, value] : meta.tensors) {
        auto const entry = find_meta_tensor(name);
        if (!entry || entry->rule.how != conversion::table || value.shape.size() != 4 || value.shape[0] != n.tiles
            || value.shape[1] != n.tiles)
            continue;
        result.tensors.emplace(name, detail::spare_cells_of(value, n.tiles));
    }
    return result;
}

/// A whole checkpoint with canonical names in Meta's names and layouts, as one file; shard_of divides it. Cells of tile
/// tables that no arrangement has come from `spare`, or are zero.
/// @pre config::contradictions(n) is empty
/// @throws mismatch_error for tensors of another architecture, shapes that are not those of `n`, and tile tables that
///         Meta's form cannot hold
[[nodiscard]] inline named_tensors hugging_face_to_meta(named_tensors source, config::numbers const& n,
                                                        named_tensors const& spare = {}) {
    named_tensors result;
    result.owners = std::move(source.owners);
    result.owners.insert(result.owners.end(), spare.owners.begin(), spare.owners.end());
    std::vector<std::string> strange;
    for (auto const& [name, value] : source.tensors) {
        auto entry = find_meta_tensor_of(name, n.text);
        if (!entry || family_of(*entry) != n.kind) {
            strange.push_back(in_quotes(name));
            continue;
        }
        auto const put = [&](tensor made) { detail::put(result, meta_name(*entry), std::move(made)); };
        if (n.text.tied_head && name == "model.embed_tokens.weight") detail::put(result, "output.weight", value);
        switch (entry->rule.how) {
        case conversion::rotary: put(detail::with_rotary_rows(value, detail::head_width(n.text), true, name)); break;
        case conversion::table: {
            auto const cells = spare.tensors.find(meta_name(*entry));
            put(detail::with_cells(value, n.vision, cells == spare.tensors.end() ? nullptr : &cells->second, name));
            break;
        }
        case conversion::patches:
            put(detail::reshaped(value, {n.vision.width, n.vision.channels * n.vision.patch * n.vision.patch}, name));
            break;
        case conversion::embedding:
            if (value.shape.size() != 2 || value.shape[0] <= n.text.vocabulary)
                throw mismatch_error(name + ": has the shape " + shape_text(value.shape) + ", not more rows than the "
                                     + std::to_string(n.text.vocabulary) + " of the vocabulary");
            put(slice(value, 0, 0, n.text.vocabulary));
            entry = find_meta_tensor("text_model.learnable_embedding.weight");
            put(slice(value, 0, n.text.vocabulary, value.shape[0] - n.text.vocabulary));
            break;
        case conversion::same:
        case conversion::extra_embedding:
        case conversion::dropped: put(value); break;
        }
    }
    if (!strange.empty()) throw mismatch_error("Meta's form has no place for " + listed(strange));
    return result;
}

} // namespace llamavision::checkpoint
