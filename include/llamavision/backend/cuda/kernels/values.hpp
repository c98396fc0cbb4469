// SPDX-License-Identifier: Apache-2.0
// Weights as kernels read them: value i of a matrix in row-major order, and eight neighbours at a time where they lie
// on 16 bytes. Blocks in the cuda backend's own layout have the integers of all blocks of 32 first and their scales
// after them, so that neighbouring threads read neighbouring words. Within a word neighbouring values lie 16 bits
// apart, so that a mask takes out a pair as tensor cores read it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <llamavision/backend/cuda/kernels/block.hpp>
#include <llamavision/support/ceil_div.hpp>
#include <llamavision/weights/matrix.hpp>

namespace llamavision::gpu {

/// The cuda backend's own layout, for products on tensor cores: blocks with their scales apart. Matrices of f16 and
/// bf16 have their values in rows as well, but activations are rounded to their type.
inline constexpr weight_layout for_cores{"for tensor cores"};

struct f32_values {
    float const* data = nullptr;
    LLAMAVISION_KERNEL float operator[](std::size_t i) const { return data[i]; }
};
struct f16_values {
    f16 const* data = nullptr;
    LLAMAVISION_KERNEL float operator[](std::size_t i) const { return widen(data[i]); }
};
struct bf16_values {
    bf16 const* data = nullptr;
    LLAMAVISION_KERNEL float operator[](std::size_t i) const { return widen(data[i]); }
};

/// GGUF's blocks, as in a file.
template <class Block>
struct stored_blocks {
    Block const* data = nullptr;
    LLAMAVISION_KERNEL float operator[](std::size_t i) const {
        Block const& b = data[i / Block::values];
        return widen(b.scale) * static_cast<float>(integer_of(b, i % Block::values));
    }
};

/// The place of value i in a word of `of` values: even ones are in the lower half, odd ones in the upper half.
constexpr std::size_t place_in_word(std::size_t i, std::size_t of) { return i % 2 * (of / 2) + i % of / 2; }

/// Integers (count), four in a word; then, from the next multiple of 16 bytes on, the scales (count / 32).
struct q8_values {
    std::int8_t const* integers = nullptr;
    f16 const* scales = nullptr;
    LLAMAVISION_KERNEL float operator[](std::size_t i) const {
        std::size_t const place = i / 4 * 4 + place_in_word(i, 4);
        return widen(scales[i / 32]) * static_cast<float>(integers[place]);
    }
};
/// The same with eight integers in a word; 8 is added to each.
struct q4_values {
    std::uint8_t const* pairs = nullptr;
    f16 const* scales = nullptr;
    LLAMAVISION_KERNEL float operator[](std::size_t i) const {
        std::size_t const place = place_in_word(i, 8);
        int const q = pairs[i / 8 * 4 + place / 2] >> (place % 2 * 4) & 15;
        return widen(scales[i / 32]) * static_cast<float>(q - 8);
    }
};

/// Bytes before the scales.
constexpr std::size_t integers_of(format type, std::size_t count) {
    return round_up(type == format::q8 ? count : count / 2, 16);
}

struct alignas(16) four_words {
    std::uint32_t w[4];
};
struct alignas(8) two_words {
    std::uint32_t w[2];
};

// Values i ... i + 7, where i is a multiple of 8 and the data is aligned to 16 bytes. `eight_at` loads them as they
// are, so that they are in flight while others are used; `widen_eight` makes floats of them.

struct f32_eight {
    four_words half[2];
};
template <class T>
struct half_eight {
    four_words pairs;
};
struct q8_eight {
    two_words integers;
    f16 scale;
};
struct q4_eight {
    std::uint32_t integers;
    f16 scale;
};

LLAMAVISION_KERNEL inline f32_eight eight_at(f32_values v, std::size_t i) {
    return {{load_once<four_words>(v.data + i), load_once<four_words>(v.data + i + 4)}};
}
LLAMAVISION_KERNEL inline half_eight<bf16> eight_at(bf16_values v, std::size_t i) {
    return {load_once<four_words>(v.data + i)};
}
LLAMAVISION_KERNEL inline half_eight<f16> eight_at(f16_values v, std::size_t i) {
    return {load_once<four_words>(v.data + i)};
}
LLAMAVISION_KERNEL inline q8_eight eight_at(q8_values v, std::size_t i) {
    return {load_once<two_words>(v.integers + i), v.scales[i / 32]};
}
LLAMAVISION_KERNEL inline q4_eight eight_at(q4_values v, std::size_t i) {
    return {load_once<std::uint32_t>(v.pairs + i / 2), v.scales[i / 32]};
}

LLAMAVISION_KERNEL inline void widen_eight(f32_eight const& v, float (&to)[8]) {
    LLAMAVISION_CUDA_UNROLL
    for (std::size_t k = 0; k < 8; ++k) to[k] = std::bit_cast<float>(v.half[k / 4].w[k % 4]);
}
template <class T>
LLAMAVISION_KERNEL void widen_eight(half_eight<T> const& v, float (&to)[8]) {
    LLAMAVISION_CUDA_UNROLL
    for (std::size_t k = 0; k < 4; ++k) {
        to[2 * k] = first_of<T>(v.pairs.w[k]);
        to[2 * k + 1] = second_of<T>(v.pairs.w[k]);
    }
}
LLAMAVISION_KERNEL inline void widen_eight(q8_eight const& v, float (&to)[8]) {
    float const scale = widen(v.scale);
    LLAMAVISION_CUDA_UNROLL
    for (std::size_t k = 0; k < 8; ++k)
        to[k] = scale
                * static_cast<float>(static_cast<std::int8_t>(v.integers.w[k / 4] >> (8 * place_in_word(k, 4)) & 255u));
}
LLAMAVISION_KERNEL inline void widen_eight(q4_eight const& v, float (&to)[8]) {
    float const scale = widen(v.scale);
    LLAMAVISION_CUDA_UNROLL
    for (std::size_t k = 0; k < 8; ++k)
        to[k] = scale * static_cast<float>(static_cast<int>(v.integers >> (4 * place_in_word(k, 8)) & 15u) - 8);
}

/// Loads eight floats that several threads read.
LLAMAVISION_KERNEL inline void load_eight(float const* from, float (&to)[8]) {
    widen_eight(f32_eight{{load<four_words>(from), load<four_words>(from + 4)}}, to);
}

// The integers of values i ... i + 7 as pairs of a 16-bit float type, exactly. The last bit of 128 in bfloat16, and of
// 1024 in f16, counts ones: an integer put into the lowest bits is added to that number, and a subtraction gives it
// exactly.

template <class T>
inline constexpr std::uint32_t counted_from = std::is_same_v<T, bf16> ? 0x43004300u : 0x64006400u;

template <class T>
LLAMAVISION_KERNEL void integer_pairs(q8_values, two_words const& words, std::uint32_t (&to)[4]) {
    LLAMAVISION_CUDA_UNROLL
    for (std::size_t k = 0; k < 4; ++k) { // in two's complement, bit 7 counts -128
        std::uint32_t const q = words.w[k / 2] >> (k % 2 * 8);
        to[k] = minus<T>(counted_from<T> | (q & 0x007f007fu), counted_from<T> | (q & 0x00800080u));
    }
}
template <class T>
LLAMAVISION_KERNEL void integer_pairs(q4_values, std::uint32_t word, std::uint32_t (&to)[4]) {
    LLAMAVISION_CUDA_UNROLL
    for (std::size_t k = 0; k < 4; ++k)
        to[k] = minus<T>(counted_from<T> | (word >> (4 * k) & 0x000f000fu), counted_from<T> | 0x00080008u);
}

/// Calls `f` with the weight as one of the types above.
template <class F>
void visit_values(matrix const& m, F&& f) {
    auto const* const bytes = static_cast<std::byte const*>(m.data);
    auto const scales = [&] { return reinterpret_cast<f16 const*>(bytes + integers_of(m.type, m.size())); };
    if (m.layout != &for_cores) check_is_in_rows(m);
    switch (m.type) {
    case format::f16: return f(f16_values{static_cast<f16 const*>(m.data)});
    case format::bf16: return f(bf16_values{static_cast<bf16 const*>(m.data)});
    case format::q8:
        if (m.layout) return f(q8_values{static_cast<std::int8_t const*>(m.data), scales()});
        return f(stored_blocks<q8_0>{static_cast<q8_0 const*>(m.data)});
    case format::q4:
        if (m.layout) return f(q4_values{static_cast<std::uint8_t const*>(m.data), scales()});
        return f(stored_blocks<q4_0>{static_cast<q4_0 const*>(m.data)});
    default: return f(f32_values{m.floats()});
    }
}

/// The weight as the type that `visit_values` calls with. @pre it does
template <class Values>
[[nodiscard]] Values values_as(matrix const& m) {
    Values as;
    visit_values(m, [&]<class Own>(Own own) {
        if constexpr (std::is_same_v<Own, Values>) as = own;
    });
    return as;
}

/// Whether `eight_at` has an overload for that type.
template <class Values>
inline constexpr bool in_eights = requires(Values v) {
    eight_at(v, std::size_t{});
};

/// Whether `integer_pairs` has an overload for that type.
template <class Values>
inline constexpr bool in_integers = std::is_same_v<Values, q8_values> || std::is_same_v<Values, q4_values>;

} // namespace llamavision::gpu
