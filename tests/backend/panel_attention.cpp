// SPDX-License-Identifier: Apache-2.0
// Attention in bfloat16 on every tier: against its definition in double, with keys as floats and kept, alone and in a
// prompt, on any number of threads.
//
// What rounding explains: |q| <= 1 and |k| <= 2, each rounded by 2⁻⁹ of itself at most, so a score is off by
// 2⁻⁸ Σ|q k| / √dim, and 2⁻⁸ · dim/2 / √dim in the mean if no signs cancelled: 0.022 at dim 128. An output, a mean of
// values in [-1, 1], moves by no more than that twice, and by 2⁻⁸ for its own factors. Signs do cancel: what is
// measured is a third of 2⁻⁵.
#include <algorithm>

#include <llamavision/support/aligned_bytes.hpp>

#include "scene.hpp"
#include "tiers.hpp"

using namespace backends;

namespace {

constexpr double worst = 0x1p-5, mean = 0x1p-9;

void check(std::vector<float> const& y, std::vector<double> const& expected) {
    CHECK(distance(y, expected, 1.0) < worst);
    double sum = 0;
    for (std::size_t i = 0; i < y.size(); ++i) sum += std::abs(static_cast<double>(y[i]) - expected[i]);
    CHECK(sum / static_cast<double>(y.size()) < mean);
}

/// The same scene with its blocks kept by the backend, in memory for more rows than they have.
class kept_scene {
  public:
    kept_scene(lv::simd const& b, scene s, std::size_t spare, std::size_t piece) : scene_(std::move(s)) {
        for (lv::key_block& block : scene_.blocks) {
            std::size_t const capacity = block.rows + spare, floats = b.kept_floats(scene_.shape, capacity);
            std::size_t const row = scene_.shape.kv_heads * scene_.shape.head_dim;
            auto const to = std::make_shared<std::vector<float>>(2 * floats, std::numeric_limits<float>::quiet_NaN());
            for (std::size_t i = 0; i < block.rows; i += piece) {
                lv::kept_rows const place{std::min(piece, block.rows - i), i, capacity, to->data(),
                                          to->data() + floats};
                b.keep(scene_.shape, block.keys + i * row, block.values + i * row, {&place, 1});
            }
            block = {to->data(), to->data() + floats, block.bias, block.rows, capacity};
            memory_.push_back(to);
        }
    }
    [[nodiscard]] scene const& get() const { return scene_; }

  private:
    scene scene_;
    std::vector<std::shared_ptr<std::vector<float>>> memory_;
};

} // namespace

TEST_CASE("attention in bfloat16 is as near to its definition as the rounding of its factors allows") {
    on_every_tier([](lv::simd const& b) {
        std::vector<std::vector<std::size_t>> const block_rows = {{1}, {5, 130}, {128, 600, 64}, {0, 66, 0, 67}};
        std::vector<std::pair<std::size_t, std::size_t>> const heads = {{1, 1}, {6, 3}};
        for (std::size_t dim : {1u, 16u, 20u, 80u, 128u})
            for (auto const& head : heads)
                for (std::size_t rows : {1u, 3u, 37u})
                    for (auto const& sizes : block_rows)
                        for (bool causal : {false, true}) {
                            if (causal && sizes.back() < rows) continue;
                            CAPTURE(dim);
                            CAPTURE(head.first);
                            CAPTURE(rows);
                            CAPTURE(sizes.size());
                            CAPTURE(causal);
                            scene s({head.first, head.second, dim, true}, rows, sizes);
                            s.causal = causal;
                            std::vector<float> const y = s.run(b);
                            CHECK(distance(y, s.expected(), 1.0) < worst);
                            CHECK(same_bits(y, kept_scene(b, s, 40, 1000).get().run(b)));
                        }
    });
}

TEST_CASE("the tower's and the text's heads, more than one item of queries, thousands of keys") {
    on_every_tier([](lv::simd const& b) {
        scene const tower({2, 2, 80, true}, 300, {1300});
        check(tower.run(b), tower.expected());
        scene prompt({8, 2, 128, true}, 150, {40, 1150});
        prompt.causal = true;
        check(prompt.run(b), prompt.expected());
        scene const decode({8, 2, 128, true}, 1, {6404, 31});
        check(decode.run(b), decode.expected());
        CHECK(same_bits(decode.run(b), kept_scene(b, decode, 1, 7).get().run(b)));
    });
}

