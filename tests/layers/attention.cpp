// SPDX-License-Identifier: Apache-2.0
// The three attentions against a direct softmax: who sees whom, collapsed padding, the cache, images and the leak.
#include <doctest/doctest.h>

#include <cmath>
#include <functional>

#include <llamavision/layers/attention.hpp>
#include <llamavision/runtime/images/plan.hpp>

#include "../support/bound.hpp"
#include "../support/small.hpp"

namespace lv = llamavision;

namespace {
constexpr std::size_t width = 8, heads = 4, kv = 4, dim = 2;
constexpr auto q = lv::linear<"q", width, width>;
constexpr auto k = lv::linear<"k", width, kv>;
constexpr auto v = lv::linear<"v", width, kv>;

std::vector<given_tensor> weights_of_qkv() {
    random_floats random(5);
    return {{"q.weight", {width, width}, random.many(width * width)},
            {"k.weight", {kv, width}, random.many(kv * width)},
            {"v.weight", {kv, width}, random.many(kv * width)}};
}

floats project(floats const& x, std::size_t which, std::size_t out) {
    floats const w = weights_of_qkv()[which].values;
    floats y(x.size() / width * out);
    lv::scalar{}.linear({w.data(), lv::format::f32, out, width}, nullptr, x.data(), x.size() / width, y.data());
    return y;
}

/// A key or a value row that queries may see: which row of k and v.
using sees = std::function<bool(std::size_t query, std::size_t key)>;

/// Softmax over what is seen, nothing clever. Two query heads read one key head. Rows that see nothing are zero.
floats direct(floats const& qs, floats const& ks, floats const& vs, sees const& allowed) {
    floats y(qs.size(), 0.0f);
    for (std::size_t r = 0; r < qs.size() / width; ++r)
        for (std::size_t h = 0; h < heads; ++h) {
            double total = 0, sum[dim] = {};
            for (std::size_t s = 0; s < ks.size() / kv; ++s) {
                if (!allowed(r, s)) continue;
                double score = 0;
                for (std::size_t i = 0; i < dim; ++i)
                    score += static_cast<double>(qs[r * width + h * dim + i])
                             * static_cast<double>(ks[s * kv + h / 2 * dim + i]);
                double const e = std::exp(score / std::sqrt(2.0));
                total += e;
                for (std::size_t i = 0; i < dim; ++i) sum[i] += e * static_cast<double>(vs[s * kv + h / 2 * dim + i]);
            }
            for (std::size_t i = 0; i < dim && total > 0; ++i)
                y[r * width + h * dim + i] = static_cast<float>(sum[i] / total);
        }
    return y;
}

lv::config::vision_numbers numbers() {
    lv::config::vision_numbers n;
    n.tile = 4;
    n.patch = 2;
    return n; // 5 tokens and 3 pad rows a tile
}

/// Rows (slots, rows, width) of a plain plan whose padded tiles are alike, and whose pad rows are alike in each tile.
floats rows_of(std::size_t real) {
    random_floats random(real);
    floats x;
    floats const padded_tokens = random.many(5 * width), padded_pad = random.many(width);
    for (std::size_t t = 0; t < 4; ++t) {
        floats const tokens = t < real ? random.many(5 * width) : padded_tokens;
        floats const pad = t < real ? random.many(width) : padded_pad;
        x.insert(x.end(), tokens.begin(), tokens.end());
        for (std::size_t i = 0; i < 3; ++i) x.insert(x.end(), pad.begin(), pad.end());
    }
    return x;
}

/// The rows that the collapsed plan keeps of them.
floats collapse(floats const& x, std::size_t real) {
    floats y;
    for (std::size_t t = 0; t < std::min<std::size_t>(real + 1, 4); ++t)
        y.insert(y.end(), x.begin() + long(t * 8 * width), x.begin() + long((t * 8 + 6) * width));
    return y;
}
} // namespace

