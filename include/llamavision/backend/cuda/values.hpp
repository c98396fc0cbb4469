// SPDX-License-Identifier: Apache-2.0
// Weights as kernels read them: value i of a matrix in row-major order, and eight neighbours at a time where they lie
// on 16 bytes. Two formats are the cuda backend's own: `q8_split` and `q4_split` hold the integers of all blocks of 32
// first and their scales after them, so that neighbouring threads read neighbouring words.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <llamavision/backend/cuda/block.hpp>
#include <llamavision/weights/matrix.hpp>

namespace llamavision::gpu {

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

/// GGUF's blocks, as a file has them.
template <class Block>
struct stored_blocks {
    Block const* data = nullptr;
    LLAMAVISION_KERNEL float operator[](std::size_t i) const {
        Block const& b = data[i / Block::values];
        return widen(b.scale) * static_cast<float>(integer_of(b, i % Block::values));
    }
};

/// Integers (count), then from the next multiple of 16 bytes on the scales (count / 32).
struct q8_values {
    std::int8_t const* integers = nullptr;
    f16 const* scales = nullptr;
    LLAMAVISION_KERNEL float operator[](std::size_t i) const {
        return widen(scales[i / 32]) * static_cast<float>(integers[i]);
    }
};
/// The same with two integers in a byte, the first in its lower half, each 8 too large.
struct q4_values {
    std::uint8_t const* pairs = nullptr;
    f16 const* scales = nullptr;
    LLAMAVISION_KERNEL float operator[](std::size_t i) const {
        int const q = pairs[i / 2] >> (i % 2 * 4) & 15;
        return widen(scales[i / 32]) * static_cast<float>(q - 8);
    }
};

/// Bytes before the scales.
constexpr std::size_t integers_of(format type, std::size_t count) {
    return divided_up(type == format::q8_split ? count : count / 2, 16) * 16;
}

struct alignas(16) four_words {
    std::uint32_t w[4];
};
struct alignas(8) two_words {
    std::uint32_t w[2];
};

// Values i ... i + 7, where i is a multiple of 8 and the data lies on 16 bytes.

LLAMAVISION_KERNEL inline void load_eight(f32_values v, std::size_t i, float (&to)[8]) {
    LLAMAVISION_CUDA_UNROLL
    for (std::size_t half = 0; half < 2; ++half) {
        four_words const words = load<four_words>(v.data + i + 4 * half);
        LLAMAVISION_CUDA_UNROLL
        for (std::size_t k = 0; k < 4; ++k) to[4 * half + k] = std::bit_cast<float>(words.w[k]);
    }
}
LLAMAVISION_KERNEL inline void load_eight(bf16_values v, std::size_t i, float (&to)[8]) {
    four_words const words = load<four_words>(v.data + i);
    LLAMAVISION_CUDA_UNROLL
    for (std::size_t k = 0; k < 4; ++k) {
        to[2 * k] = first_of<bf16>(words.w[k]);
        to[2 * k + 1] = second_of<bf16>(words.w[k]);
    }
}
LLAMAVISION_KERNEL inline void load_eight(f16_values v, std::size_t i, float (&to)[8]) {
    four_words const words = load<four_words>(v.data + i);
    LLAMAVISION_CUDA_UNROLL
    for (std::size_t k = 0; k < 4; ++k) {
        to[2 * k] = first_of<f16>(words.w[k]);
        to[2 * k + 1] = second_of<f16>(words.w[k]);
    }
}
LLAMAVISION_KERNEL inline void load_eight(q8_values v, std::size_t i, float (&to)[8]) {
    two_words const words = load<two_words>(v.integers + i);
    float const scale = widen(v.scales[i / 32]);
    LLAMAVISION_CUDA_UNROLL
    for (std::size_t k = 0; k < 8; ++k)
        to[k] = scale * static_cast<float>(static_cast<std::int8_t>(words.w[k / 4] >> (k % 4 * 8) & 255u));
}
LLAMAVISION_KERNEL inline void load_eight(q4_values v, std::size_t i, float (&to)[8]) {
    auto const word = load<std::uint32_t>(v.pairs + i / 2);
    float const scale = widen(v.scales[i / 32]);
    LLAMAVISION_CUDA_UNROLL
    for (std::size_t k = 0; k < 8; ++k) to[k] = scale * static_cast<float>(static_cast<int>(word >> (4 * k) & 15u) - 8);
}

/// Calls `f` with the weight as one of the types above.
template <class F>
void visit_values(matrix const& m, F&& f) {
    auto const* const bytes = static_cast<std::byte const*>(m.data);
    auto const scales = [&] { return reinterpret_cast<f16 const*>(bytes + integers_of(m.type, m.size())); };
    switch (m.type) {
    case format::f16:
    case format::f16_cores: return f(f16_values{static_cast<f16 const*>(m.data)});
    case format::bf16:
    case format::bf16_cores: return f(bf16_values{static_cast<bf16 const*>(m.data)});
    case format::q8: return f(stored_blocks<q8_0>{static_cast<q8_0 const*>(m.data)});
    case format::q4: return f(stored_blocks<q4_0>{static_cast<q4_0 const*>(m.data)});
    case format::q8_split: return f(q8_values{static_cast<std::int8_t const*>(m.data), scales()});
    case format::q4_split: return f(q4_values{static_cast<std::uint8_t const*>(m.data), scales()});
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

/// Whether `load_eight` reads values of that type.
template <class Values>
inline constexpr bool in_eights = requires(Values v, float (&to)[8]) {
    load_eight(v, std::size_t{}, to);
};

} // namespace llamavision::gpu
