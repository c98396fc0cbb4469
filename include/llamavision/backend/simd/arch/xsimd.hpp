// SPDX-License-Identifier: Apache-2.0
// Operations of xsimd under one name each: some changed their names between 8.1 and 14.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <llamavision/backend/simd/arch/arch.hpp>
#include <llamavision/backend/simd/arch/compiler.hpp>
#include <xsimd/xsimd.hpp>

namespace llamavision::inline LLAMAVISION_ARCH::simd_ops {

using floats = xsimd::batch<float>;
using integers = xsimd::batch<std::int32_t>;
inline constexpr std::size_t width = floats::size;

/// a·b + c, rounded once if the instruction set can do that. (xsimd 8.1 rounds twice on AVX-512.)
inline floats fma(floats const& a, floats const& b, floats const& c) {
#if defined(__AVX512F__)
    return _mm512_fmadd_ps(a, b, c);
#else
    return xsimd::fma(a, b, c);
#endif
}

inline float sum(floats const& a) {
#if XSIMD_VERSION_MAJOR < 9
    return xsimd::hadd(a);
#else
    return xsimd::reduce_add(a);
#endif
}

/// The same bits as another type. (The template argument was the batch in xsimd 8.1; later it is the element.)
template <class To, class From>
To cast_bits(From const& a) {
    using element = typename To::value_type;
    if constexpr (std::is_same_v<decltype(xsimd::bitwise_cast<element>(a)), To>)
        return xsimd::bitwise_cast<element>(a);
    else
        return xsimd::bitwise_cast<To>(a);
}

/// 16-bit values as 32-bit integers. (xsimd has no such conversion.)
inline integers widen(std::uint16_t const* p) {
#if defined(__SSE2__) && !defined(__AVX__)
    return _mm_unpacklo_epi16(_mm_loadl_epi64(reinterpret_cast<__m128i const*>(p)), _mm_setzero_si128());
#elif defined(__aarch64__)
    return vreinterpretq_s32_u32(vmovl_u16(vld1_u16(p)));
#else
    std::int32_t values[width];
    for (std::size_t i = 0; i < width; ++i) values[i] = p[i];
    return integers::load_unaligned(values);
#endif
}

/// From binary16 in the low halves. Its exponent and mantissa, moved to where a float has them, are 2^-112 times the
/// value, for subnormal numbers too. A result of 2^16 or more comes from the exponent of infinities and NaNs.
inline floats from_f16(integers const& h) {
#if defined(__aarch64__)
    return vcvt_f32_f16(vreinterpret_f16_s16(vmovn_s32(h)));
#else
    floats const magnitude = cast_bits<floats>((h & integers(0x7fff)) << 13) * floats(0x1p112f);
    floats const special = cast_bits<floats>(cast_bits<integers>(magnitude) | integers(0x7f800000));
    floats const absolute = xsimd::select(magnitude >= floats(65536.0f), special, magnitude);
    return cast_bits<floats>(cast_bits<integers>(absolute) | ((h & integers(0x8000)) << 16));
#endif
}

inline floats load(float const* p) { return floats::load_unaligned(p); }
inline void store(float* p, floats const& a) { a.store_unaligned(p); }

/// The first `count` < width values, then zeros.
inline floats load(float const* p, std::size_t count) {
    float values[width] = {};
    std::copy_n(p, count, values);
    return load(values);
}
inline void store(float* p, floats const& a, std::size_t count) {
    float values[width];
    store(values, a);
    std::copy_n(values, count, p);
}

/// y[i] = f(x[i]...). The last values, which fill no vector, go through the same operations, so that a value's bits do
/// not depend on its place. y may equal an input.
template <class F, class... X>
void map(std::size_t count, float* y, F const& f, X const*... x) {
    std::size_t i = 0;
    for (; i + width <= count; i += width) store(y + i, f(load(x + i)...));
    if (i < count) store(y + i, f(load(x + i, count - i)...), count - i);
}

} // namespace llamavision::LLAMAVISION_ARCH::simd_ops
