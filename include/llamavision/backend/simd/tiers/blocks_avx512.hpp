// SPDX-License-Identifier: Apache-2.0
// Products with q8 and q4 on AVX-512 with VNNI: one instruction multiplies 64 pairs of bytes, and adds them to sixteen
// sums.
#pragma once

#include <bit>
#include <cstring>
#include <limits>

#include <llamavision/backend/simd/arch/arch.hpp>
#include <llamavision/backend/simd/arch/compiler.hpp>
#include <llamavision/backend/simd/blocks/kernels.hpp>

#if defined(__x86_64__)
#define LLAMAVISION_TARGET __attribute__((target("avx512f,avx512vnni,avx2,fma,f16c")))
#define LLAMAVISION_LANE LLAMAVISION_TARGET __attribute__((always_inline)) inline

namespace llamavision::inline LLAMAVISION_ARCH::blocks::avx512 {

struct lanes {
    /// A vector type of the compiler: g++ 12 keeps arrays of these in registers, but spills arrays of __m512i.
    using ints = int __attribute__((vector_size(64)));
    using floats = __m512;
    static constexpr std::size_t width = 16, rows = 6, panels = 2, rows_side_by_side = 4;
    static constexpr std::size_t parts_at_once = 2;
    static constexpr bool keeps_words = false;
    static constexpr __mmask16 all = 0xffff;

    LLAMAVISION_LANE static ints load(std::uint8_t const* p) { return reinterpret_cast<ints>(_mm512_loadu_si512(p)); }
    LLAMAVISION_LANE static floats load(float const* p) { return _mm512_loadu_ps(p); }
    LLAMAVISION_LANE static floats load(f16 const* p) {
        return _mm512_maskz_cvtph_ps(all, _mm256_loadu_si256(reinterpret_cast<__m256i const*>(p)));
    }
    LLAMAVISION_LANE static void store(float* p, floats a) { _mm512_storeu_ps(p, a); }
    LLAMAVISION_LANE static void store(std::uint8_t* p, ints a) {
        _mm512_storeu_si512(p, reinterpret_cast<__m512i>(a));
    }
    LLAMAVISION_LANE static floats set(float a) { return _mm512_set1_ps(a); }
    LLAMAVISION_LANE static floats fma(floats a, floats b, floats c) { return _mm512_fmadd_ps(a, b, c); }
    LLAMAVISION_LANE static floats scaled(floats n, term const& t) { return fma(n, set(t.scale), set(t.shift)); }
    LLAMAVISION_LANE static ints low(ints a) { return a & 0x0f0f0f0f; }
    LLAMAVISION_LANE static ints high(ints a) { return (a >> 4) & 0x0f0f0f0f; }
    /// Four activations, in every lane.
    LLAMAVISION_LANE static ints four(std::int8_t const* p) {
        std::int32_t word;
        std::memcpy(&word, p, 4);
        return reinterpret_cast<ints>(_mm512_set1_epi32(word));
    }

    template <class F>
    static constexpr std::int32_t zero = F::zero;
    struct dot_products {
        using weights = ints;
        ints sum;

        LLAMAVISION_LANE void begin(std::int32_t start) { sum = reinterpret_cast<ints>(_mm512_set1_epi32(start)); }
        LLAMAVISION_LANE static weights prepare(ints w) { return w; }
        LLAMAVISION_LANE void add(weights w, ints x) {
#if defined(__clang__)
            sum = reinterpret_cast<ints>(_mm512_dpbusd_epi32(
                reinterpret_cast<__m512i>(sum), reinterpret_cast<__m512i>(w), reinterpret_cast<__m512i>(x)));
#else
            sum = __builtin_ia32_vpdpbusd_v16si(sum, w, x);
#endif
        }
        LLAMAVISION_LANE floats finish(std::int32_t) const { return reinterpret_cast<floats>(sum); }
    };
    template <class F>
    using sums = dot_products;
};

#define LLAMAVISION_UNROLL_PARTS LLAMAVISION_UNROLL
#include <llamavision/backend/simd/blocks/blocks.inc>
#undef LLAMAVISION_UNROLL_PARTS

} // namespace llamavision::LLAMAVISION_ARCH::blocks::avx512

#undef LLAMAVISION_TARGET
#undef LLAMAVISION_LANE
#endif
