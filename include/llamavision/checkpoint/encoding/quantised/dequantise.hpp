// SPDX-License-Identifier: Apache-2.0
// The values of a quantised matrix, exactly as the library that wrote it computes them.
#pragma once

#include <llamavision/checkpoint/encoding/quantised/matrix.hpp>
#include <llamavision/support/separate.hpp>

#include <cstddef>
#include <memory>
#include <span>

namespace llamavision::checkpoint {

/// The type in which the values of `m` are computed where they are wanted as `wanted`. It can differ from both: then
/// the computed values are converted.
[[nodiscard]] constexpr dtype computed_type(quantised_matrix const& m, dtype wanted) {
    return m.follows_load && (wanted == dtype::f16 || wanted == dtype::bf16) ? wanted : m.native;
}

/// Writes the values of the rows [first, first + count) into `to`.
/// @param type computed_type(m, ...)
/// @param to count * m.columns * size_of(type) bytes
/// @throws format_error, naming the module, for a scale that is infinite or NaN
LLAMAVISION_INLINE void dequantise(quantised_matrix const& m, std::size_t first, std::size_t count, dtype type,
                                   std::span<std::byte> to);

/// The matrix as a tensor of its native type, whose bytes are made when they are asked for.
[[nodiscard]] LLAMAVISION_INLINE tensor tensor_of(std::shared_ptr<quantised_matrix const> m);

} // namespace llamavision::checkpoint

#if !defined(LLAMAVISION_SEPARATE)
#include <llamavision/checkpoint/encoding/quantised/dequantise.ipp>
#endif
