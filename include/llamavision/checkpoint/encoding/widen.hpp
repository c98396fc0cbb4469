// SPDX-License-Identifier: Apache-2.0
// Tensors as another type, made when their bytes are asked for. Block types that no kernel reads become single values.
#pragma once

#include <llamavision/checkpoint/tensor.hpp>
#include <llamavision/support/separate.hpp>

#include <cstddef>
#include <span>

namespace llamavision::checkpoint {

/// Converts whole blocks of `from` to values of `to`, which is F32, F16 or BF16.
LLAMAVISION_INLINE void retype(dtype from, std::span<std::byte const> bytes, dtype to, std::span<std::byte> result);

/// The tensor with its values as `type`, which is F32, F16 or BF16, rounded to nearest, ties to even. In F32 the values
/// of every block type are exactly those of gguf-py; the relative error of F16 is at most 2^-12, that of BF16 2^-9.
/// @throws mismatch_error if `from` does not hold weights
[[nodiscard]] LLAMAVISION_INLINE tensor retyped(tensor from, dtype type);

/// Whether kernels compute with blocks of that type as they are stored.
[[nodiscard]] constexpr bool is_computed_in_blocks(dtype type) { return type == dtype::q8_0 || type == dtype::q4_0; }

/// Converts every tensor of a block type that no kernel reads to the plain type `type`.
LLAMAVISION_INLINE void widen_blocks(named_tensors& tensors, dtype type);

} // namespace llamavision::checkpoint

#if !defined(LLAMAVISION_SEPARATE)
#include <llamavision/checkpoint/encoding/widen.ipp>
#endif