TEST_CASE("the tower: all rows see all rows, but padding does not see padding; collapsed or not") {
    bound const word(lv::attend_tiles<heads>(q, k, v), weights_of_qkv());
    for (auto const& [rows, columns] : lv::config::all_arrangements(4)) {
        std::size_t const real = rows * columns;
        CAPTURE(real);
        floats const x = rows_of(real);
        auto const is_padding = [&](std::size_t r) { return r / 8 >= real || r % 8 >= 5; };
        floats const wanted = direct(project(x, 0, width), project(x, 1, kv), project(x, 2, kv),
                                     [&](std::size_t a, std::size_t b) { return !(is_padding(a) && is_padding(b)); });
        for (bool collapsed : {false, true}) {
            lv::vision_rows const plan = lv::plan_image(numbers(), rows, columns, {collapsed, false});
            lv::arena nowhere;
            lv::context c{nowhere};
            c.vision = &plan;
            floats const y = word(collapsed ? collapse(x, real) : x, width, width, 0, c);
            CHECK(difference(y, collapsed ? collapse(wanted, real) : wanted) < 1e-6);
            CHECK(word.peaks_equal);
        }
    }
}

TEST_CASE("text: a row sees itself and all before it, also those that only the cache holds") {
    bound const word(lv::attend_past<heads>(q, k, v), weights_of_qkv());
    floats const x = random_floats(9).many(7 * width);
    floats const wanted = direct(project(x, 0, width), project(x, 1, kv), project(x, 2, kv),
                                 [](std::size_t a, std::size_t b) { return b <= a; });
    for (std::size_t cut : {0u, 1u, 3u, 6u}) {
        floats memory(2 * 2 * 9 * kv, 5.0f); // two layers; the second is used, capacity 9
        lv::segment all;
        all.cache = {memory.data(), 2, 9, kv, 9 * kv};
        lv::text_rows now;
        now.segments = {&all, 1};
        lv::arena nowhere;
        lv::context c{nowhere};
        c.text = &now;
        floats y;
        for (auto const& [first, count] : {std::pair<std::size_t, std::size_t>{0, cut}, {cut, 7 - cut}}) {
            all.position = first;
            all.rows = count;
            floats part(x.begin() + long(first * width), x.begin() + long((first + count) * width));
            floats out(count * width), scratch_memory(1024);
            lv::arena scratch(scratch_memory);
            lv::context pass{scratch};
            pass.text = &now;
            pass.layer = 1;
            run(lv::scalar{}, lv::attend_past<heads>(q, k, v), word.weights(), pass,
                lv::rows{part.data(), count, width}, lv::rows{out.data(), count, width});
            y.insert(y.end(), out.begin(), out.end());
        }
        CHECK(difference(y, wanted) < 1e-6);
        for (std::size_t i = 0; i < 2 * 9 * kv; ++i) CHECK(memory[i] == 5.0f); // the first layer's
        floats const keys = project(x, 1, kv);
        CHECK(floats(all.cache.keys(1), all.cache.keys(1) + 7 * kv) == keys);
    }
}

TEST_CASE("text of several conversations: a row sees those of its own") {
    bound const word(lv::attend_past<heads>(q, k, v), weights_of_qkv());
    floats const x = random_floats(9).many(7 * width); // of the first conversation 3 rows, then 4 of the second
    std::size_t const before = 2;                      // of the second, in its cache
    floats const past = random_floats(10).many(before * width);
    floats a(2 * 5 * kv, 5.0f), b(2 * 9 * kv, 5.0f); // capacities 5 and 9
    floats const past_keys = project(past, 1, kv), past_values = project(past, 2, kv);
    std::copy(past_keys.begin(), past_keys.end(), b.begin());
    std::copy(past_values.begin(), past_values.end(), b.begin() + 9 * kv);
    lv::segment const both[] = {{3, 0, 0, {a.data(), 1, 5, kv, 5 * kv}}, {4, before, 0, {b.data(), 1, 9, kv, 9 * kv}}};
    lv::text_rows now;
    now.segments = both;
    lv::arena nowhere;
    lv::context c{nowhere};
    c.text = &now;
    floats const y = word(x, width, width, 0, c);
    auto const alone = [&](std::size_t first, std::size_t count, floats all) {
        std::size_t const seen = all.size() / width;
        all.insert(all.end(), x.begin() + long(first * width), x.begin() + long((first + count) * width));
        floats const wanted = direct(project(all, 0, width), project(all, 1, kv), project(all, 2, kv),
                                     [](std::size_t query, std::size_t key) { return key <= query; });
        return floats(wanted.begin() + long(seen * width), wanted.end());
    };
    floats wanted = alone(0, 3, {});
    floats const second = alone(3, 4, past);
    wanted.insert(wanted.end(), second.begin(), second.end());
    CHECK(difference(y, wanted) < 1e-6);
    CHECK(word.peaks_equal);
    for (std::size_t i = 3 * kv; i < 5 * kv; ++i) CHECK(a[i] == 5.0f); // nobody's rows
}

