// SPDX-License-Identifier: Apache-2.0
// How a kernel is written, once, for a GPU and for the host that tests it.
//
// A kernel is a struct of pointers and extents. Its operator() says what one block of threads does, step by step. A
// step runs f(t) for every thread t: `block.each(f)`, after which all threads wait for each other, or `block.alone(f)`,
// if no thread needs what another has written since they last waited. Operations of several threads have names: `sum`
// over a block, `warp_sum`, `quad_max`, `mma`. `copy_async` starts a copy of 16 bytes, or of zeros, to shared memory:
// the thread may read them after `wait_for_copies`, the others after the next `sync`. What a thread keeps between steps
// is `own` memory; what the block shares is the kernel's `shared`.
//
// On a GPU (device/block.cuh) a step is the thread's own code, and `own` is its registers. On the host
// (tests/cuda/emulation/device.hpp) a step is a loop over threads, and `own` is an array. So tests run the same code
// that GPUs run.
//
// `mma` is the tensor cores' product C (16, 8) += A (16, 16) B (16, 8) in every warp, in the registers of mma.m16n8k16.
// Lane 4g + c holds, of A, rows g and g + 8, columns 2c, 2c + 1, 2c + 8, 2c + 9; of B, rows 2c, 2c + 1, 2c + 8, 2c + 9,
// column g; of C, rows g and g + 8, columns 2c, 2c + 1. For the product of 8 columns, A and B have half of these.
// Source: PTX ISA, "Matrix fragments for mma.m16n8k16", "... mma.m16n8k8".
//
// `load_tiles` reads four tiles of (8, 8) from shared memory: lane l names the address of row l % 8 of tile l / 8, and
// lane 4g + c gets row g, columns 2c, 2c + 1 of each tile; with `load_transposed_tiles` it gets rows 2c, 2c + 1, column
// g. Source: PTX ISA, "ldmatrix".
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>

#include <llamavision/support/ceil_div.hpp>
#include <llamavision/support/error.hpp>
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

/// The `shared` of kernels that need no shared memory.
struct nothing {};

/// What our own kernels multiply by tensor cores: nothing before compute capability 7.5, f16 from 7.5 on, bfloat16
/// from 8.0 on.
enum class cores : unsigned char { none, f16, bf16 };

/// The numbers of blocks of a launch.
struct grid {
    std::size_t x = 1, y = 1, z = 1;
};

/// Whether such a kernel runs on every GPU: bytes of arguments and of shared memory, and threads of a block.
template <class Kernel>
inline constexpr bool fits_a_launch = sizeof(Kernel) <= 4096 && sizeof(typename Kernel::shared) <= 49'152
                                      && Kernel::threads <= 1024;
/// Whether a launch may have so many blocks: at least one, and not too many.
constexpr bool fits_a_launch_of(grid blocks) {
    auto const within = [](std::size_t n, std::size_t most) { return n > 0 && n <= most; };
    return within(blocks.x, 0x7fffffff) && within(blocks.y, 0xffff) && within(blocks.z, 0xffff);
}

/// Into how many parts a sum of that length is split, so that every processor has two blocks of threads; but no part is
/// shorter than `least`.
[[nodiscard]] constexpr std::uint32_t parts_for(std::size_t blocks, std::size_t processors, std::size_t length,
                                                std::size_t least, std::size_t most) {
    std::size_t const wanted = ceil_div(2 * processors, blocks > 0 ? blocks : 1), filled = length / least;
    std::size_t const within = wanted < filled ? wanted : filled, parts = within < most ? within : most;
    return static_cast<std::uint32_t>(parts > 0 ? parts : 1);
}

#if defined(__CUDACC__)
/// Loads a value as another type, in one wide access. The address must be a multiple of that type's alignment.
template <class T>
LLAMAVISION_KERNEL T load(void const* p) {
    return *static_cast<T const*>(p);
}
/// The same for values that only one thread reads: they are not kept in the cache, where others would be evicted.
template <class T>
LLAMAVISION_KERNEL T load_once(void const* p) {
    static_assert(sizeof(T) % 4 == 0);
    struct words {
        std::uint32_t w[sizeof(T) / 4];
    } read;
    auto& w = read.w;
    if constexpr (sizeof(T) == 16)
        asm("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
            : "=r"(w[0]), "=r"(w[1]), "=r"(w[2]), "=r"(w[3])
            : "l"(p));
    else if constexpr (sizeof(T) == 8)
        asm("ld.global.nc.L1::no_allocate.v2.u32 {%0, %1}, [%2];" : "=r"(w[0]), "=r"(w[1]) : "l"(p));
    else
        asm("ld.global.nc.L1::no_allocate.u32 %0, [%1];" : "=r"(w[0]) : "l"(p));
    return std::bit_cast<T>(read);
}
template <class T>
LLAMAVISION_KERNEL void save(void* p, T const& value) {
    *static_cast<T*>(p) = value;
}
#else
/// @throws device_error if the address is not a multiple of the alignment: a GPU would stop there
template <class T>
void aligned_for(void const* p) {
    if (reinterpret_cast<std::uintptr_t>(p) % alignof(T) != 0)
        throw device_error("a kernel takes " + std::to_string(sizeof(T)) + " bytes at once from where they do not lie");
}
template <class T>
T load(void const* p) {
    aligned_for<T>(p);
    T value;
    std::memcpy(&value, p, sizeof(T));
    return value;
}
template <class T>
T load_once(void const* p) {
    return load<T>(p);
}
template <class T>
void save(void* p, T const& value) {
    aligned_for<T>(p);
    std::memcpy(p, &value, sizeof(T));
}
#endif

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
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    bf16 y;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
    return y;
#else
    return bf16::round(x);
#endif
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

/// 2^x, with an error of a few units in the last place; zero if the result would be subnormal.
LLAMAVISION_KERNEL inline float exp2_of(float x) {
#if defined(__CUDA_ARCH__)
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
#else
    return x < -126.0f ? 0.0f : exp2f(x);
#endif
}

/// Two values of 16 bits in a word, the first in its lower half, as tensor cores read them.
template <class T>
LLAMAVISION_KERNEL std::uint32_t pair_of(float first, float second) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800 // one instruction there
    std::uint32_t pair;
    if constexpr (std::is_same_v<T, bf16>)
        asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
    else
        asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
    return pair;
#else
    return static_cast<std::uint32_t>(narrow<T>(first).bits) | static_cast<std::uint32_t>(narrow<T>(second).bits) << 16;
#endif
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
#if __CUDA_ARCH__ >= 800 // -1 · b + a: bfloat16 has no subtraction before 9.0
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
