// SPDX-License-Identifier: Apache-2.0
// How a kernel sees a weight: a pointer, a storage format, and two extents.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include <llamavision/support/half.hpp>

namespace llamavision {

/// Storage formats of weights. A kernel widens to float on the way into its accumulators.
enum class format : std::uint8_t { f32, f16, bf16 };

/// Bytes that `count` consecutive values take.
[[nodiscard]] constexpr std::size_t bytes_of(format type, std::size_t count) {
    return count * (type == format::f32 ? 4 : 2);
}

[[nodiscard]] constexpr std::string_view name_of(format type) {
    return type == format::f32 ? "f32" : type == format::f16 ? "f16" : "bf16";
}

/// A weight in memory, row-major (rows, columns), aligned to its element. A vector has one row.
/// The bytes belong to the checkpoint's mapping or to the model that bound it.
struct matrix {
    void const* data = nullptr;
    format type = format::f32;
    std::size_t rows = 0;
    std::size_t columns = 0;

    [[nodiscard]] constexpr std::size_t size() const { return rows * columns; }
    /// The values of an f32 matrix: what norms, biases and gates are bound as.
    [[nodiscard]] float const* floats() const { return static_cast<float const*>(data); }
};

/// Calls `f` with the data as a pointer to its element type: the one switch from run-time format to typed kernel.
template <class F>
decltype(auto) visit(matrix const& m, F&& f) {
    switch (m.type) {
    case format::f16: return f(static_cast<f16 const*>(m.data));
    case format::bf16: return f(static_cast<bf16 const*>(m.data));
    default: return f(static_cast<float const*>(m.data));
    }
}

} // namespace llamavision
