// SPDX-License-Identifier: Apache-2.0
// LLAMAVISION_ARCH: the instruction set that this translation unit is compiled for, as the name of an inline namespace.
// The whole backend lies in it, because inline functions compiled with other -m flags are other functions: a linker
// that found one symbol for both would keep either, and a program could run instructions that its machine lacks. With
// LLAMAVISION_SEPARATE (support/separate.hpp) the backend is compiled once, and there is one name.
#pragma once

#if defined(LLAMAVISION_SEPARATE)
#define LLAMAVISION_ARCH compiled_separately
#elif defined(__AVX512BW__)
#define LLAMAVISION_ARCH compiled_for_avx512bw
#elif defined(__AVX512F__)
#define LLAMAVISION_ARCH compiled_for_avx512f
#elif defined(__AVX2__) && defined(__FMA__)
#define LLAMAVISION_ARCH compiled_for_avx2_fma
#elif defined(__AVX2__)
#define LLAMAVISION_ARCH compiled_for_avx2
#elif defined(__AVX__) && defined(__FMA__)
#define LLAMAVISION_ARCH compiled_for_avx_fma
#elif defined(__AVX__)
#define LLAMAVISION_ARCH compiled_for_avx
#elif defined(__SSE4_2__)
#define LLAMAVISION_ARCH compiled_for_sse4_2
#elif defined(__SSE4_1__)
#define LLAMAVISION_ARCH compiled_for_sse4_1
#elif defined(__SSSE3__)
#define LLAMAVISION_ARCH compiled_for_ssse3
#elif defined(__SSE3__)
#define LLAMAVISION_ARCH compiled_for_sse3
#elif defined(__ARM_FEATURE_SVE2)
#define LLAMAVISION_ARCH compiled_for_sve2
#elif defined(__ARM_FEATURE_SVE)
#define LLAMAVISION_ARCH compiled_for_sve
#elif defined(__ARM_FEATURE_MATMUL_INT8)
#define LLAMAVISION_ARCH compiled_for_neon64_i8mm
#elif defined(__ARM_FEATURE_DOTPROD)
#define LLAMAVISION_ARCH compiled_for_neon64_dotprod
#elif defined(__aarch64__)
#define LLAMAVISION_ARCH compiled_for_neon64
#else
#define LLAMAVISION_ARCH compiled_for_baseline
#endif
