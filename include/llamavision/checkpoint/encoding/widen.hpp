// SPDX-License-Identifier: Apache-2.0
// Tensors as another type of element, made on demand: blocks that no kernel reads become single values.
#pragma once

#include <llamavision/checkpoint/tensor.hpp>
#include <llamavision/support/separate.hpp>

#include <cstddef>
#include <span>

namespace llamavision::checkpoint {

/// Values of type `from`, in whole blocks, as values of `to`, one of F32, F16 and BF16.
LLAMAVISION_INLINE void retype(dtype from, std::span<std::byte const> bytes, dtype to, std::span<std::byte> result);

/// The values of `from` as `type`, one of F32, F16 and BF16, rounded to nearest, ties to even. F32 holds the values of
/// every block type exactly as gguf-py gives them; F16 is off by at most 2^-12 of a value, BF16 by 2^-9. Throws
/// mismatch_error if `from` holds no real numbers.
[[nodiscard]] LLAMAVISION_INLINE tensor retyped(tensor from, dtype type);

/// The types of blocks that kernels compute with as they are stored.
[[nodiscard]] constexpr bool is_computed_in_blocks(dtype type) { return type == dtype::q8_0 || type == dtype::q4_0; }

/// Gives every tensor of a block type that no kernel reads the plain type `type`.
LLAMAVISION_INLINE void widen_blocks(named_tensors& tensors, dtype type);

} // namespace llamavision::checkpoint

#if !defined(LLAMAVISION_SEPARATE)
#include <llamavision/checkpoint/encoding/widen.ipp>
#endif
