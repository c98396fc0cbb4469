// SPDX-License-Identifier: Apache-2.0
// What the emulated device sees of a kernel's faults: one that lacks a barrier reads what was there before, or what
// comes after, as it may on a GPU; and what a GPU refuses is refused.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "../backend/scene.hpp"
#include "../support/message.hpp"

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
            auto const room = there.allocate(there.repacked_bytes(w.view(), f));
            lv::matrix const repacked = there.repack(w.view(), f, room.get());
            std::vector<float> in = n.floats(rows * columns);
            for (float& v : in) v = static_cast<float>(lv::bf16::round(v));
            std::vector<float> out(rows * outputs), values(outputs * columns);
            there.linear(repacked, nullptr, in.data(), rows, out.data());
            there.widen(repacked, 0, values.size(), values.data());
            backends::weight const same(lv::format::f32, outputs, columns, values);
            std::vector<float> of_scalar(out.size());
            lv::scalar{}.linear(same.view(), nullptr, in.data(), rows, of_scalar.data());
            CHECK(distance(out, {of_scalar.begin(), of_scalar.end()}, 1.0) < 1e-5);
        }
    }
}

namespace {

/// Each thread's first value before it has one, or two words from an odd place.
template <bool Odd>
struct reads_wrongly {
    static constexpr unsigned threads = 32;
    using shared = gpu::nothing;
    float const* x;
    float* y;
    template <class Block>
    void operator()(Block& block, shared&) const {
        typename Block::template own<float> mine;
        block.alone(
            [&](unsigned t) { y[t] = Odd ? std::bit_cast<float>(gpu::load<gpu::two_words>(x + 1).w[0]) : mine[t]; });
    }
};

enum class sent { waited_for, not_yet, never, empty };

/// 16 bytes for each thread, by way of shared memory.
template <sent How>
struct send_for {
    static constexpr unsigned threads = 32;
    struct alignas(16) shared {
        float value[threads][4];
    };
    float const* x;
    float* y;
    template <class Block>
    void operator()(Block& block, shared& s) const {
        block.alone([&](unsigned t) { block.copy_async(t, s.value[t], x + 4 * t, How != sent::empty); });
        if constexpr (How != sent::not_yet && How != sent::never)
            block.alone([&](unsigned t) { block.wait_for_copies(t); });
        block.sync();
        block.alone([&](unsigned t) { std::copy_n(s.value[threads - 1 - t], 4, y + 4 * t); });
        if constexpr (How == sent::not_yet) block.alone([&](unsigned t) { block.wait_for_copies(t); });
    }
};

/// Four tiles of 16 bits, which are numbered through, as a warp reads them.
struct read_tiles {
    static constexpr unsigned threads = 32;
    struct alignas(16) shared {
        std::uint16_t row[32][8];
    };
    std::uint32_t *straight, *transposed; ///< (threads, 4)
    template <class Block>
    void operator()(Block& block, shared& s) const {
        block.each([&](unsigned t) {
            for (unsigned i = 0; i < 8; ++i) s.row[t][i] = static_cast<std::uint16_t>(8 * t + i);
        });
        struct words {
            std::uint32_t w[4];
        };
        typename Block::template own<words> mine;
        auto const row = [&](unsigned t) { return s.row[t]; };
        auto const to = [&](unsigned t) -> std::uint32_t(&)[4] { return mine[t].w; };
        block.load_tiles(row, to);
        block.alone([&](unsigned t) { std::copy_n(mine[t].w, 4, straight + 4 * t); });
        block.load_transposed_tiles(row, to);
        block.alone([&](unsigned t) { std::copy_n(mine[t].w, 4, transposed + 4 * t); });
    }
};

} // namespace

