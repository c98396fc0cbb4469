// SPDX-License-Identifier: Apache-2.0
// Attention of the cuda backend: on tensor cores, with keys in bfloat16 or f16, split into parts, in groups beyond what
// one launch holds.
#include "../backend/scene.hpp"

#include <limits>

using namespace backends;

namespace {

void to_bf16(std::vector<float>& values) {
    for (float& v : values) v = static_cast<float>(lv::bf16::round(v));
}

/// A scene whose queries, keys and values are bfloat16 already, so that only the softmax's weights are rounded: an
/// output, a mean of values in [-1, 1], is off by 2⁻⁹ at most, twice (weights and their sum).
scene rounded_scene(lv::attention_shape const& shape, std::size_t rows, std::vector<std::size_t> const& blocks) {
    scene s(shape, rows, blocks);
    to_bf16(s.q);
    for (auto& k : s.keys) to_bf16(k);
    for (auto& v : s.values) to_bf16(v);
    return s;
}

/// The same with keys kept by the backend, in two places of one call, with room to spare.
template <class B>
std::vector<float> kept_run(B const& b, scene s) {
    std::vector<std::vector<float>> memory;
    memory.reserve(2 * s.blocks.size());
    for (lv::key_block& block : s.blocks) {
        std::size_t const capacity = block.rows + 5, half = block.rows / 2;
        std::vector<float> const empty(b.kept_floats(s.shape, capacity), std::numeric_limits<float>::quiet_NaN());
        memory.push_back(empty);
        memory.push_back(empty);
        float *const keys = memory[memory.size() - 2].data(), *const values = memory.back().data();
        lv::kept_rows const places[] = {{half, 0, capacity, keys, values},
                                        {block.rows - half, half, capacity, keys, values}};
        b.keep(s.shape, block.keys, block.values, places);
        block = {keys, values, block.bias, block.rows, capacity};
    }
    return s.run(b);
}

} // namespace

TEST_CASE_TEMPLATE("rounded attention is within what the rounding of its weights explains", B, ALL_CUDA,
                   emulated_no_cores) {
    if (!B::usable()) return;
    B const b;
    for (std::size_t dim : {80u, 128u})
        for (auto const& heads : {std::pair<std::size_t, std::size_t>{1, 1}, {4, 1}, {6, 2}})
            for (std::size_t rows : {5u, 16u, 33u, 130u})
                for (auto const& blocks : std::vector<std::vector<std::size_t>>{{1}, {63}, {64, 9}, {130, 0, 200}})
                    for (bool causal : {false, true}) {
                        if (causal && blocks.back() < rows) continue;
                        CAPTURE(dim);
                        CAPTURE(heads.first);
                        CAPTURE(rows);
                        CAPTURE(blocks.size());
                        CAPTURE(causal);
                        scene s = rounded_scene({heads.first, heads.second, dim, true}, rows, blocks);
                        s.causal = causal;
                        std::vector<double> const expected = s.expected();
                        CHECK(distance(s.run(b), expected, 1.0) < 0x1p-7);
                        CHECK(distance(kept_run(b, s), expected, 1.0) < 0x1p-7);
                    }
}

TEST_CASE_TEMPLATE("many rows in float, of any head size", B, ALL_CUDA, emulated_no_cores) {
    if (!B::usable()) return;
    B const b;
    for (std::size_t dim : {1u, 20u, 79u, 80u, 81u, 128u, 130u})
        for (auto const& heads : {std::pair<std::size_t, std::size_t>{2, 2}, {6, 2}})
            for (std::size_t rows : {16u, 65u, 131u})
                for (bool causal : {false, true}) {
                    CAPTURE(dim);
                    CAPTURE(heads.first);
                    CAPTURE(rows);
                    CAPTURE(causal);
                    scene s({heads.first, heads.second, dim}, rows, {31, 0, 32, 270});
                    s.causal = causal;
                    CHECK(distance(s.run(b), s.expected(), 1.0) < 5e-6);
                }
}

