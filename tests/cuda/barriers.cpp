// SPDX-License-Identifier: Apache-2.0
// What the emulated device sees of barriers: a kernel that lacks one reads what was there before, or what comes after,
// as it may on a GPU.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "../backend/scene.hpp"

namespace gpu = llamavision::gpu;

namespace {

enum class step { with_barrier, without, own_alone, both_write, overwrites };

/// Turns 64 numbers around through shared memory.
template <step How>
struct turn_around {
    static constexpr unsigned threads = 64;
    struct shared {
        float value[threads];
    };
    float const* x;
    float* y;

    template <class Block>
    void operator()(Block& block, shared& s) const {
        auto const write = [&](unsigned t) { s.value[How == step::both_write ? t / 2 : t] = x[t]; };
        auto const read = [&](unsigned t) { y[t] = s.value[How == step::own_alone ? t : threads - 1 - t]; };
        if constexpr (How == step::with_barrier || How == step::overwrites)
            block.each(write);
        else
            block.alone(write);
        block.alone(read);
        if constexpr (How == step::overwrites) block.alone([&](unsigned t) { s.value[t] = 0; });
        block.sync();
    }
};

template <step How>
std::vector<float> run(std::vector<float> const& x, gpu::pace threads) {
    std::vector<float> y(x.size(), -1.0f);
    gpu::emulated_device({.threads = threads}).launch(turn_around<How>{x.data(), y.data()}, {1});
    return y;
}

} // namespace

TEST_CASE(
    "a barrier that is missing is seen, before a read or before a write, and two threads that write to one place") {
    std::vector<float> x(64);
    for (std::size_t i = 0; i < 64; ++i) x[i] = static_cast<float>(i + 1);
    std::vector<float> const around(x.rbegin(), x.rend());
    using enum gpu::pace;
    for (gpu::pace const threads : {together, watched, first_warp, last_warp}) {
        CAPTURE(static_cast<int>(threads));
        CHECK(run<step::with_barrier>(x, threads) == around);
        CHECK(run<step::own_alone>(x, threads) == x); // a thread knows what it has written itself
    }
    for (float const y : run<step::without>(x, watched)) CHECK(std::isnan(y));
    CHECK_THROWS_AS(run<step::both_write>(x, watched), llamavision::device_error);
    for (gpu::pace const threads : {first_warp, last_warp}) {
        CAPTURE(static_cast<int>(threads));
        std::vector<float> const early = run<step::without>(x, threads), late = run<step::overwrites>(x, threads);
        CHECK(std::count_if(early.begin(), early.end(), [](float y) { return std::isnan(y); }) == 32);
        CHECK(std::count(late.begin(), late.end(), 0.0f) == 32);
    }
}

TEST_CASE("the kernels that share memory have their barriers") {
    using namespace backends;
    struct kind {
        gpu::cores with;
        gpu::pace threads;
    };
    std::vector<kind> kinds;
    for (gpu::cores const with : {gpu::cores::bf16, gpu::cores::f16, gpu::cores::none})
        for (gpu::pace const threads : {gpu::pace::watched, gpu::pace::first_warp, gpu::pace::last_warp})
            kinds.push_back({with, threads});
    for (kind const& one : kinds) {
        gpu::cores const with = one.with;
        gpu::pace const threads = one.threads;
        CAPTURE(static_cast<int>(with));
        CAPTURE(static_cast<int>(threads));
        gpu::emulated_options options;
        options.tensor_cores = with;
        options.threads = threads;
        emulated const b(options);
        for (std::size_t dim : {80u, 128u, 200u})
            for (std::size_t rows : {1u, 40u})
                for (bool causal : {false, true})
                    for (bool rounded : {false, true}) {
                        scene s({4, 2, dim, rounded}, rows, {70, 0, 150});
                        s.causal = causal;
                        CHECK(distance(s.run(b), s.expected(), 1.0) < (rounded ? 0x1p-6 : 5e-6));
                    }
        numbers n(1);
        std::vector<float> const x = n.floats(3 * 300), weight = n.floats(300), bias = n.floats(300);
        std::vector<float> y(x.size()), reference(x.size());
        b.rms_norm(x.data(), 3, 300, weight.data(), 1e-5f, y.data());
        lv::scalar{}.rms_norm(x.data(), 3, 300, weight.data(), 1e-5f, reference.data());
        CHECK(distance(y, {reference.begin(), reference.end()}, 1.0) < 2e-6);
        b.layer_norm(x.data(), 3, 300, weight.data(), bias.data(), 1e-5f, y.data());
        lv::scalar{}.layer_norm(x.data(), 3, 300, weight.data(), bias.data(), 1e-5f, reference.data());
        CHECK(distance(y, {reference.begin(), reference.end()}, 1.0) < 2e-6);
        if (with == gpu::cores::none) continue; // nor has it a kernel for a batch
        for (lv::weight_format f : {lv::weight_format::q8, lv::weight_format::q4}) {
            std::size_t const rows = 20, outputs = 150, columns = 288;
            auto const& there = b.backend();
            backends::weight const w(lv::format::f32, outputs, columns, n.floats(outputs * columns));
            auto const room = there.allocate(there.laid_out_bytes(w.view(), f));
            lv::matrix const laid_out = there.lay_out(w.view(), f, room.get());
            std::vector<float> in = n.floats(rows * columns);
            for (float& v : in) v = static_cast<float>(lv::bf16::round(v));
            std::vector<float> out(rows * outputs), values(outputs * columns);
            there.linear(laid_out, nullptr, in.data(), rows, out.data());
            there.widen(laid_out, 0, values.size(), values.data());
            backends::weight const same(lv::format::f32, outputs, columns, values);
            std::vector<float> of_scalar(out.size());
            lv::scalar{}.linear(same.view(), nullptr, in.data(), rows, of_scalar.data());
            CHECK(distance(out, {of_scalar.begin(), of_scalar.end()}, 1.0) < 1e-5);
        }
    }
}
