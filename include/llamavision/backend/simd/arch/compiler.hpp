// SPDX-License-Identifier: Apache-2.0
// What the kernels need from a compiler: intrinsics, and unrolled loops. A kernel's sums are an array that loops of
// constant length go over; the compiler puts them into registers only after it has unrolled those loops.
#pragma once

#if defined(__x86_64__)
#if defined(__GNUC__) && !defined(__clang__) // g++ 12 warns of its own AVX-512 intrinsics (GCC bug 105593)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace llamavision {

/// To be called after non-temporal stores, before another thread is told that the values are there: such stores are not
/// ordered with others.
inline void fence_non_temporal_stores() {
#if defined(__x86_64__)
    _mm_sfence();
#endif
}

} // namespace llamavision

#if defined(__clang__)
#define LLAMAVISION_UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define LLAMAVISION_UNROLL _Pragma("GCC unroll 16")
#else
#define LLAMAVISION_UNROLL
#endif