TEST_CASE_TEMPLATE("one row meets kept keys without further rounding", B, ALL_CUDA, emulated_no_cores) {
    if (!B::usable()) return;
    B const b;
    for (std::size_t dim : {8u, 20u, 128u, 200u}) {
        CAPTURE(dim);
        scene s = rounded_scene({8, 2, dim}, 1, {700, 31});
        CHECK(distance(kept_run(b, s), s.expected(), 1.0) < 5e-6);
        s.causal = true;
        CHECK(distance(kept_run(b, s), s.expected(), 1.0) < 5e-6);
    }
}

TEST_CASE_TEMPLATE("keys hidden by their bias, on tensor cores", B, ALL_CUDA) {
    if (!B::usable()) return;
    B const b;
    for (float hidden : {-infinity, -1e30f, -1e4f}) {
        CAPTURE(hidden);
        scene s = rounded_scene({4, 2, 80, true}, 33, {0, 300, 9});
        for (std::size_t i = 0; i < 300; ++i) s.biases[1][i] = i == 171 ? 2.5f : hidden;
        CHECK(distance(s.run(b), s.expected(), 1.0) < 0x1p-7);
    }
}

TEST_CASE_TEMPLATE("more groups and more blocks than one launch holds", B, ALL_CUDA) {
    if (!B::usable()) return;
    B const b;
    for (bool rounded : {false, true}) {
        CAPTURE(rounded);
        scene s = rounded_scene({4, 2, 80, rounded}, 30, std::vector<std::size_t>(61, 3));
        CHECK(distance(s.run(b), s.expected(), 1.0) < (rounded ? 0x1p-7 : 5e-6));
        s.causal = true;
        s.rows = 3;
        s.q.resize(3 * 4 * 80);
        CHECK(distance(s.run(b), s.expected(), 1.0) < (rounded ? 0x1p-7 : 5e-6));

        // Every row a group of its own, which sees the blocks up to its number.
        scene many = rounded_scene({4, 2, 80, rounded}, 40, std::vector<std::size_t>(20, 4));
        std::vector<lv::query_group> groups;
        for (std::size_t r = 0; r < 40; ++r) groups.push_back({r, 1, std::span(many.blocks).first(r % 21), false});
        std::vector<float> y(many.q.size(), 777.0f);
        b.attend(many.q.data(), many.shape, groups, y.data());
        for (std::size_t r = 0; r < 40; ++r) {
            CAPTURE(r);
            scene one = many;
            one.rows = 1;
            one.blocks.resize(r % 21);
            auto const at = static_cast<std::ptrdiff_t>(r * 320);
            one.q.assign(many.q.begin() + at, many.q.begin() + at + 320);
            CHECK(distance({y.begin() + at, y.begin() + at + 320}, one.expected(), 1.0) < (rounded ? 0x1p-7 : 5e-6));
        }
    }
}

TEST_CASE_TEMPLATE("the tower's groups: all rows, and the tiles within them", B, ALL_CUDA) {
    if (!B::usable()) return;
    B const b;
    std::size_t const tokens = 37, slots = 3, heads = 2, row = heads * 80, rows = slots * (tokens + 1);
    for (bool rounded : {false, true}) {
        CAPTURE(rounded);
        scene s = rounded_scene({heads, heads, 80, rounded}, rows, {rows});
        std::vector<lv::key_block> blocks = {{s.keys[0].data(), s.values[0].data(), s.biases[0].data(), rows}};
        for (std::size_t t = 0; t < slots; ++t) {
            std::size_t const at = t * (tokens + 1) * row;
            blocks.push_back({s.keys[0].data() + at, s.values[0].data() + at, nullptr, tokens});
        }
        std::span<lv::key_block const> const all(blocks.data(), 1), unpadded(blocks.data() + 1, slots);
        std::vector<lv::query_group> groups;
        for (std::size_t t = 0; t < slots; ++t) {
            groups.push_back({t * (tokens + 1), tokens, all});
            groups.push_back({t * (tokens + 1) + tokens, 1, unpadded});
        }
        std::vector<float> y(s.q.size(), 777.0f), reference = y;
        b.attend(s.q.data(), s.shape, groups, y.data());
        lv::scalar{}.attend(s.q.data(), s.shape, groups, reference.data());
        CHECK(distance(y, {reference.begin(), reference.end()}, 1.0) < (rounded ? 0x1p-7 : 5e-6));
    }
}