TEST_CASE("what is sent for is there when it was waited for, and not before") {
    std::vector<float> x(128), around(128);
    for (std::size_t i = 0; i < 128; ++i) x[i] = static_cast<float>(i);
    for (std::size_t i = 0; i < 128; ++i) around[i] = x[(31 - i / 4) * 4 + i % 4];
    auto const is_nan = [](float y) { return std::isnan(y); };
    using enum gpu::pace;
    for (gpu::pace const threads : {together, watched, first_warp, last_warp}) {
        CAPTURE(static_cast<int>(threads));
        gpu::emulated_device const device({.threads = threads});
        std::vector<float> y(128, -1.0f);
        device.launch(send_for<sent::waited_for>{x.data(), y.data()}, {1});
        CHECK(y == around);
        device.launch(send_for<sent::empty>{x.data(), y.data()}, {1});
        CHECK(y == std::vector<float>(128, 0.0f));
        device.launch(send_for<sent::not_yet>{x.data(), y.data()}, {1});
        CHECK(std::all_of(y.begin(), y.end(), is_nan));
        CHECK(message_of<llamavision::device_error>([&] {
                  device.launch(send_for<sent::never>{x.data(), y.data()}, {1});
              })
              == "a kernel ends before what it has sent for is there");
    }
}

TEST_CASE("tiles come from shared memory as tensor cores take them") {
    std::vector<std::uint32_t> straight(128), transposed(128);
    gpu::emulated_device().launch(read_tiles{straight.data(), transposed.data()}, {1});
    for (std::uint32_t lane = 0; lane < 32; ++lane)
        for (std::uint32_t tile = 0; tile < 4; ++tile) {
            std::uint32_t const g = lane / 4, c = lane % 4 * 2, first = 64 * tile;
            CHECK(straight[4 * lane + tile] == ((first + 8 * g + c) | (first + 8 * g + c + 1) << 16));
            CHECK(transposed[4 * lane + tile] == ((first + 8 * c + g) | (first + 8 * (c + 1) + g) << 16));
        }
}

TEST_CASE("what a GPU refuses, or leaves to chance, the emulated device shows") {
    for (gpu::pace const threads : {gpu::pace::together, gpu::pace::watched, gpu::pace::first_warp}) {
        CAPTURE(static_cast<int>(threads));
        gpu::emulated_device const device({.threads = threads});
        auto const room = device.allocate(64 * sizeof(float));
        auto* const x = reinterpret_cast<float*>(room.get());
        std::vector<float> y(32, 1.0f);
        device.launch(reads_wrongly<false>{x, y.data()}, {1});
        CHECK(std::all_of(y.begin(), y.end(), [](float v) { return std::isnan(v); }));
        CHECK(message_of<llamavision::device_error>([&] {
                  device.launch(reads_wrongly<true>{x, y.data()}, {1});
              })
              == "a kernel takes 8 bytes at once from where they do not lie");

        for (gpu::grid const blocks : {gpu::grid{0}, gpu::grid{1, 0}, gpu::grid{1, 1, 65'536}})
            CHECK_THROWS_AS(device.launch(reads_wrongly<false>{x, y.data()}, blocks), llamavision::device_error);
        gpu::many_rows product;
        product.outputs = product.stride = product.columns = 1;
        CHECK_THROWS_AS(device.multiply(product), llamavision::device_error);

        std::shared_ptr<void> tape;
        auto const recorded = [&](auto const& body) {
            return message_of<llamavision::device_error>([&] { device.replay(tape, {}, {}, body); });
        };
        std::string const outside = "memory or the host takes part in a pass that is recorded";
        CHECK(recorded([&] { device.upload(y.data(), 4, x); }) == outside);
        CHECK(recorded([&] { device.download(x, 4, y.data()); }) == outside);
        CHECK(recorded([&] { static_cast<void>(device.allocate(4)); }) == outside);
        CHECK(recorded([&] { device.wait(); }) == outside);
        auto given = device.allocate(4);
        CHECK(recorded([&] { given.reset(); }) == "memory goes while a pass is recorded");
        device.replay(tape, {}, {}, [&] { device.zero(x, 4); });
        CHECK(x[0] == 0.0f);
    }
}