namespace {
/// An image memory of one layer made from feature rows: some of real tiles, then padded ones that stand for several.
struct picture {
    floats features, keys, values, bias;
    lv::image_memory memory;

    picture(std::uint64_t seed, std::size_t real, std::size_t padded, float multiplicity)
        : features(random_floats(seed).many((real + padded) * width)), keys(project(features, 1, kv)),
          values(project(features, 2, kv)), bias(padded, std::log(multiplicity)) {
        memory.layers = {{keys.data(), values.data(), keys.data() + real * kv, values.data() + real * kv}};
        memory.rows = real;
        memory.padded_rows = padded;
        memory.padded_bias = bias.data();
    }
};
} // namespace

TEST_CASE("images: rows see the real tiles of their images; unmasked rows all tiles of all images") {
    bound const word(lv::attend_image<heads>(q, lv::from_image(k, v)), weights_of_qkv());
    picture const a(1, 3, 2, 2.0f), b(2, 4, 1, 3.0f);
    lv::image_memory const* const both[] = {&a.memory, &b.memory};
    std::span<lv::image_memory const* const> const all(both);
    std::vector<lv::image_visibility> const visibility{{0, 1, {}, false},
                                                       {1, 2, all, true},
                                                       {3, 1, all.first(1), false},
                                                       {4, 2, all.last(1), false},
                                                       {6, 1, all, false}};
    lv::text_rows now;
    now.visibility = visibility;
    lv::arena nowhere;
    lv::context c{nowhere};
    c.text = &now;
    floats const x = random_floats(3).many(7 * width), y = word(x, width, width, 0, c);

    // Keys in a row, padded ones as often as they count: a's 3 + 2·2, b's 4 + 1·3.
    floats ks, vs;
    std::vector<int> owner;      // 0: a, 1: b
    std::vector<bool> is_padded; // tile
    for (picture const* p : {&a, &b})
        for (std::size_t r = 0; r < p->memory.rows + p->memory.padded_rows; ++r) {
            bool const padded = r >= p->memory.rows;
            for (std::size_t n = 0; n < (padded ? (p == &a ? 2u : 3u) : 1u); ++n) {
                ks.insert(ks.end(), p->keys.begin() + long(r * kv), p->keys.begin() + long((r + 1) * kv));
                vs.insert(vs.end(), p->values.begin() + long(r * kv), p->values.begin() + long((r + 1) * kv));
                owner.push_back(p == &b);
                is_padded.push_back(padded);
            }
        }
    floats const wanted = direct(project(x, 0, width), ks, vs, [&](std::size_t row, std::size_t key) {
        if (row == 0) return false;
        if (row <= 2) return true;
        if (is_padded[key]) return false;
        return row == 6 || owner[key] == (row >= 4);
    });
    CHECK(difference(y, wanted) < 1e-6);
    for (std::size_t i = 0; i < width; ++i) CHECK(y[i] == 0);
    CHECK(word.peaks_equal);
}

TEST_CASE("what an image says to a layer is its keys' and values' expressions") {
    bound const word(lv::attend_image<heads>(q, lv::from_image(k, v)), weights_of_qkv());
    floats features = random_floats(8).many(5 * width), keys(5 * kv), values(5 * kv), none;
    lv::arena scratch(none);
    lv::context c{scratch};
    using type = decltype(lv::attend_image<heads>(q, lv::from_image(k, v)));
    type::memorise(lv::scalar{}, word.weights(), c, {features.data(), 5, width}, {keys.data(), 5, kv},
                   {values.data(), 5, kv});
    CHECK(keys == project(features, 1, kv));
    CHECK(values == project(features, 2, kv));
}

TEST_CASE("the work of attention is counted from the pairs") {
    lv::work w;
    w.text_rows = 3;
    w.text_pairs = 6;
    double rows = 3;
    double const products = 2.0 * 3 * (width * width + 2 * width * kv);
    CHECK(flops(lv::attend_past<heads>(q, k, v), w, rows) == products + 4 * 6 * width);
}
