// SPDX-License-Identifier: Apache-2.0
// Named tensors, which every reader of checkpoints returns. A tensor views bytes in memory, or has a function that
// makes them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace llamavision::checkpoint {

struct quantised_matrix; // encoding/quantised/matrix.hpp

/// Types of values in checkpoints. Weights are f32, f16, bf16, or of one of GGUF's block types, where
/// `block_of(type).values` consecutive values of a row share a scale.
enum class dtype : std::uint8_t {
    f32,
    f16,
    bf16,
    f64,
    i64,
    i32,
    i16,
    i8,
    u64,
    u32,
    u16,
    u8,
    boolean,
    f8_e4m3,
    f8_e5m2,
    f8_e8m0,
    q4_0,
    q4_1,
    q5_0,
    q5_1,
    q8_0,
    q4_k,
    q5_k,
    q6_k
};

/// The unit in which a type is stored: so many values in so many bytes.
struct block {
    std::size_t values;
    std::size_t bytes;
};

/// The unit of `type`: a single value, except for GGUF's block types.
[[nodiscard]] constexpr block block_of(dtype type) {
    switch (type) {
    case dtype::f64:
    case dtype::i64:
    case dtype::u64: return {1, 8};
    case dtype::f32:
    case dtype::i32:
    case dtype::u32: return {1, 4};
    case dtype::f16:
    case dtype::bf16:
    case dtype::i16:
    case dtype::u16: return {1, 2};
    case dtype::q4_0: return {32, 18};
    case dtype::q4_1: return {32, 20};
    case dtype::q5_0: return {32, 22};
    case dtype::q5_1: return {32, 24};
    case dtype::q8_0: return {32, 34};
    case dtype::q4_k: return {256, 144};
    case dtype::q5_k: return {256, 176};
    case dtype::q6_k: return {256, 210};
    default: return {1, 1};
    }
}

/// Bytes of one value.
/// @pre the type is not a block type
[[nodiscard]] constexpr std::size_t size_of(dtype type) { return block_of(type).bytes; }

/// Bytes of `count` values.
/// @pre `count` is a multiple of block_of(type).values, and the result fits into std::size_t
[[nodiscard]] constexpr std::size_t bytes_of(dtype type, std::size_t count) {
    return count / block_of(type).values * block_of(type).bytes;
}

/// Whether the type holds weights as single values.
[[nodiscard]] constexpr bool is_plain_weight(dtype type) {
    return type == dtype::f32 || type == dtype::f16 || type == dtype::bf16;
}

[[nodiscard]] constexpr bool is_block_type(dtype type) { return block_of(type).values > 1; }

/// The type's name as safetensors spells it ("F32", "BF16", ...) and, for block types, as GGUF does ("Q4_0", "Q6_K",
/// ...).
[[nodiscard]] constexpr std::string_view name_of(dtype type) {
    constexpr std::string_view names[] = {"F32",  "F16",  "BF16", "F64",  "I64",  "I32",     "I16",     "I8",
                                          "U64",  "U32",  "U16",  "U8",   "BOOL", "F8_E4M3", "F8_E5M2", "F8_E8M0",
                                          "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K",    "Q5_K",    "Q6_K"};
    return names[static_cast<std::size_t>(type)];
}

/// One tensor: row-major, slowest dimension first, little-endian. Its bytes are in memory, usually in a mapped file and
/// at any alignment; or `make` produces them: rows in another order, merged shards, an added adapter.
struct tensor {
    dtype type = dtype::f32;
    std::vector<std::size_t> shape;
    std::span<std::byte const> bytes; ///< bytes_of(type, product(shape)) bytes; empty if `make` is set
    /// Writes all of the tensor's bytes into the argument. May throw what reading throws. Several threads may call it
    /// at the same time.
    std::function<void(std::span<std::byte>)> make{};
    /// Of a matrix that several tensors of the file make together: what they hold. `make` dequantises it.
    std::shared_ptr<quantised_matrix const> stored{};
};

/// Number of values: product(shape).
/// @pre the product fits into std::size_t, which readers check
[[nodiscard]] inline std::size_t values_of(tensor const& t) {
    std::size_t count = 1;
    for (std::size_t const n : t.shape) count *= n;
    return count;
}

/// Bytes of the tensor, whether they are in memory or have to be made.
[[nodiscard]] inline std::size_t size_in_bytes(tensor const& t) { return bytes_of(t.type, values_of(t)); }

/// Tensors by name, and the owners of the memory that they view or that `make` reads.
struct named_tensors {
    std::map<std::string, tensor, std::less<>> tensors;
    std::vector<std::shared_ptr<void const>> owners;
};

/// The tensor's bytes. If they have to be made, they are written into `buffer`, which can be used again for the next
/// tensor.
[[nodiscard]] inline std::span<std::byte const> bytes_of(tensor const& t, std::vector<std::byte>& buffer) {
    if (!t.make) return t.bytes;
    buffer.resize(size_in_bytes(t));
    t.make(buffer);
    return buffer;
}

} // namespace llamavision::checkpoint
