// SPDX-License-Identifier: Apache-2.0
// Merges the files of Meta's large models, each of which has a part of every large tensor; and divides a model into
// such files.
#pragma once

#include <llamavision/checkpoint/form/meta/names.hpp>
#include <llamavision/checkpoint/pieces.hpp>
#include <llamavision/checkpoint/tensor.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/quoted.hpp>

#include <algorithm>
#include <cstddef>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace llamavision::checkpoint {

/// The content of one file of several.
struct meta_shard {
    std::string file; ///< for errors
    named_tensors content;
};

namespace detail {

/// Tensors that every file contains are compared if they have at most so many bytes: norms, biases and gates, which
/// differ between any two models. Larger ones are taken from the first file without a comparison.
inline constexpr std::size_t compared_bytes = std::size_t{1} << 20;

inline void check_same(tensor const& a, tensor const& b, std::string const& name, meta_shard const& one,
                       meta_shard const& other) {
    bool same = a.type == b.type && a.shape == b.shape;
    if (same && size_in_bytes(a) <= compared_bytes) {
        std::vector<std::byte> room_a, room_b;
        auto const bytes_a = bytes_of(a, room_a), bytes_b = bytes_of(b, room_b);
        same = std::equal(bytes_a.begin(), bytes_a.end(), bytes_b.begin(), bytes_b.end());
    }
    if (!same)
        throw mismatch_error(other.file + ": the tensor " + in_quotes(name) + " is not that of " + one.file
                             + ", though every file should have the same; are they files of one model?");
}

} // namespace detail

/// The tensors of a whole model, merged from all of its files in the order of their ranks.
/// @pre shards is not empty
/// @throws mismatch_error if the files have different names of tensors, or tensors that do not fit together
[[nodiscard]] inline named_tensors merge_shards(std::vector<meta_shard> shards) {
    if (shards.size() == 1) return std::move(shards.front().content);
    named_tensors result;
    meta_shard const& first = shards.front();
    for (meta_shard const& shard : shards) {
        for (auto const& [name, value] : shard.content.tensors)
            if (!first.content.tensors.contains(name))
                throw mismatch_error(shard.file + ": holds the tensor " + in_quotes(name) + ", which " + first.file
                                     + " lacks; are they files of one model?");
        result.owners.insert(result.owners.end(), shard.content.owners.begin(), shard.content.owners.end());
    }
    for (auto const& [name, value] : first.content.tensors) {
        auto const entry = find_meta_tensor(name);
        std::vector<tensor> parts;
        for (meta_shard const& shard : shards) {
            auto const at = shard.content.tensors.find(name);
            if (at == shard.content.tensors.end())
                throw mismatch_error(shard.file + ": lacks the tensor " + in_quotes(name) + ", which " + first.file
                                     + " has; are they files of one model?");
            parts.push_back(at->second);
        }
        if (!entry || entry->rule.across == division::none) {
            for (std::size_t i = 1; i < parts.size(); ++i)
                detail::check_same(parts[0], parts[i], name, first, shards[i]);
            result.tensors.emplace(name, parts.front());
        } else {
            result.tensors.emplace(
                name, join(std::move(parts), entry->rule.across == division::rows ? 0 : 1, first.file + ": " + name));
        }
    }
    return result;
}

/// The content of file `rank` of `count` for a whole model.
/// @pre rank < count
/// @throws mismatch_error if a tensor cannot be divided into so many
[[nodiscard]] inline named_tensors shard_of(named_tensors const& whole, std::size_t rank, std::size_t count) {
    named_tensors result;
    result.owners = whole.owners;
    for (auto const& [name, value] : whole.tensors) {
        auto const entry = find_meta_tensor(name);
        if (count == 1 || !entry || entry->rule.across == division::none) {
            result.tensors.emplace(name, value);
            continue;
        }
        std::size_t const axis = entry->rule.across == division::rows ? 0 : 1;
        if (axis >= value.shape.size() || value.shape[axis] % count != 0)
            throw mismatch_error(name + ": has the shape " + shape_text(value.shape)
                                 + ", which cannot be divided among " + std::to_string(count) + " files");
        std::size_t const part = value.shape[axis] / count;
        result.tensors.emplace(name, slice(value, axis, rank * part, part));
    }
    return result;
}

} // namespace llamavision::checkpoint
