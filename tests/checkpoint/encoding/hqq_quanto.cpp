// SPDX-License-Identifier: Apache-2.0
// HQQ's and quanto's weights, whose bytes hold codes that are far apart: values by the formulas in their sources, and
// damaged files.
#include "stored_weights.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

using namespace stored;

namespace {

constexpr std::size_t rows = 10, columns = 16, group = 4, in_row = columns / group, groups = rows * in_row;

std::uint32_t code(std::size_t line, std::size_t i, std::size_t bits) { return some(line, i, 1u << bits); }
float scale(std::size_t line) { return as_bf16(0.0171f * static_cast<float>(1 + line % 9)); }
float centre(std::size_t line) { return as_bf16(0.37f + 0.211f * static_cast<float>(line % 7)); }

/// The groups as lines, spread over words: line l is part l / lines of word line l % lines.
template <class Word>
std::vector<Word> spread(std::size_t bits, std::size_t per_word, bool high_first) {
    std::size_t const lines = (groups + per_word - 1) / per_word;
    std::vector<Word> words(lines * group);
    for (std::size_t l = 0; l < groups; ++l)
        for (std::size_t i = 0; i < group; ++i) {
            std::size_t const part = l / lines, place = high_first ? per_word - 1 - part : part;
            auto& word = words[l % lines * group + i];
            word = static_cast<Word>(word | static_cast<Word>(code(l, i, bits) << (place * bits)));
        }
    return words;
}

std::vector<std::uint16_t> by_group(float (*of)(std::size_t)) {
    return bf16_bits(made<float>(groups, 1, [of](std::size_t l, std::size_t) { return of(l); }));
}

weights hqq(std::int32_t bits) {
    weights w;
    w.settings("hqq", R"({"quant_method": "hqq"})");
    if (bits == 3) {
        auto const words = spread<std::uint32_t>(3, 10, true);
        w.set("m.W_q", dtype::i32, {words.size() / group, group}, words);
    } else {
        auto const bytes =
            spread<std::uint8_t>(static_cast<std::size_t>(bits), static_cast<std::size_t>(8 / bits), true);
        w.set("m.W_q", dtype::u8, {bytes.size() / group, group}, bytes);
    }
    w.set("m.scale", dtype::bf16, {groups, 1}, by_group(scale));
    w.set("m.zero", dtype::bf16, {groups, 1}, by_group(centre));
    w.set("m.nbits", dtype::i32, {}, std::vector<std::int32_t>{bits});
    w.set("m.group_size", dtype::i32, {}, std::vector<std::int32_t>{group});
    w.set("m.axis", dtype::i32, {}, std::vector<std::int32_t>{1});
    w.set("m.shape", dtype::i64, {2}, std::vector<std::int64_t>{rows, columns});
    w.set("m.packing", "4bit_u8");
    return w;
}

weights quanto(std::size_t bits, bool integers) {
    weights w;
    w.settings("quanto", R"({"quant_method": "quanto"})");
    w.model().values.text.width = columns;
    auto const bytes = spread<std::uint8_t>(bits, 8 / bits, false);
    w.set("m.weight._data._data", dtype::u8, {bytes.size() / group, group}, bytes);
    w.set("m.weight._scale", dtype::bf16, {groups, 1}, by_group(scale));
    if (integers)
        w.set("m.weight._shift", dtype::i8, {groups, 1}, std::vector<std::int8_t>(groups, 3));
    else
        w.set("m.weight._shift", dtype::bf16, {groups, 1}, by_group(centre));
    w.rename("language_model.q_proj");
    return w;
}

std::vector<float> values_of_module(weights const& w, std::string const& name) {
    auto const all = w.read();
    auto const& weight = all.tensors.at(name);
    CHECK(weight.shape == std::vector<std::size_t>{rows, columns});
    std::vector<std::uint16_t> bits(rows * columns);
    weight.make(std::as_writable_bytes(std::span(bits)));
    std::vector<float> values;
    for (std::uint16_t const b : bits) values.push_back(static_cast<float>(bf16{b}));
    return values;
}

std::vector<float> expected(std::size_t bits, auto const& formula) {
    return made<float>(rows, columns, [&](std::size_t n, std::size_t k) {
        std::size_t const line = n * in_row + k / group;
        return formula(static_cast<float>(code(line, k % group, bits)), scale(line), centre(line));
    });
}

} // namespace

