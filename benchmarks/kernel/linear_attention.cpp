// SPDX-License-Identifier: Apache-2.0
// Products and attention at the shapes of the 11B model, beside what the machine can do in the same second: a loop of
// fused multiply-adds in registers, and a plain read of memory. Look at `of_limit`; other guests of a machine change
// both figures alike.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <llamavision/backend/simd/simd.hpp>

namespace {

using namespace llamavision;

/// Seconds that `f` takes.
double seconds(std::function<void()> const& f) {
    auto const start = std::chrono::steady_clock::now();
    f();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

constexpr std::size_t fma_rounds = 2'000'000;

#if defined(__x86_64__)
/// 24 independent chains of sixteen lanes; returns the floating-point operations done.
__attribute__((target("avx512f"))) double fma_avx512() {
    __m512 sums[24];
    __m512 const a = _mm512_set1_ps(0.999f), b = _mm512_set1_ps(0.001f);
    LLAMAVISION_UNROLL
    for (int i = 0; i < 24; ++i) sums[i] = _mm512_set1_ps(static_cast<float>(i)); // equal chains would be merged
    for (std::size_t n = 0; n < fma_rounds; ++n) {
        LLAMAVISION_UNROLL
        for (int i = 0; i < 16; ++i) sums[i] = _mm512_fmadd_ps(sums[i], a, b);
        LLAMAVISION_UNROLL
        for (int i = 16; i < 24; ++i) sums[i] = _mm512_fmadd_ps(sums[i], a, b);
    }
    float all[16] = {};
    for (int i = 1; i < 24; ++i) sums[0] = _mm512_add_ps(sums[0], sums[i]);
    _mm512_storeu_ps(all, sums[0]);
    benchmark::DoNotOptimize(all);
    return static_cast<double>(fma_rounds) * 24 * 16 * 2;
}

__attribute__((target("avx2,fma"))) double fma_avx2() {
    __m256 sums[12];
    __m256 const a = _mm256_set1_ps(0.999f), b = _mm256_set1_ps(0.001f);
    LLAMAVISION_UNROLL
    for (int i = 0; i < 12; ++i) sums[i] = _mm256_set1_ps(static_cast<float>(i));
    for (std::size_t n = 0; n < fma_rounds; ++n) {
        LLAMAVISION_UNROLL
        for (int i = 0; i < 12; ++i) sums[i] = _mm256_fmadd_ps(sums[i], a, b);
    }
    float all[8] = {};
    for (int i = 1; i < 12; ++i) sums[0] = _mm256_add_ps(sums[0], sums[i]);
    _mm256_storeu_ps(all, sums[0]);
    benchmark::DoNotOptimize(all);
    return static_cast<double>(fma_rounds) * 12 * 8 * 2;
}
#endif

double fma_baseline() {
    simd_words::floats sums[12];
    simd_words::floats const a(0.999f), b(0.001f);
    for (std::size_t i = 0; i < 12; ++i) sums[i] = simd_words::floats(static_cast<float>(i));
    for (std::size_t n = 0; n < fma_rounds; ++n) {
        LLAMAVISION_UNROLL
        for (int i = 0; i < 12; ++i) sums[i] = simd_words::fma(sums[i], a, b);
    }
    for (int i = 1; i < 12; ++i) sums[0] = sums[0] + sums[i];
    benchmark::DoNotOptimize(simd_words::sum(sums[0]));
    return static_cast<double>(fma_rounds) * 12 * simd_words::width * 2;
}

/// Multiply-adds a second, all threads together, as floating-point operations.
double measured_flops(simd const& b) {
    std::vector<double> done(b.threads());
    double const time = seconds([&] {
        b.pool()->run(b.threads(), [&](std::size_t i) {
#if defined(__x86_64__)
            done[i] = b.level() == tier::avx512 ? fma_avx512() : b.level() == tier::avx2 ? fma_avx2() : fma_baseline();
#else
            done[i] = fma_baseline();
#endif
        });
    });
    double sum = 0;
    for (double d : done) sum += d;
    return sum / time;
}

/// Bytes a second that all threads together read from memory too large for any cache.
double measured_bandwidth(simd const& b) {
    static std::vector<std::uint64_t> const memory(std::size_t{1} << 26, 1); // 512 MiB
    constexpr std::size_t chunk = std::size_t{1} << 18;
    double const time = seconds([&] {
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

/// Runs `f`, a limit before every round, and reports the median rate and its share of the limit.
void compare(benchmark::State& state, char const* unit, double work, std::function<double()> const& limit,
             std::function<void()> const& f) {
    f();
    std::vector<double> rates, shares;
    for ([[maybe_unused]] auto const& round : state) {
        double const possible = limit();
        double const time = seconds(f);
        state.SetIterationTime(time);
        rates.push_back(work / time);
        shares.push_back(work / time / possible);
    }
    auto const median = [](std::vector<double>& v) {
        std::sort(v.begin(), v.end());
        return v[v.size() / 2];
    };
    state.counters[unit] = median(rates) * 1e-9;
    state.counters["of_limit"] = median(shares);
}

struct product {
    char const* name;
    std::size_t rows, columns, outputs;
};

void linear(benchmark::State& state, product const& p, format type, simd const& b) {
    std::vector<std::uint16_t> const bytes(p.outputs * p.columns * bytes_of(type, 1) / 2, 0x3c00);
    std::vector<float> const x(p.rows * p.columns, 0.5f);
    std::vector<float> y(p.rows * p.outputs);
    matrix const w = {bytes.data(), type, p.outputs, p.columns};
    auto const run = [&] { b.linear(w, nullptr, x.data(), p.rows, y.data()); };
    if (p.rows == 1)
        compare(
            state, "GB/s", static_cast<double>(bytes.size()) * 2, [&] { return measured_bandwidth(b); }, run);
    else
        compare(
            state, "GF/s", 2.0 * static_cast<double>(p.rows) * static_cast<double>(w.size()),
            [&] { return measured_flops(b); }, run);
}

void attend(benchmark::State& state, attention_shape const& shape, std::size_t rows, std::size_t keys, simd const& b) {
    std::vector<float> const q(rows * shape.heads * shape.head_dim, 0.1f);
    std::vector<float> const k(keys * shape.kv_heads * shape.head_dim, 0.2f), v(k);
    std::vector<float> y(q.size());
    std::vector<key_block> const blocks = {{k.data(), v.data(), nullptr, keys}};
    query_group const group = {0, rows, blocks, false};
    auto const run = [&] { b.attend(q.data(), shape, {&group, 1}, y.data()); };
    if (rows == 1)
        compare(
            state, "GB/s", static_cast<double>(k.size()) * 8, [&] { return measured_bandwidth(b); }, run);
    else
        compare(
            state, "GF/s", 4.0 * static_cast<double>(rows * shape.heads) * static_cast<double>(keys * shape.head_dim),
            [&] { return measured_flops(b); }, run);
}

} // namespace

int main(int argc, char** argv) {
    product const products[] = {
        {"vision_fc1", 6432, 1280, 5120}, {"vision_fc2", 6432, 5120, 1280},  {"vision_q", 6432, 1280, 1280},
        {"projector", 6404, 7680, 4096},  {"prefill_gate", 64, 4096, 14336}, {"prefill_down", 64, 14336, 4096},
        {"decode_gate", 1, 4096, 14336},  {"decode_down", 1, 14336, 4096},   {"decode_lm_head", 1, 4096, 128256}};
    for (tier level : {tier::baseline, tier::avx2, tier::avx512}) {
        if (!available(level)) continue;
        simd const b(simd_options{0, level, nullptr});
        std::string const suffix = "/" + std::string(name_of(level));
        auto const add = [&](std::string const& name, auto const& f) {
            benchmark::RegisterBenchmark((name + suffix).c_str(), f)->UseManualTime()->Unit(benchmark::kMillisecond);
        };
        for (product const& p : products)
            for (format type : {format::f32, format::f16, format::bf16})
                add("linear/" + std::string(p.name) + "/" + std::string(name_of(type)),
                    [p, type, b](benchmark::State& state) { linear(state, p, type, b); });
        add("attend/vision", [b](benchmark::State& state) { attend(state, {16, 16, 80}, 6432, 6432, b); });
        add("attend/prefill_image", [b](benchmark::State& state) { attend(state, {32, 8, 128}, 64, 6404, b); });
        add("attend/decode_image", [b](benchmark::State& state) { attend(state, {32, 8, 128}, 1, 6404, b); });
    }
    benchmark::Initialize(&argc, argv);
    benchmark::RunSpecifiedBenchmarks();
}