TEST_CASE("attention in bfloat16: an output of 2 MB is written past the caches, on a line's boundary and off it") {
    on_every_tier([](lv::simd const& b) {
        scene const s({2, 2, 80, true}, 3300, {40});
        std::vector<double> const expected = s.expected();
        lv::query_group const group{0, s.rows, s.blocks, false};
        std::shared_ptr<std::byte> const room = lv::aligned_bytes((s.q.size() + 1) * sizeof(float));
        for (std::size_t off : {0u, 1u}) {
            float* const y = reinterpret_cast<float*>(room.get()) + off;
            b.attend(s.q.data(), s.shape, {&group, 1}, y);
            check({y, y + s.q.size()}, expected);
        }
    });
}

TEST_CASE("attention in bfloat16: biases that hide keys, and a group that sees nothing") {
    on_every_tier([](lv::simd const& b) {
        for (float hidden : {-infinity, -1e30f, -1e4f}) {
            CAPTURE(hidden);
            scene s({4, 2, 20, true}, 33, {140, 300, 9});
            for (std::size_t i = 0; i < 300; ++i) s.biases[1][i] = i == 171 ? 2.5f : hidden;
            CHECK(distance(s.run(b), s.expected(), 1.0) < worst);
            scene first({4, 2, 20, true}, 33, {0, 300, 9}); // everything up to the 171st key is hidden
            for (std::size_t i = 0; i < 300; ++i) first.biases[1][i] = i == 171 ? 2.5f : hidden;
            CHECK(distance(first.run(b), first.expected(), 1.0) < worst);
        }
        scene const s({2, 1, 8, true}, 5, {});
        CHECK(same_bits(s.run(b), std::vector<float>(5 * 2 * 8, 0.0f)));
    });
}

TEST_CASE("attention in bfloat16: scores that grow, or fall, from piece to piece of the keys") {
    on_every_tier([](lv::simd const& b) {
        // A row's weights are taken from its first scores up to a sum of 2⁴⁰ = e^27.7, and then from larger ones.
        for (float growth : {3.0f, 20.0f, 60.0f, 400.0f, -20.0f, -400.0f}) {
            CAPTURE(growth);
            scene s({4, 2, 20, true}, 33, {9, 1500, 300});
            for (std::size_t i = 0; i < 1500; ++i) s.biases[1][i] = growth * static_cast<float>(i / 250);
            CHECK(distance(s.run(b), s.expected(), 1.0) < worst);
        }
    });
}

TEST_CASE("groups that share blocks get the bits that each would get alone") {
    on_every_tier([](lv::simd const& b) {
        scene const s({4, 2, 20, true}, 40, {140, 300, 9});
        lv::key_block const start{s.keys[1].data(), s.values[1].data(), nullptr, 77}; // of the second, without its bias
        std::vector<lv::key_block> const seen[] = {
            {s.blocks[0], s.blocks[1]}, {s.blocks[0], s.blocks[1]}, {s.blocks[1], start, s.blocks[0]}, {start}};
        std::vector<lv::query_group> const groups = {
            {0, 21, seen[0]}, {21, 2, seen[1]}, {23, 16, seen[2]}, {39, 1, seen[3]}};
        std::vector<float> together(s.q.size()), alone(s.q.size());
        b.attend(s.q.data(), s.shape, groups, together.data());
        for (lv::query_group const& g : groups) b.attend(s.q.data(), s.shape, {&g, 1}, alone.data());
        CHECK(same_bits(together, alone));
    });
}

TEST_CASE("a causal row has the same bits in a prompt and decoded alone, and on any number of threads, in bfloat16") {
    on_every_tier([](lv::simd const& b) {
        std::size_t const rows = 700, row = 4 * 16, kv_row = 2 * 16;
        scene s({4, 2, 16, true}, rows, {70, rows});
        s.causal = true;
        std::vector<float> const prompt = s.run(b);
        for (std::size_t threads : {1u, 3u, 7u})
            CHECK(same_bits(prompt, s.run(lv::simd(lv::simd_options{threads, b.level(), nullptr}))));
        for (std::size_t r : {0u, 1u, 31u, 32u, 127u, 287u, 288u, 576u, 699u}) {
            CAPTURE(r);
            scene one = s;
            one.rows = 1;
            one.q.assign(s.q.begin() + static_cast<std::ptrdiff_t>(r * row),
                         s.q.begin() + static_cast<std::ptrdiff_t>((r + 1) * row));
            one.keys[1].resize((r + 1) * kv_row); // what follows is out of bounds: nothing may read it
            one.values[1].resize((r + 1) * kv_row);
            one.blocks = {{one.keys[0].data(), one.values[0].data(), nullptr, 70},
                          {one.keys[1].data(), one.values[1].data(), one.biases[1].data(), r + 1}};
            CHECK(same_bits(one.run(b), {prompt.begin() + static_cast<std::ptrdiff_t>(r * row),
                                         prompt.begin() + static_cast<std::ptrdiff_t>((r + 1) * row)}));
        }
    });
}
