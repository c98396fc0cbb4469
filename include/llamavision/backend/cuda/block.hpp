// SPDX-License-Identifier: Apache-2.0
// How a kernel is written: once, for a GPU and for the host that tests it.
//
// A kernel is a struct of pointers and extents whose operator() says what one block of threads does, step by step. In a
// step every thread t does f(t): `block.each(f)`, after which all wait for all, or `block.alone(f)`, where none needs
// what another has written since they last waited. What threads make together has a name: `sum` over a block,
// `warp_sum`, `quad_max`, `mma`. What a thread keeps between steps is `own` memory; what the block shares is the
// kernel's `shared`. On a GPU (device_block.cuh) a step is the thread's own code and `own` its registers; on the host
// (emulated.hpp) a step is a loop over threads and `own` an array, so that tests run the very text that GPUs run.
//
// `mma` is tensor cores' product C (16, 8) += A (16, 16) B (16, 8) in every warp, in the registers of mma.m16n8k16. For
// lane 4g + c: A holds (rows g and g + 8, columns 2c, 2c + 1, and 8 further), B (rows 2c, 2c + 1, and 8 further; column
// g), C (rows g and g + 8; columns 2c, 2c + 1). Those of the products of 8 columns are their halves. Source: PTX ISA,
// "Matrix fragments for mma.m16n8k16", "... mma.m16n8k8".
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include <llamavision/support/half.hpp>
#include <llamavision/weights/block_values.hpp>

#if defined(__CUDACC__)
#define LLAMAVISION_KERNEL __device__
#define LLAMAVISION_CUDA_UNROLL _Pragma("unroll")
#else
#define LLAMAVISION_KERNEL
#define LLAMAVISION_CUDA_UNROLL
#endif

namespace llamavision::gpu {

inline constexpr unsigned warp = 32;

/// What kernels that share nothing share.
struct nothing {};

/// What tensor cores multiply in kernels of our own: nothing before compute capability 7.5, f16 there, and bfloat16
/// from 8.0 on.
enum class cores : unsigned char { none, f16, bf16 };

/// Blocks of a launch.
struct grid {
    std::size_t x = 1, y = 1, z = 1;
};

constexpr std::size_t divided_up(std::size_t a, std::size_t b) { return (a + b - 1) / b; }

/// Into how many parts so long a sum is split: until every processor has two blocks of threads, and no part is shorter
/// than `least`.
[[nodiscard]] constexpr std::uint32_t parts_for(std::size_t blocks, std::size_t processors, std::size_t length,
                                                std::size_t least, std::size_t most) {
    std::size_t const wanted = divided_up(2 * processors, blocks > 0 ? blocks : 1), filled = length / least;
    std::size_t const within = wanted < filled ? wanted : filled, parts = within < most ? within : most;
    return static_cast<std::uint32_t>(parts > 0 ? parts : 1);
}

/// A value of another type at an aligned address: one wide access on a GPU.
template <class T>
LLAMAVISION_KERNEL T load(void const* p) {
#if defined(__CUDA_ARCH__)
    return *static_cast<T const*>(p);
#else
    T value;
    std::memcpy(&value, p, sizeof(T));
    return value;
#endif
}

template <class T>
LLAMAVISION_KERNEL void save(void* p, T const& value) {
#if defined(__CUDA_ARCH__)
    *static_cast<T*>(p) = value;
#else
    std::memcpy(p, &value, sizeof(T));
#endif
}

LLAMAVISION_KERNEL inline float widen(float x) { return x; }
LLAMAVISION_KERNEL inline float widen(bf16 x) { return std::bit_cast<float>(static_cast<std::uint32_t>(x.bits) << 16); }
LLAMAVISION_KERNEL inline float widen(f16 x) {
#if defined(__CUDA_ARCH__)
    float y;
    asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits));
    return y;
#else
    return static_cast<float>(x);
#endif
}

/// The nearest value of a type, ties to even.
template <class T>
LLAMAVISION_KERNEL T narrow(float x);
template <>
LLAMAVISION_KERNEL inline float narrow<float>(float x) {
    return x;
}
template <>
LLAMAVISION_KERNEL inline bf16 narrow<bf16>(float x) {
    return bf16::round(x);
}
template <>
LLAMAVISION_KERNEL inline f16 narrow<f16>(float x) {
#if defined(__CUDA_ARCH__)
    f16 y;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
    return y;
#else
    return f16::round(x);
#endif
}

/// Two values of 16 bits in a word, the first in its lower half: what tensor cores read.
template <class T>
LLAMAVISION_KERNEL std::uint32_t pair_of(float first, float second) {
    return static_cast<std::uint32_t>(narrow<T>(first).bits) | static_cast<std::uint32_t>(narrow<T>(second).bits) << 16;
}
template <class T>
LLAMAVISION_KERNEL float first_of(std::uint32_t pair) {
    return widen(T{static_cast<std::uint16_t>(pair & 0xffffu)});
}
template <class T>
LLAMAVISION_KERNEL float second_of(std::uint32_t pair) {
    return widen(T{static_cast<std::uint16_t>(pair >> 16)});
}

/// The differences of two pairs.
template <class T>
LLAMAVISION_KERNEL std::uint32_t minus(std::uint32_t a, std::uint32_t b) {
    [[maybe_unused]] std::uint32_t difference;
#if defined(__CUDA_ARCH__)
    if constexpr (std::is_same_v<T, f16>) {
        asm("sub.f16x2 %0, %1, %2;" : "=r"(difference) : "r"(a), "r"(b));
        return difference;
    } else {
#if __CUDA_ARCH__ >= 800 // -1 · b + a: bfloat16 has no difference of its own before 9.0
        asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(difference) : "r"(b), "r"(0xbf80bf80u), "r"(a));
        return difference;
#else
        return pair_of<T>(first_of<T>(a) - first_of<T>(b), second_of<T>(a) - second_of<T>(b));
#endif
    }
#else
    return pair_of<T>(first_of<T>(a) - first_of<T>(b), second_of<T>(a) - second_of<T>(b));
#endif
}

} // namespace llamavision::gpu
