// SPDX-License-Identifier: Apache-2.0
// Converts values to another type, a few thousand at a time.
#pragma once

#include <llamavision/checkpoint/encoding/convert.hpp>
#include <llamavision/checkpoint/encoding/decode.hpp>
#include <llamavision/checkpoint/encoding/widen.hpp>
#include <llamavision/support/error.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace llamavision::checkpoint {

LLAMAVISION_INLINE void retype(dtype from, std::span<std::byte const> bytes, dtype to, std::span<std::byte> result) {
    rounding lost;
    if (!is_block_type(from))
        return detail::convert(from, bytes.data(), to, result.data(), bytes.size() / size_of(from), lost);
    std::array<float, 4096> values; // a multiple of every block's values
    std::size_t const piece = bytes_of(from, values.size());
    while (!bytes.empty()) {
        auto const now = bytes.first(std::min(piece, bytes.size()));
        std::size_t const count = now.size() / block_of(from).bytes * block_of(from).values;
        detail::decode(from, now, values.data());
        detail::convert(dtype::f32, reinterpret_cast<std::byte const*>(values.data()), to, result.data(), count, lost);
        bytes = bytes.subspan(now.size());
        result = result.subspan(count * size_of(to));
    }
}

LLAMAVISION_INLINE tensor retyped(tensor from, dtype type) {
    if (from.type == type) return from;
    if (!is_plain_weight(from.type) && !is_block_type(from.type))
        throw mismatch_error("values of " + std::string(name_of(from.type)) + " cannot become "
                             + std::string(name_of(type)));
    tensor result{type, from.shape, {}, {}};
    if (from.stored && computed_type(*from.stored, type) == type) {
        result.make = [m = from.stored, type](std::span<std::byte> to) { dequantise(*m, 0, m->rows, type, to); };
        return result;
    }
    result.make = [from = std::move(from), type](std::span<std::byte> to) {
        std::vector<std::byte> buffer;
        retype(from.type, bytes_of(from, buffer), type, to);
    };
    return result;
}

LLAMAVISION_INLINE void widen_blocks(named_tensors& tensors, dtype type) {
    for (auto& [name, value] : tensors.tensors)
        if (is_block_type(value.type) && !is_computed_in_blocks(value.type)) value = retyped(std::move(value), type);
}

} // namespace llamavision::checkpoint