TEST_CASE("HQQ: every width") {
    for (std::int32_t const bits : {1, 2, 3, 4, 8}) {
        CAPTURE(bits);
        auto const w = hqq(bits);
        CHECK(w.values(dtype::bf16) == expected(static_cast<std::size_t>(bits), [](float q, float s, float z) {
                  return as_bf16(as_bf16(q - z) * s);
              }));
        CHECK(w.read().tensors.size() == 1);
        CHECK(group_text(*w.weight().stored) == "group 4");
    }
}

TEST_CASE("HQQ: damaged files are refused by the tensor's name") {
    auto const with = [](std::string const& name, dtype type, auto const& values) {
        auto w = hqq(4);
        w.set(name, type, {values.size()}, values);
        return w.refused();
    };
    using narrow = std::vector<std::int32_t>;
    CHECK(contains(with("m.axis", dtype::i32, narrow{0}), "\"m.axis\" I32 [1]: groups across rows"));
    for (std::int32_t const bits : {0, 5, -4, 16})
        CHECK(contains(with("m.nbits", dtype::i32, narrow{bits}), "\"m.nbits\" I32 [1]: must be 1, 2, 3, 4 or 8"));
    CHECK(contains(with("m.nbits", dtype::i32, narrow{8}), "\"m.W_q\" U8 [20, 4]: has 80 bytes"));
    for (std::int32_t const size : {0, 3, -4, 0x7fffffff})
        CHECK(contains(with("m.group_size", dtype::i32, narrow{size}), "\"m.group_size\" I32 [1]: does not divide"));
    using wide = std::vector<std::int64_t>;
    for (auto const& shape : {wide{0, 16}, wide{-1, 16}, wide{std::int64_t{1} << 40, 16}})
        CHECK(contains(with("m.shape", dtype::i64, shape), "\"m.shape\" I64 [2]: is no matrix's"));
    CHECK(contains(with("m.shape", dtype::i64, wide{4000000000, 16}), "\"m.W_q\" U8 [20, 4]: has 80 bytes"));
    CHECK(contains(with("m.shape", dtype::i64, wide{10}), "\"m.shape\" I64 [1]: must have 2 values"));
    CHECK(contains(with("m.scale", dtype::bf16, std::vector<std::uint16_t>(7)), "\"m.scale\" BF16 [7]: must have 40"));
    CHECK(contains(with("m.zero", dtype::bf16, std::vector<std::uint16_t>(groups, 0x7fc0)), "a scale of row 0"));
}

TEST_CASE("quanto: 2 and 4 bits, with shifts that are integers or not") {
    for (std::size_t const bits : {2u, 4u}) {
        CHECK(values_of_module(quanto(bits, false), "language_model.q_proj.weight")
              == expected(bits, [](float q, float s, float z) { return as_bf16(as_bf16(q * s) - z); }));
        CHECK(values_of_module(quanto(bits, true), "language_model.q_proj.weight")
              == expected(bits, [](float q, float s, float) { return as_bf16((q - 3) * s); }));
    }
    auto w = quanto(4, true);
    w.model().values.text.width = 24;
    CHECK(contains(message_of<llamavision::error>([&] { return w.read(); }), "do not make rows of 24 weights"));
    w.model().values.text.width = 0;
    CHECK(contains(message_of<llamavision::error>([&] { return w.read(); }), "config.json knows no such layer"));
}

TEST_CASE("quanto: int8 and FP8") {
    weights w;
    w.settings("quanto", "{}");
    w.set("m.weight._data", dtype::i8, {2, 3}, std::vector<std::int8_t>{-128, 1, 2, 3, 4, 127});
    w.set("m.weight._scale", dtype::bf16, {2, 1}, bf16_bits({0.3f, 0.7f}));
    w.set("m.input_scale", dtype::bf16, {}, bf16_bits({1.0f}));
    CHECK(w.values(dtype::bf16)[5] == as_bf16(127 * as_bf16(0.7f)));
    w.set("m.weight._data", dtype::f8_e4m3, {2, 3}, std::vector<std::uint8_t>{0x38, 0x39, 0x3a, 0x3b, 0x3c, 0xbf});
    CHECK(w.values(dtype::bf16)[5] == as_bf16(-1.875f * as_bf16(0.7f)));
    w.set("m.weight._scale", dtype::bf16, {3, 1}, bf16_bits({1, 2, 3}));
    CHECK(contains(w.refused(), "\"m.weight._scale\" BF16 [3, 1]: must have scales for each of the 2 rows"));
}
