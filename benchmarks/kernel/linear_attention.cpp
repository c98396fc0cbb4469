// SPDX-License-Identifier: Apache-2.0
// Products and attention at the shapes of the 11B model, in the formats of checkpoints, beside what the machine can
// do in the same second: a loop of fused multiply-adds in registers, and a plain read of memory. Look at `of_limit`.
#include <string>

#include "limits.hpp"

namespace {

using namespace limits;

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
            state, b.threads() == 1, "GB/s", static_cast<double>(bytes.size()) * 2, [&] { return reading(b); }, run);
    else
        compare(
            state, b.threads() == 1, "GF/s", 2.0 * static_cast<double>(p.rows) * static_cast<double>(w.size()),
            [&] { return operations(b, kind::floats); }, run);
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
            state, b.threads() == 1, "GB/s", static_cast<double>(k.size()) * 8, [&] { return reading(b); }, run);
    else
        compare(
            state, b.threads() == 1, "GF/s",
            4.0 * static_cast<double>(rows * shape.heads) * static_cast<double>(keys * shape.head_dim),
            [&] { return operations(b, kind::floats); }, run);
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
