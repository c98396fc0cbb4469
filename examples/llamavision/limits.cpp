// SPDX-License-Identifier: Apache-2.0
// The loops that measure the limits: so many independent sums in registers that no instruction waits for a result.
#include "limits.hpp"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <new>
#include <vector>

#include <unistd.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <llamavision/backend/simd/arch/targets.hpp>
#include <llamavision/backend/simd/tiers/amx.hpp>
#include <llamavision/support/machine_memory.hpp>

#include "console.hpp"

namespace lv = llamavision;

namespace program {

namespace {

constexpr std::size_t rounds = 1'000'000;
constexpr std::size_t sums = 12; // latency 4 to 6, two a cycle

volatile std::uint64_t sink; // so that compilers do not remove what is computed for it

/// A loop, and the number of operations of one call.
struct loop {
    double operations = 0;
    void (*run)() = nullptr;
};

// Some compilers keep an array of registers in memory, so the twelve sums have names.
#define LLAMAVISION_TWELVE(f) f(0) f(1) f(2) f(3) f(4) f(5) f(6) f(7) f(8) f(9) f(10) f(11)

#if defined(__x86_64__)

#define LLAMAVISION_SUM(k) vector s##k = zero;
#define LLAMAVISION_STEP(k) asm volatile(LLAMAVISION_INSTRUCTION : "+v"(s##k) : "v"(a), "v"(a));
#define LLAMAVISION_KEEP(k) asm volatile("" : : "v"(s##k));
#define LLAMAVISION_LOOP                                                                                               \
    LLAMAVISION_TWELVE(LLAMAVISION_SUM)                                                                                \
    for (std::size_t i = 0; i < rounds; ++i) { LLAMAVISION_TWELVE(LLAMAVISION_STEP) }                                  \
    LLAMAVISION_TWELVE(LLAMAVISION_KEEP)

__attribute__((target("avx512f"))) void f32_avx512() {
    using vector = __m512;
    vector const zero = _mm512_setzero_ps(), a = zero;
#define LLAMAVISION_INSTRUCTION "vfmadd231ps %1, %2, %0"
    LLAMAVISION_LOOP
}

__attribute__((target("avx2,fma"))) void f32_avx2() {
    using vector = __m256;
    vector const zero = _mm256_setzero_ps(), a = zero;
    LLAMAVISION_LOOP
}

__attribute__((target("avx512f,avx512bf16"))) void bf16_avx512() {
    using vector = __m512;
    vector const zero = _mm512_setzero_ps(), a = zero;
#undef LLAMAVISION_INSTRUCTION
#define LLAMAVISION_INSTRUCTION "vdpbf16ps %1, %2, %0"
    LLAMAVISION_LOOP
}

__attribute__((target("avx512f,avx512vnni"))) void int8_avx512() {
    using vector = __m512i;
    vector const zero = _mm512_setzero_si512(), a = zero;
#undef LLAMAVISION_INSTRUCTION
#define LLAMAVISION_INSTRUCTION "vpdpbusd %1, %2, %0"
    LLAMAVISION_LOOP
}

/// Without dot products: bytes to pairs, pairs to fours, and an addition.
__attribute__((target("avx2"))) void int8_avx2() {
    using vector = __m256i;
    vector const zero = _mm256_setzero_si256(), a = _mm256_set1_epi8(1);
#undef LLAMAVISION_INSTRUCTION
#define LLAMAVISION_INSTRUCTION "vpmaddubsw %1, %2, %%ymm15; vpmaddwd %1, %%ymm15, %%ymm15; vpaddd %%ymm15, %0, %0"
#undef LLAMAVISION_STEP
#define LLAMAVISION_STEP(k) asm volatile(LLAMAVISION_INSTRUCTION : "+x"(s##k) : "x"(a), "x"(a) : "xmm15");
    LLAMAVISION_LOOP
}

/// AMX: sums of 16 × 16, of which four are independent.
__attribute__((target("amx-tile,amx-bf16,amx-int8,avx512f"))) void tiles(bool integers) {
    alignas(64) static unsigned char const zeros[1024] = {};
    lv::amx::configure(16);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_loadd(4, zeros, 64);
    _tile_loadd(5, zeros, 64);
    _tile_loadd(6, zeros, 64);
    _tile_loadd(7, zeros, 64);
    for (std::size_t i = 0; i < rounds / 10; ++i)
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
}
void bf16_tiles() { tiles(false); }
void int8_tiles() { tiles(true); }

void f32_sse() {
    using vector = __m128;
    vector const zero = _mm_setzero_ps(), a = zero;
#undef LLAMAVISION_INSTRUCTION
#define LLAMAVISION_INSTRUCTION "movaps %1, %%xmm15; mulps %2, %%xmm15; addps %%xmm15, %0"
    LLAMAVISION_LOOP
}

loop best_f32() {
    if (__builtin_cpu_supports("avx512f")) return {sums * 32.0 * rounds, f32_avx512};
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return {sums * 16.0 * rounds, f32_avx2};
    return {sums * 8.0 * rounds, f32_sse};
}
loop best_bf16() {
    if (lv::available(lv::tier::amx)) return {4.0 * 2 * 16 * 16 * 32 * (rounds / 10), bf16_tiles};
    if (__builtin_cpu_supports("avx512bf16")) return {sums * 64.0 * rounds, bf16_avx512};
    return {};
}
loop best_int8() {
    if (lv::available(lv::tier::amx)) return {4.0 * 2 * 16 * 16 * 64 * (rounds / 10), int8_tiles};
    if (__builtin_cpu_supports("avx512vnni")) return {sums * 128.0 * rounds, int8_avx512};
    if (__builtin_cpu_supports("avx2")) return {sums * 64.0 * rounds, int8_avx2};
    return {};
}

#else

using four_floats = float __attribute__((vector_size(16)));

void f32_vectors() {
    four_floats s[sums] = {};
    four_floats a = {1, 1, 1, 1};
    for (std::size_t i = 0; i < rounds; ++i) {
        asm volatile("" : "+w"(a));
        for (std::size_t k = 0; k < sums; ++k) s[k] += a * a;
    }
    for (four_floats& one : s) sink = sink + static_cast<std::uint64_t>(one[0]);
}

loop best_f32() { return {sums * 8.0 * rounds, f32_vectors}; }
loop best_bf16() { return {}; }
loop best_int8() { return {}; }

#endif

using block = std::uint64_t __attribute__((vector_size(32)));

#if defined(__x86_64__)
__attribute__((target("avx2"))) std::uint64_t read_avx2(block const* from, std::size_t count) {
    auto const* const p = reinterpret_cast<__m256i const*>(from);
    __m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;
    for (std::size_t i = 0; i + 4 <= count; i += 4) {
        a = _mm256_xor_si256(a, _mm256_load_si256(p + i));
        b = _mm256_xor_si256(b, _mm256_load_si256(p + i + 1));
        c = _mm256_xor_si256(c, _mm256_load_si256(p + i + 2));
        d = _mm256_xor_si256(d, _mm256_load_si256(p + i + 3));
    }
    __m256i const all = _mm256_xor_si256(_mm256_xor_si256(a, b), _mm256_xor_si256(c, d));
    return static_cast<std::uint64_t>(_mm256_extract_epi64(all, 0));
}
#endif

std::uint64_t read_blocks(block const* from, std::size_t count) {
    std::uint64_t all = 0;
    auto const* const one = reinterpret_cast<std::uint64_t const*>(from);
    for (std::size_t i = 0; i < count * 4; ++i) all ^= one[i];
    return all;
}

void read_all(block const* from, std::size_t count) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) {
        sink = read_avx2(from, count);
        return;
    }
#endif
    sink = read_blocks(from, count);
}

} // namespace

