// SPDX-License-Identifier: Apache-2.0
// The same bits on any number of threads, and one backend for several threads at once.
#include "backends.hpp"

#include <memory>
#include <thread>

using namespace backends;

namespace {

/// Every kernel that shares its work, at sizes that are shared; all results in one row.
template <class B>
std::vector<float> everything(B const& b) {
    std::vector<float> all;
    auto const keep = [&](std::vector<float> const& y) { all.insert(all.end(), y.begin(), y.end()); };
    numbers n(99);
    for (lv::format type : formats) {
        std::size_t const columns = whole(type, 1500);
        weight const w(type, 301, columns, n.floats(301 * columns)), up(type, 301, columns, n.floats(301 * columns));
        for (std::size_t rows : {1u, 7u, 120u}) {
            std::vector<float> const x = n.floats(rows * columns), bias = n.floats(301);
            std::vector<float> y(rows * 301);
            b.linear(w.view(), bias.data(), x.data(), rows, y.data());
            keep(y);
            b.fused_swiglu(w.view(), up.view(), x.data(), rows, y.data());
            keep(y);
            b.fused_linear_add(w.view(), bias.data(), x.data(), rows, 0.1f, y.data());
            keep(y);
        }
    }
    std::size_t const count = 90001;
    std::vector<float> const x = n.floats(count, 4.0f), z = n.floats(count);
    std::vector<float> y(count);
    b.silu(x.data(), count, y.data()), keep(y);
    b.gelu(x.data(), count, y.data()), keep(y);
    b.multiply(x.data(), z.data(), count, y.data()), keep(y);
    b.add_scaled(x.data(), 0.37f, z.data(), count, y.data()), keep(y);
    b.rms_norm(x.data(), 90, 1000, z.data(), 1e-5f, y.data()), keep(y);
    b.layer_norm(x.data(), 90, 1000, z.data(), z.data(), 1e-5f, y.data()), keep(y);
    b.rope(y.data(), 90, 10, 100, x.data(), z.data()), keep(y);

    lv::attention_shape const shape = {4, 2, 32};
    std::vector<float> const keys = n.floats(3000 * 64, 2.0f), values = n.floats(3000 * 64);
    std::vector<lv::key_block> const blocks = {{keys.data(), values.data(), nullptr, 3000}};
    for (std::size_t rows : {1u, 200u}) { // split among threads by keys, and by queries
        std::vector<float> out(rows * 128);
        lv::query_group const group = {0, rows, blocks, true};
        b.attend(x.data(), shape, {&group, 1}, out.data());
        keep(out);
    }
    return all;
}

} // namespace

TEST_CASE("1, 2, 3 and 7 threads give the same bits on every tier") {
    for (lv::tier level : lv::all_tiers) {
        if (!lv::available(level)) {
            MESSAGE("skipped: this machine has no " << std::string(lv::name_of(level)));
            continue;
        }
        CAPTURE(lv::name_of(level).data());
        std::vector<float> const one = everything(lv::simd(lv::simd_options{1, level, nullptr}));
        for (std::size_t threads : {2u, 3u, 7u})
            CHECK(same_bits(one, everything(lv::simd(lv::simd_options{threads, level, nullptr}))));
    }
}

TEST_CASE("several threads use one backend, and copies of it, at once") {
    lv::simd const b(3);
    lv::simd const copy = b;
    CHECK(copy.pool() == b.pool());
    std::vector<float> const expected = everything(b);
    std::vector<std::vector<float>> got(4);
    std::vector<std::thread> users;
    for (std::size_t i = 0; i < got.size(); ++i) users.emplace_back([&, i] { got[i] = everything(i % 2 ? b : copy); });
    for (std::thread& user : users) user.join();
    for (std::vector<float> const& result : got) CHECK(same_bits(result, expected));
}

TEST_CASE("options: the pool that is handed in, the tier, and a tier that the machine lacks") {
    auto const pool = std::make_shared<lv::thread_pool>(2);
    lv::simd const shared(pool);
    CHECK(shared.pool() == pool);
    CHECK(shared.threads() == 2);
    CHECK(shared.level() == lv::best_tier());
    CHECK(lv::simd(5).threads() == 5);
    CHECK(lv::simd().threads() >= 1);
    for (lv::tier level : lv::all_tiers) {
        if (lv::available(level))
            CHECK(lv::simd(lv::simd_options{1, level, nullptr}).level() == level);
        else
            CHECK_THROWS_AS(lv::simd(lv::simd_options{1, level, nullptr}), lv::error);
    }
}
