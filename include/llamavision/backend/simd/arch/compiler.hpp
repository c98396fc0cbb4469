// SPDX-License-Identifier: Apache-2.0
// What the kernels need of a compiler: its intrinsics, and loops unrolled. Register tiles are arrays in loops of
// constant length; they become registers only once the loops are gone.
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

/// Stores that went past the caches are in no order with others; after this, whoever is told of them finds them.
inline void settle_streams() {
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