struct limit_probe::memory {
    // Allocated here, as std::vector ignores the alignment of such a type.
    struct release {
        void operator()(block* p) const { ::operator delete (p, std::align_val_t{64}); }
    };
    std::size_t count;
    std::unique_ptr<block, release> data{
        static_cast<block*>(::operator new (count * sizeof(block), std::align_val_t{64}))};
};

limit_probe::limit_probe(lv::thread_pool& pool) : pool_(pool) {
    std::size_t size = std::size_t{256} << 20;
#if defined(_SC_LEVEL3_CACHE_SIZE)
    if (auto const cache = ::sysconf(_SC_LEVEL3_CACHE_SIZE); cache > 0)
        size = std::max(size, 2 * static_cast<std::size_t>(cache));
#endif
    size = std::min(size, std::max(lv::machine_memory() / 16, std::size_t{64} << 20));
    memory_.reset(new memory{size / sizeof(block)});
    std::fill_n(memory_->data.get(), memory_->count, block{1, 2, 3, 4});
}
limit_probe::~limit_probe() = default;

std::size_t limit_probe::bytes() const { return memory_->count * sizeof(block); }

limits limit_probe::measure() {
    std::size_t const threads = pool_.threads(), pieces = 16 * threads;
    auto const rate = [&](double work, auto const& f, std::size_t chunks) {
        stopwatch watch;
        pool_.run(chunks, f);
        return work / watch.seconds();
    };
    auto const computes = [&](loop const& l) {
        if (!l.run) return 0.0;
        return rate(
            l.operations * static_cast<double>(threads), [&](std::size_t) { l.run(); }, threads);
    };
    limits most;
    for (int again = 0; again < 3; ++again) { // other programs may use a core for a while
        most.f32 = std::max(most.f32, computes(best_f32()));
        most.bf16 = std::max(most.bf16, computes(best_bf16()));
        most.int8 = std::max(most.int8, computes(best_int8()));
        std::size_t const piece = memory_->count / pieces;
        most.read =
            std::max(most.read, rate(
                                    static_cast<double>(piece * pieces * sizeof(block)),
                                    [&](std::size_t i) { read_all(memory_->data.get() + i * piece, piece); }, pieces));
    }
    return most;
}

limits between(limits const& before, limits const& after) {
    limits mean;
    for (double limits::*rate : {&limits::read, &limits::f32, &limits::bf16, &limits::f16, &limits::int8})
        mean.*rate = (before.*rate + after.*rate) / 2;
    return mean;
}

} // namespace program
