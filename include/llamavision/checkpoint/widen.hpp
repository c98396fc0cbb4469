// SPDX-License-Identifier: Apache-2.0
// Tensors as another type of element, made on demand: blocks that no kernel reads become single values.
#pragma once

#include <llamavision/checkpoint/decode.hpp>
#include <llamavision/checkpoint/pour.hpp>
#include <llamavision/checkpoint/tensor.hpp>
#include <llamavision/support/error.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace llamavision::checkpoint {

namespace detail {

/// `bytes` of `from` as `to`, a few thousand values at a time.
inline void retype(dtype from, std::span<std::byte const> bytes, dtype to, std::span<std::byte> result) {
    rounding lost;
    if (!is_block_type(from)) return convert(from, bytes.data(), to, result.data(), bytes.size() / size_of(from), lost);
    std::array<float, 4096> values; // a multiple of every block
    std::size_t const piece = bytes_of(from, values.size());
    while (!bytes.empty()) {
        auto const now = bytes.first(std::min(piece, bytes.size()));
        std::size_t const count = now.size() / block_of(from).bytes * block_of(from).values;
        decode(from, now, values.data());
        convert(dtype::f32, reinterpret_cast<std::byte const*>(values.data()), to, result.data(), count, lost);
        bytes = bytes.subspan(now.size());
        result = result.subspan(count * size_of(to));
    }
}

} // namespace detail

/// The values of `from` as `type`, one of F32, F16 and BF16, rounded to nearest, ties to even. F32 holds the values of
/// every block type exactly as gguf-py gives them; F16 is off by at most 2^-12 of a value, BF16 by 2^-9. Throws
/// mismatch_error if `from` holds no real numbers.
[[nodiscard]] inline tensor retyped(tensor from, dtype type) {
    if (from.type == type) return from;
    if (!is_plain_weight(from.type) && !is_block_type(from.type))
        throw mismatch_error("values of " + std::string(name_of(from.type)) + " cannot become "
                             + std::string(name_of(type)));
    tensor result{type, from.shape, {}, {}};
    result.make = [from = std::move(from), type](std::span<std::byte> to) {
        std::vector<std::byte> room;
        detail::retype(from.type, bytes_of(from, room), type, to);
    };
    return result;
}

/// The types of blocks that kernels compute with as they are stored.
[[nodiscard]] constexpr bool is_computed_in_blocks(dtype type) { return type == dtype::q8_0 || type == dtype::q4_0; }

/// Gives every tensor of a block type that no kernel reads the plain type `type`.
inline void widen_blocks(named_tensors& tensors, dtype type) {
    for (auto& [name, value] : tensors.tensors)
        if (is_block_type(value.type) && !is_computed_in_blocks(value.type)) value = retyped(std::move(value), type);
}

} // namespace llamavision::checkpoint
