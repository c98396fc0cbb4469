// SPDX-License-Identifier: Apache-2.0
// Products with q8 and q4 at the shapes of the 11B model's text, on one thread and on all: one row or a few beside a
// plain read of memory, many beside the loop of the instruction that multiplies bytes. --long adds the head's whole
// vocabulary.
#include <memory>
#include <string>
#include <string_view>

#include <llamavision/support/aligned_bytes.hpp>

#include "limits.hpp"

namespace {

using namespace limits;

struct product {
    char const* name;
    std::size_t columns, outputs;
};

/// Panels of noise: their bytes are what a checkpoint's would be, and no block is like its neighbour.
std::shared_ptr<std::byte> noise(std::size_t bytes) {
    std::shared_ptr<std::byte> const room = aligned_bytes(bytes);
    std::uint64_t state = 1;
    auto* const words = reinterpret_cast<std::uint64_t*>(room.get());
    for (std::size_t i = 0; i < bytes / 8; ++i) // scales are at most 2, as are all halves without their highest bits
        words[i] = (state = state * 6364136223846793005u + 1442695040888963407u) & 0x3fff3fff3fff3fffu;
    return room;
}

void linear(benchmark::State& state, product const& p, std::size_t rows, weight_format f, simd const& b) {
    matrix const extents{nullptr, format::f32, p.outputs, p.columns};
    std::size_t const bytes = b.repacked_bytes(extents, f);
    std::shared_ptr<std::byte> const room = noise(bytes);
    matrix const w = b.repacked_at(extents, f, room.get());
    std::vector<float> const x(rows * p.columns, 0.5f);
    std::vector<float> y(rows * p.outputs);
    auto const run = [&] { b.linear(w, nullptr, x.data(), rows, y.data()); };
    if (rows <= 8)
        compare(
            state, b.threads() == 1, "GB/s", static_cast<double>(bytes), [&] { return reading(b); }, run);
    else
        compare(
            state, b.threads() == 1, "GOP/s", 2.0 * static_cast<double>(rows) * static_cast<double>(w.size()),
            [&] { return operations(b, kind::integers); }, run);
}

} // namespace

int main(int argc, char** argv) {
    bool longer = false;
    for (int i = 1; i < argc; ++i) longer = longer || std::string_view(argv[i]) == "--long";
    product const products[] = {{"gate", 4096, 14336},
                                {"down", 14336, 4096},
                                {"query", 4096, 4096},
                                {"keys", 4096, 1024},
                                {"head", 4096, std::size_t{longer ? 128256u : 32768u}}};
    for (std::size_t const threads : {std::size_t{1}, std::size_t{0}})
        for (product const& p : products)
            for (weight_format const f : {weight_format::q8, weight_format::q4})
                for (std::size_t const rows : {1u, 2u, 4u, 8u, 16u, 64u, 256u})
                    for (tier const level : {tier::baseline, tier::avx2, tier::avx512_bf16}) {
                        bool const many = rows > 8; // the loop of bytes is AVX-512's
                        if (!available(level) || (many && level != tier::avx512_bf16)) continue;
                        simd const b(simd_options{threads, level, nullptr});
                        std::string const name = std::string(p.name) + "/" + std::string(name_of(f)) + "/"
                                                 + std::to_string(rows) + (rows == 1 ? "_row/" : "_rows/")
                                                 + std::string(name_of(level))
                                                 + (threads == 1 ? "/1_thread" : "/all_threads");
                        benchmark::RegisterBenchmark(
                            name.c_str(), [p, rows, f, b](benchmark::State& state) { linear(state, p, rows, f, b); })
                            ->UseManualTime()
                            ->Unit(benchmark::kMillisecond);
                    }
    benchmark::Initialize(&argc, argv);
    benchmark::RunSpecifiedBenchmarks();
}
