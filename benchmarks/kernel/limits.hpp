// SPDX-License-Identifier: Apache-2.0
// What the machine can do in the same second as a kernel: loops of one instruction in registers, and a plain read of
// memory. Other guests of a machine change both figures alike, so their ratio is what to look at.
#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <functional>
#include <vector>

#include <llamavision/backend/simd/simd.hpp>

namespace limits {

using namespace llamavision;

/// Seconds that `f` takes: on one thread those that the thread ran, whoever else wanted its core; else those of the
/// wall.
inline double seconds(bool alone, std::function<void()> const& f) {
    auto const now = [alone] {
        if (!alone) return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
        timespec t;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
        return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
    };
    double const start = now();
    f();
    return now() - start;
}

/// Rounds of about a millisecond.
inline constexpr std::size_t rounds = 100'000;

#if defined(__x86_64__)
/// 24 independent chains of sixteen lanes; returns the floating-point operations done, as all of these do.
__attribute__((target("avx512f"))) inline double fma_avx512() {
    __m512 sums[24];
    __m512 const a = _mm512_set1_ps(0.999f), b = _mm512_set1_ps(0.001f);
    LLAMAVISION_UNROLL
    for (int i = 0; i < 24; ++i) sums[i] = _mm512_set1_ps(static_cast<float>(i)); // equal chains would be merged
    for (std::size_t n = 0; n < rounds; ++n) {
        LLAMAVISION_UNROLL
        for (int i = 0; i < 16; ++i) sums[i] = _mm512_fmadd_ps(sums[i], a, b);
        LLAMAVISION_UNROLL
        for (int i = 16; i < 24; ++i) sums[i] = _mm512_fmadd_ps(sums[i], a, b);
    }
    float all[16] = {};
    for (int i = 1; i < 24; ++i) sums[0] = _mm512_add_ps(sums[0], sums[i]);
    _mm512_storeu_ps(all, sums[0]);
    benchmark::DoNotOptimize(all);
    return static_cast<double>(rounds) * 24 * 16 * 2;
}

__attribute__((target("avx2,fma"))) inline double fma_avx2() {
    __m256 sums[12];
    __m256 const a = _mm256_set1_ps(0.999f), b = _mm256_set1_ps(0.001f);
    LLAMAVISION_UNROLL
    for (int i = 0; i < 12; ++i) sums[i] = _mm256_set1_ps(static_cast<float>(i));
    for (std::size_t n = 0; n < rounds; ++n) {
        LLAMAVISION_UNROLL
        for (int i = 0; i < 12; ++i) sums[i] = _mm256_fmadd_ps(sums[i], a, b);
    }
    float all[8] = {};
    for (int i = 1; i < 12; ++i) sums[0] = _mm256_add_ps(sums[0], sums[i]);
    _mm256_storeu_ps(all, sums[0]);
    benchmark::DoNotOptimize(all);
    return static_cast<double>(rounds) * 12 * 8 * 2;
}

__attribute__((target("avx512f,avx512bf16,avx512vnni"))) inline double pairs_avx512(bool integers) {
    __m512 sums[12];
    __m512i const a = _mm512_set1_epi32(0x3f803f80);
    LLAMAVISION_UNROLL
    for (int i = 0; i < 12; ++i) sums[i] = _mm512_set1_ps(static_cast<float>(i));
    if (integers)
        for (std::size_t n = 0; n < rounds; ++n) {
            LLAMAVISION_UNROLL
            for (int i = 0; i < 12; ++i) sums[i] = (__m512)_mm512_dpbusd_epi32((__m512i)sums[i], a, a);
        }
    else
        for (std::size_t n = 0; n < rounds; ++n) {
            LLAMAVISION_UNROLL
            for (int i = 0; i < 12; ++i) sums[i] = _mm512_dpbf16_ps(sums[i], (__m512bh)a, (__m512bh)a);
        }
    float all[16] = {};
    for (int i = 1; i < 12; ++i) sums[0] = _mm512_add_ps(sums[0], sums[i]);
    _mm512_storeu_ps(all, sums[0]);
    benchmark::DoNotOptimize(all);
    return static_cast<double>(rounds) * 12 * 16 * (integers ? 8 : 4);
}

__attribute__((target("amx-tile,amx-bf16,amx-int8,avx512f"))) inline double tiles(bool integers) {
    alignas(64) static unsigned char const zeros[1024] = {};
    amx::configure(16);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_loadd(4, zeros, 64);
    _tile_loadd(5, zeros, 64);
    _tile_loadd(6, zeros, 64);
    _tile_loadd(7, zeros, 64);
    std::size_t const n = rounds / 10;
    for (std::size_t i = 0; i < n; ++i)
        if (integers) {
            _tile_dpbusd(0, 4, 6);
            _tile_dpbusd(1, 4, 7);
            _tile_dpbusd(2, 5, 6);
            _tile_dpbusd(3, 5, 7);
        } else {
            _tile_dpbf16ps(0, 4, 6);
            _tile_dpbf16ps(1, 4, 7);
            _tile_dpbf16ps(2, 5, 6);
            _tile_dpbf16ps(3, 5, 7);
        }
    _tile_release();
    return static_cast<double>(n) * 4 * 16 * 16 * (integers ? 128 : 64);
}
#endif

inline double fma_baseline() {
    simd_ops::floats sums[12];
    simd_ops::floats const a(0.999f), b(0.001f);
    for (std::size_t i = 0; i < 12; ++i) sums[i] = simd_ops::floats(static_cast<float>(i));
    for (std::size_t n = 0; n < rounds; ++n) {
        LLAMAVISION_UNROLL
        for (int i = 0; i < 12; ++i) sums[i] = simd_ops::fma(sums[i], a, b);
    }
    for (int i = 1; i < 12; ++i) sums[0] = sums[0] + sums[i];
    benchmark::DoNotOptimize(simd_ops::sum(sums[0]));
    return static_cast<double>(rounds) * 12 * simd_ops::width * 2;
}

/// What a kernel multiplies.
enum class kind { floats, bf16, integers };

/// One loop of the tier's best instruction for that kind: operations done.
inline double loop(tier level, [[maybe_unused]] kind what) {
#if defined(__x86_64__)
    if (what != kind::floats && level == tier::amx) return tiles(what == kind::integers);
    if (what != kind::floats && level == tier::avx512_bf16) return pairs_avx512(what == kind::integers);
    if (level >= tier::avx512) return fma_avx512();
    if (level == tier::avx2) return fma_avx2();
#endif
    static_cast<void>(level);
    return fma_baseline();
}

/// Operations a second, all threads together.
inline double operations(simd const& b, kind what) {
    std::vector<double> done(b.threads());
    double const time = seconds(
        b.threads() == 1, [&] { b.pool()->run(b.threads(), [&](std::size_t i) { done[i] = loop(b.level(), what); }); });
    double sum = 0;
    for (double d : done) sum += d;
    return sum / time;
}

/// Bytes a second that all threads together read from memory too large for most caches.
inline double reading(simd const& b) {
    static std::vector<std::uint64_t> const memory(std::size_t{1} << 26, 1); // 512 MiB
    constexpr std::size_t chunk = std::size_t{1} << 18;
    double const time = seconds(b.threads() == 1, [&] {
        b.pool()->run(memory.size() / chunk, [&](std::size_t i) {
            std::uint64_t sums[8] = {};
            constexpr std::size_t stream = chunk / 4; // four at once: one alone does not keep memory busy
            for (std::size_t j = i * chunk; j < i * chunk + stream; j += 8)
                for (std::size_t s = 0; s < 4; ++s)
                    for (std::size_t k = 0; k < 8; ++k) sums[k] += memory[j + s * stream + k];
            benchmark::DoNotOptimize(sums);
        });
    });
    return static_cast<double>(memory.size() * sizeof(std::uint64_t)) / time;
}

/// Runs `f`, a limit before every round, `alone` on one thread. Reports the best rate of either and their share, and
/// the median share: on a machine with neighbours the best is what the kernel can do, the median what it did.
inline void compare(benchmark::State& state, bool alone, char const* unit, double work,
                    std::function<double()> const& limit, std::function<void()> const& f) {
    f();
    std::vector<double> rates, possible;
    for ([[maybe_unused]] auto const& round : state) {
        possible.push_back(limit());
        double const time = seconds(alone, f);
        state.SetIterationTime(time);
        rates.push_back(work / time);
    }
    std::sort(rates.begin(), rates.end());
    std::sort(possible.begin(), possible.end());
    state.counters[unit] = rates.back() * 1e-9;
    state.counters["of_limit"] = rates.back() / possible.back();
    state.counters["median_of_limit"] = rates[rates.size() / 2] / possible[possible.size() / 2];
}

} // namespace limits
