// SPDX-License-Identifier: Apache-2.0
// Decodes block types to floats, by a type that is known at run time.
#pragma once

#include <llamavision/checkpoint/tensor.hpp>
#include <llamavision/weights/blocks.hpp>

#include <cstddef>
#include <span>

namespace llamavision::checkpoint::detail {

/// Decodes whole blocks of `type`.
inline void decode(dtype type, std::span<std::byte const> bytes, float* to) {
    switch (type) {
    case dtype::q4_0: return decode_blocks<q4_0>(bytes, to);
    case dtype::q4_1: return decode_blocks<q4_1>(bytes, to);
    case dtype::q5_0: return decode_blocks<q5_0>(bytes, to);
    case dtype::q5_1: return decode_blocks<q5_1>(bytes, to);
    case dtype::q8_0: return decode_blocks<q8_0>(bytes, to);
    case dtype::q4_k: return decode_blocks<q4_k>(bytes, to);
    case dtype::q5_k: return decode_blocks<q5_k>(bytes, to);
    default: return decode_blocks<q6_k>(bytes, to);
    }
}

} // namespace llamavision::checkpoint::detail
