// SPDX-License-Identifier: Apache-2.0
// What every checkpoint reader yields: named tensors that view bytes which somebody keeps mapped.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace llamavision::checkpoint {

/// Element types that occur in checkpoints of this model. Only f32, f16 and bf16 carry weights.
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
    f8_e5m2
};

/// Bytes of one element.
[[nodiscard]] constexpr std::size_t size_of(dtype type) {
    switch (type) {
    case dtype::f64:
    case dtype::i64:
    case dtype::u64: return 8;
    case dtype::f32:
    case dtype::i32:
    case dtype::u32: return 4;
    case dtype::f16:
    case dtype::bf16:
    case dtype::i16:
    case dtype::u16: return 2;
    default: return 1;
    }
}

/// The spelling of safetensors: "F32", "BF16", ...
[[nodiscard]] constexpr std::string_view name_of(dtype type) {
    constexpr std::string_view names[] = {"F32", "F16", "BF16", "F64", "I64",  "I32",     "I16",    "I8",
                                          "U64", "U32", "U16",  "U8",  "BOOL", "F8_E4M3", "F8_E5M2"};
    return names[static_cast<std::size_t>(type)];
}

/// A view of one tensor's bytes: row-major, slowest dimension first, little-endian, at any alignment.
struct tensor {
    dtype type = dtype::f32;
    std::vector<std::size_t> shape;
    std::span<std::byte const> bytes; ///< product(shape) * size_of(type) bytes
};

/// Tensors by name, together with whatever keeps their bytes alive.
struct named_tensors {
    std::map<std::string, tensor, std::less<>> tensors;
    std::vector<std::shared_ptr<void const>> owners;
};

} // namespace llamavision::checkpoint
