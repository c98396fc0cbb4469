// SPDX-License-Identifier: Apache-2.0
// Attention on every backend: against softmax in double, for every kind of group and block.
#include "scene.hpp"

using namespace backends;

TEST_CASE_TEMPLATE("attention is within 5e-6 of its definition", B, ALL_BACKENDS) {
    if (!B::usable()) return;
    B const b;
    std::vector<std::vector<std::size_t>> const block_rows = {{1}, {5, 130}, {128, 128, 64}, {0, 66, 0, 67}};
    std::vector<std::pair<std::size_t, std::size_t>> const heads = {{1, 1}, {4, 1}, {6, 3}};
    for (std::size_t dim : {1u, 8u, 16u, 20u, 80u, 128u})
        for (auto const& head : heads)
            for (std::size_t rows : {1u, 3u, 37u})
                for (auto const& sizes : block_rows)
                    for (bool causal : {false, true}) {
                        if (causal && sizes.back() < rows) continue;
                        scene s({head.first, head.second, dim}, rows, sizes);
                        s.causal = causal;
                        CAPTURE(dim);
                        CAPTURE(head.first);
                        CAPTURE(rows);
                        CAPTURE(sizes.size());
                        CAPTURE(causal);
                        CHECK(distance(s.run(b), s.expected(), 1.0) < 5e-6);
                    }
}

TEST_CASE_TEMPLATE("thousands of keys, and rows of more than one item", B, ALL_BACKENDS) {
    if (!B::usable()) return;
    B const b;
    scene decode({8, 2, 64}, 1, {6404, 31});
    CHECK(distance(decode.run(b), decode.expected(), 1.0) < 5e-6);
    scene tower({2, 2, 80}, 300, {1300});
    CHECK(distance(tower.run(b), tower.expected(), 1.0) < 5e-6);
    scene prompt({8, 2, 16}, 150, {40, 1150});
    prompt.causal = true;
    CHECK(distance(prompt.run(b), prompt.expected(), 1.0) < 5e-6);
}

TEST_CASE_TEMPLATE("scores far apart, and biases that hide keys", B, ALL_BACKENDS) {
    if (!B::usable()) return;
    B const b;
    scene sharp({2, 1, 16}, 9, {200}, 1e4f);
    CHECK(distance(sharp.run(b), sharp.expected(), 1.0) < 1e-4); // scores of 1e5 carry an error of 1e-2 · 2^-24 · 1e5
    scene flat({2, 1, 16}, 9, {200}, 1e-20f);
    CHECK(distance(flat.run(b), flat.expected(), 1.0) < 5e-6);
    for (float hidden : {-infinity, -1e30f, -1e4f}) {
        CAPTURE(hidden);
        scene s({4, 2, 20}, 33, {140, 300, 9});
        for (std::size_t i = 0; i < 300; ++i) s.biases[1][i] = i == 171 ? 2.5f : hidden;
        CHECK(distance(s.run(b), s.expected(), 1.0) < 5e-6);
        scene first({4, 2, 20}, 33, {0, 300, 9}); // everything up to the 171st key is hidden
        for (std::size_t i = 0; i < 300; ++i) first.biases[1][i] = i == 171 ? 2.5f : hidden;
        CHECK(distance(first.run(b), first.expected(), 1.0) < 5e-6);
    }
}

TEST_CASE_TEMPLATE("a group without keys is zero, and rows of no group are left alone", B, ALL_BACKENDS) {
    if (!B::usable()) return;
    B const b;
    scene s({4, 2, 20}, 30, {7});
    std::vector<lv::query_group> const groups = {{3, 5, {}, false}, {10, 6, s.blocks, true}, {20, 0, s.blocks, false}};
    std::vector<float> y(s.q.size(), 777.0f);
    b.attend(s.q.data(), s.shape, groups, y.data());
    std::size_t const row = 4 * 20;
    std::vector<double> const all = [&] {
        scene part = s;
        part.rows = 6;
        part.causal = true;
        part.q.assign(s.q.begin() + 10 * row, s.q.begin() + 16 * row);
        return part.expected();
    }();
    for (std::size_t r = 0; r < 30; ++r) {
        CAPTURE(r);
        std::vector<float> const got(y.begin() + static_cast<std::ptrdiff_t>(r * row),
                                     y.begin() + static_cast<std::ptrdiff_t>((r + 1) * row));
        if (r >= 3 && r < 8)
            CHECK(same_bits(got, std::vector<float>(row, 0.0f)));
        else if (r >= 10 && r < 16)
            CHECK(distance(got,
                           {all.begin() + static_cast<std::ptrdiff_t>((r - 10) * row),
                            all.begin() + static_cast<std::ptrdiff_t>((r - 9) * row)},
                           1.0)
                  < 5e-6);
        else
            CHECK(same_bits(got, std::vector<float>(row, 777.0f)));
    }
}

TEST_CASE_TEMPLATE("a causal row has the same bits in a prompt and decoded alone", B, STEADY_BACKENDS) {
    if (!B::usable()) return;
    B const b;
    std::size_t const rows = 1100, row = 4 * 16, kv_row = 2 * 16;
    scene s({4, 2, 16}, rows, {70, rows});
    s.causal = true;
    std::vector<float> const prompt = s.run(b);
    for (std::size_t r : {0u, 1u, 5u, 127u, 128u, 129u, 1023u, 1024u, 1099u}) {
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
}
