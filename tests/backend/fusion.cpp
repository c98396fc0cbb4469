// SPDX-License-Identifier: Apache-2.0
// What the simd backend does in one pass has the bits of its parts: norms that products make as they read, and several
// products of the same rows.
#include <array>

#include "repacked.hpp"
#include "tiers.hpp"

using namespace backends;

namespace {

/// Rows that have a mean worth taking off, and what their norm is made with.
struct normed_scene {
    std::vector<float> x, weight, bias, made;
    lv::normed left;

    normed_scene(lv::simd const& b, std::size_t rows, std::size_t columns, bool layer) : left(nullptr) {
        numbers n(rows * 3 + columns);
        x = n.floats(rows * columns, 3.0f);
        for (float& v : x) v += 0.5f;
        weight = n.floats(columns, 0.2f);
        bias = n.floats(columns, 0.2f);
        made.resize(x.size());
        left = {x.data(), weight.data(), layer ? bias.data() : nullptr, 1e-3f};
        if (layer)
            b.layer_norm(x.data(), rows, columns, weight.data(), bias.data(), 1e-3f, made.data());
        else
            b.rms_norm(x.data(), rows, columns, weight.data(), 1e-3f, made.data());
    }
};

constexpr lv::weight_format all_formats[] = {lv::weight_format::stored, lv::weight_format::bf16, lv::weight_format::i8,
                                             lv::weight_format::q8, lv::weight_format::q4};

} // namespace

TEST_CASE("a norm that a product makes as it reads is the norm before it") {
    on_every_tier([](lv::simd const& b) {
        for (lv::weight_format const f : all_formats)
            for (std::size_t rows : {1u, 3u, 9u, 13u, 150u})
                for (std::size_t columns : {32u, 352u})
                    for (bool layer : {false, true}) {
                        CAPTURE(std::string(lv::name_of(f)));
                        CAPTURE(rows);
                        CAPTURE(columns);
                        CAPTURE(layer);
                        std::size_t const outputs = 45;
                        normed_scene const s(b, rows, columns, layer);
                        numbers n(columns);
                        weight const one(lv::format::f32, outputs, columns, n.floats(outputs * columns));
                        weight const two(lv::format::f32, outputs, columns, n.floats(outputs * columns));
                        repacked const gate(b, one, f), up(b, two, f);
                        std::vector<float> const bias = n.floats(outputs);
                        std::vector<float> parts(rows * outputs), whole(rows * outputs, 777.0f);
                        b.linear(gate.view(), bias.data(), s.made.data(), rows, parts.data());
                        b.linear(gate.view(), bias.data(), s.left, rows, whole.data());
                        CHECK(same_bits(parts, whole));
                        b.fused_linear_gelu(gate.view(), bias.data(), s.made.data(), rows, parts.data());
                        b.fused_linear_gelu(gate.view(), bias.data(), s.left, rows, whole.data());
                        CHECK(same_bits(parts, whole));
                        b.fused_swiglu(gate.view(), up.view(), s.made.data(), rows, parts.data());
                        b.fused_swiglu(gate.view(), up.view(), s.left, rows, whole.data());
                        CHECK(same_bits(parts, whole));
                    }
    });
}

TEST_CASE("rows of a stored weight's product are normed in pieces") {
    lv::simd const b(2);
    std::size_t const rows = 20, columns = 100'000, outputs = 3; // ten rows a piece
    normed_scene const s(b, rows, columns, false);
    weight const w(lv::format::f32, outputs, columns, numbers(5).floats(outputs * columns));
    std::vector<float> parts(rows * outputs), whole(rows * outputs);
    b.linear(w.view(), nullptr, s.made.data(), rows, parts.data());
    b.linear(w.view(), nullptr, s.left, rows, whole.data());
    CHECK(same_bits(parts, whole));
    b.fused_swiglu(w.view(), w.view(), s.made.data(), rows, parts.data());
    b.fused_swiglu(w.view(), w.view(), s.left, rows, whole.data());
    CHECK(same_bits(parts, whole));
}

TEST_CASE("projections of the same rows are products, and rope, one after the other") {
    using enum lv::weight_format;
    std::vector<std::array<lv::weight_format, 3>> mixes = {{q4, bf16, q8}, {stored, bf16, i8}};
    for (lv::weight_format const f : all_formats) mixes.push_back({f, f, f});
    on_every_tier([&](lv::simd const& b) {
        for (auto const& mix : mixes)
            for (std::size_t rows : {1u, 3u, 8u, 70u})
                for (std::size_t head_dim : {0u, 6u, 16u})
                    for (std::size_t count : {1u, 3u}) {
                        CAPTURE(std::string(lv::name_of(mix[0])));
                        CAPTURE(std::string(lv::name_of(mix[1])));
                        CAPTURE(rows);
                        CAPTURE(head_dim);
                        CAPTURE(count);
                        std::size_t const columns = 96, outputs[] = {96, 48, 37};
                        normed_scene const s(b, rows, columns, false);
                        numbers n(rows);
                        std::vector<float> const cos = n.floats(rows * 8), sin = n.floats(rows * 8);
                        std::vector<weight> stored_weights;
                        std::vector<repacked> w;
                        std::vector<std::vector<float>> parts, whole;
                        std::vector<lv::projection> of;
                        stored_weights.reserve(count);
                        for (std::size_t i = 0; i < count; ++i) {
                            stored_weights.emplace_back(lv::format::f32, outputs[i], columns,
                                                        n.floats(outputs[i] * columns));
                            w.emplace_back(b, stored_weights.back(), mix[i]);
                            parts.emplace_back(rows * outputs[i]);
                            whole.emplace_back(rows * outputs[i], 777.0f);
                        }
                        for (std::size_t i = 0; i < count; ++i) {
                            bool const rotated = head_dim > 0 && i < 2;
                            of.push_back({w[i].view(), whole[i].data(), rotated});
                            b.linear(w[i].view(), nullptr, s.made.data(), rows, parts[i].data());
                            if (rotated)
                                b.rope(parts[i].data(), rows, outputs[i] / head_dim, head_dim, cos.data(), sin.data());
                        }
                        b.fused_projections(of, s.left, rows, {cos.data(), sin.data(), head_dim});
                        for (std::size_t i = 0; i < count; ++i) CHECK(same_bits(parts[i], whole[i]));
                    }
    });
}
