// SPDX-License-Identifier: Apache-2.0
// How a kernel sees a weight: a pointer, a storage format, two extents, and a layout.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <llamavision/support/error.hpp>
#include <llamavision/support/half.hpp>
#include <llamavision/weights/block_values.hpp>

namespace llamavision {

/// Storage formats of weights. A kernel widens to float on the way into its accumulators. `q8` and `q4` are blocks of
/// 32 values of a row that share a scale: the bits of GGUF's Q8_0 and Q4_0.
enum class format : std::uint8_t { f32, f16, bf16, q8, q4 };

/// Values that are stored together: 1, or a block's 32. A row of a matrix has whole blocks.
[[nodiscard]] constexpr std::size_t values_per_block(format type) {
    return type == format::q8 ? q8_0::values : type == format::q4 ? q4_0::values : 1;
}

/// Bytes that `count` consecutive values take. @pre `count` is a multiple of values_per_block(type)
[[nodiscard]] constexpr std::size_t bytes_of(format type, std::size_t count) {
    switch (type) {
    case format::f32: return count * 4;
    case format::q8: return count / values_per_block(type) * sizeof(q8_0);
    case format::q4: return count / values_per_block(type) * sizeof(q4_0);
    default: return count * 2;
    }
}

[[nodiscard]] constexpr std::string_view name_of(format type) {
    constexpr std::string_view names[] = {"f32", "f16", "bf16", "q8", "q4"};
    return names[static_cast<std::size_t>(type)];
}

/// An order of a weight's bytes that only the backend that made it can read. A backend declares one object for each
/// order that it has; the object's address is what tells them apart, so layouts of two backends never meet by chance:
///
///     inline constexpr llamavision::weight_layout columns_first{"columns first"};
struct weight_layout {
    std::string_view name; ///< for messages, and for the identity of packed weights

    explicit constexpr weight_layout(std::string_view its_name) : name(its_name) {}
    weight_layout(weight_layout const&) = delete;
    weight_layout& operator=(weight_layout const&) = delete;
};

/// A weight in memory, row-major (rows, columns), aligned to its element (a block's is its scale's). A vector has one
/// row. With a layout, its bytes are in that order, for products only.
/// The bytes belong to the checkpoint's mapping or to the model that bound it.
struct matrix {
    void const* data = nullptr;
    format type = format::f32;
    std::size_t rows = 0;
    std::size_t columns = 0;
    weight_layout const* layout = nullptr; ///< null: rows of `type`, as every backend reads them

    [[nodiscard]] constexpr std::size_t size() const { return rows * columns; }
    /// The values of an f32 matrix: what norms, biases and gates are bound as.
    [[nodiscard]] float const* floats() const { return static_cast<float const*>(data); }
    /// Whether the bytes of both mean the same.
    [[nodiscard]] constexpr bool is_stored_as(matrix const& other) const {
        return type == other.type && layout == other.layout;
    }
};

/// @throws error if the matrix is in a layout, which it names
inline void check_is_in_rows(matrix const& m) {
    if (m.layout)
        throw error("weights in the layout '" + std::string(m.layout->name)
                    + "' are for products of the backend that made them; another kernel was given them");
}

/// Calls `f` with the data as a pointer to its element type, or as `block_values`, which reads like one: the one switch
/// from run-time format to typed kernel.
/// @throws error if the matrix is in a layout
template <class F>
decltype(auto) visit(matrix const& m, F&& f) {
    check_is_in_rows(m);
    switch (m.type) {
    case format::f16: return f(static_cast<f16 const*>(m.data));
    case format::bf16: return f(static_cast<bf16 const*>(m.data));
    case format::q8: return f(block_values{static_cast<q8_0 const*>(m.data)});
    case format::q4: return f(block_values{static_cast<q4_0 const*>(m.data)});
    default: return f(static_cast<float const*>(m.data));
    }
}

} // namespace llamavision
