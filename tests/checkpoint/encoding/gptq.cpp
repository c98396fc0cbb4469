// SPDX-License-Identifier: Apache-2.0
// Weights of GPTQ, AWQ and AutoRound: values to the bit in the type in which the model is loaded, and damaged files.
#include "stored_weights.hpp"

#include <llamavision/checkpoint/encoding/widen.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

using namespace stored;

namespace {

constexpr std::size_t inputs = 96, outputs = 32;

float scale(std::size_t g, std::size_t n) { // of both signs, and not exact in bfloat16
    float const value = 0.0123f + 0.0037f * static_cast<float>(n * 3 + g);
    return as_f16(n % 3 == 0 ? -value : value);
}
std::uint32_t code(std::size_t k, std::size_t n, unsigned bits) { return some(k, n, 1u << bits); }
std::uint32_t zero(std::size_t g, std::size_t n, unsigned bits) { return some(g + 99, n, 1u << bits); }

std::string settings(std::string const& method, std::size_t bits, std::size_t groups, std::string const& more = {}) {
    return R"({"quant_method": ")" + method + R"(", "bits": )" + std::to_string(bits) + R"(, "group_size": )"
           + (groups == 1 ? std::string("-1") : std::to_string(inputs / groups)) + more + "}";
}

void set_scales(weights& w, std::size_t groups) {
    w.set("m.scales", dtype::f16, {groups, outputs}, f16_bits(made<float>(groups, outputs, scale)));
}

/// The GPTQ layout: codes along the inputs, zero points along the outputs.
weights gptq(unsigned bits, std::size_t groups, std::string const& method = "gptq", std::string const& more = {}) {
    weights w;
    w.settings(method, settings(method, bits, groups, more));
    auto const columns =
        made<std::uint32_t>(outputs, inputs, [=](std::size_t n, std::size_t k) { return code(k, n, bits); });
    w.set("m.qweight", dtype::i32, {inputs * bits / 32, outputs},
          transposed(rows_in_words(columns, inputs, bits), outputs));
    auto const zeros =
        made<std::uint32_t>(groups, outputs, [=](std::size_t g, std::size_t n) { return zero(g, n, bits); });
    w.set("m.qzeros", dtype::i32, {groups, outputs * bits / 32}, rows_in_words(zeros, outputs, bits));
    set_scales(w, groups);
    return w;
}

/// The AWQ layout, with each word's codes in AWQ's order.
weights awq(std::size_t groups, std::string const& method = "awq") {
    weights w;
    w.settings(method, settings(method, 4, groups, R"(, "zero_point": false, "modules_to_not_convert": ["m"])"));
    constexpr std::array<std::size_t, 8> order{0, 2, 4, 6, 1, 3, 5, 7};
    auto const words = [&](std::size_t lines, auto const& of) {
        return made<std::uint32_t>(lines, outputs / 8, [&](std::size_t line, std::size_t j) {
            std::uint32_t word = 0;
            for (std::size_t i = 0; i < 8; ++i) word |= of(line, j * 8 + order[i], 4u) << (4 * i);
            return word;
        });
    };
    w.set("m.qweight", dtype::i32, {inputs, outputs / 8}, words(inputs, code));
    w.set("m.qzeros", dtype::i32, {groups, outputs / 8}, words(groups, zero));
    set_scales(w, groups);
    return w;
}

std::vector<float> expected(unsigned bits, int more, auto const& rounded, auto const& group_of) {
    return made<float>(outputs, inputs, [&](std::size_t n, std::size_t k) {
        std::size_t const g = group_of(k);
        int const difference = static_cast<int>(code(k, n, bits)) - static_cast<int>(zero(g, n, bits)) - more;
        return rounded(static_cast<float>(difference) * rounded(scale(g, n)));
    });
}

auto in_groups(std::size_t groups) {
    return [=](std::size_t k) { return k / (inputs / groups); };
}

} // namespace

TEST_CASE("GPTQ: every width, in groups or whole columns, in the type of the model") {
    for (unsigned const bits : {2u, 3u, 4u, 5u, 6u, 8u})
        for (std::size_t const groups : {std::size_t{1}, std::size_t{3}}) {
            CAPTURE(bits);
            CAPTURE(groups);
            auto w = gptq(bits, groups);
            auto const exact = [](float value) { return value; };
            CHECK(w.values(dtype::bf16) == expected(bits, 1, as_bf16, in_groups(groups)));
            CHECK(w.values(dtype::f16) == expected(bits, 1, as_f16, in_groups(groups)));
            CHECK(w.values(dtype::f32) == expected(bits, 1, as_bf16, in_groups(groups)));
            w.computed("float32");
            CHECK(w.values(dtype::f32) == expected(bits, 1, exact, in_groups(groups)));
            CHECK(w.weight().shape == std::vector<std::size_t>{outputs, inputs});
            CHECK(bits_of(*w.weight().stored) == bits);
            CHECK(group_text(*w.weight().stored) == (groups == 1 ? "row" : "group 32"));
        }
}

TEST_CASE("GPTQ: a tensor of another type is computed in that type") { // not converted from the first one
    auto const all = gptq(4, 3).read();
    auto const other = llamavision::checkpoint::retyped(all.tensors.at("m.weight"), dtype::f16);
    std::vector<std::uint16_t> values(inputs * outputs);
    other.make(std::as_writable_bytes(std::span(values)));
    CHECK(values == f16_bits(expected(4, 1, as_f16, in_groups(3))));
}

TEST_CASE("GPTQ: its second format stores the zero point itself") {
    for (char const* const key : {"checkpoint_format", "format"})
        CHECK(gptq(4, 3, "gptq", std::string(R"(, ")") + key + R"(": "gptq_v2")").values(dtype::bf16)
              == expected(4, 0, as_bf16, in_groups(3)));
    CHECK(gptq(4, 3, "gptq", R"(, "checkpoint_format": "gptq")").values(dtype::bf16)
          == expected(4, 1, as_bf16, in_groups(3)));
}

TEST_CASE("GPTQ: columns in the order of their activations") { // desc_act
    auto w = gptq(4, 3);
    auto const group = [](std::size_t k) { return k * 7 % 11 % 3; };
    w.set("m.g_idx", dtype::i32, {inputs}, made<std::int32_t>(inputs, 1, [&](std::size_t k, std::size_t) {
              return static_cast<std::int32_t>(group(k));
          }));
    CHECK(w.values(dtype::bf16) == expected(4, 1, as_bf16, group));
    CHECK(group_text(*w.weight().stored) == "group 32, columns in an order of their own");
    w.set("m.g_idx", dtype::i32, {inputs},
          made<std::int32_t>(inputs, 1, [&](std::size_t k, std::size_t) { return static_cast<std::int32_t>(k / 32); }));
    CHECK(group_text(*w.weight().stored) == "group 32");
    for (int const wrong : {3, -1, 0x7fffffff}) {
        w.set("m.g_idx", dtype::i32, {inputs}, std::vector<std::int32_t>(inputs, wrong));
        CHECK(contains(w.refused(),
                       "\"m.g_idx\" I32 [96]: column 0 is in group " + std::to_string(wrong) + ", but there are 3"));
    }
    w.set("m.g_idx", dtype::i32, {97}, std::vector<std::int32_t>(97));
    CHECK(contains(w.refused(), "\"m.g_idx\" I32 [97]: must be [96]"));
}

TEST_CASE("AWQ") {
    for (std::size_t const groups : {std::size_t{1}, std::size_t{3}}) {
        CHECK(awq(groups).values(dtype::bf16) == expected(4, 0, as_bf16, in_groups(groups)));
        CHECK(awq(groups).values(dtype::f16) == expected(4, 0, as_f16, in_groups(groups)));
    }
    auto w = awq(3);
    w.set("m.scales", dtype::bf16, {3, outputs}, bf16_bits(made<float>(3, outputs, scale)));
    CHECK(w.values(dtype::bf16) == expected(4, 0, as_bf16, in_groups(3)));
    auto const in_f16 = made<float>(outputs, inputs, [&](std::size_t n, std::size_t k) {
        int const difference = static_cast<int>(code(k, n, 4)) - static_cast<int>(zero(k / 32, n, 4));
        return as_f16(static_cast<float>(difference) * as_f16(as_bf16(scale(k / 32, n))));
    });
    CHECK(w.values(dtype::f16) == in_f16);
    CHECK(w.weight().stored->format == "AWQ");
}

TEST_CASE("AutoRound: its packing_format says which layout, and whether zero points are less one") {
    auto const in = [](std::string const& packing) { return R"(, "packing_format": ")" + packing + '"'; };
    CHECK(gptq(4, 3, "auto-round", in("auto_round:auto_gptq")).values(dtype::bf16)
          == expected(4, 1, as_bf16, in_groups(3)));
    CHECK(gptq(4, 3, "auto-round", in("auto_round:gptqmodel")).values(dtype::bf16)
          == expected(4, 0, as_bf16, in_groups(3)));
    CHECK(awq(3, "auto-round").values(dtype::bf16) == expected(4, 0, as_bf16, in_groups(3)));
    CHECK(awq(3, "auto-round").weight().stored->format == "AutoRound, AWQ layout");
}

TEST_CASE("AutoRound: rows that are padded to whole groups") {
    auto w = gptq(4, 3, "auto-round", R"(, "packing_format": "auto_round:auto_gptq")");
    w.rename("multi_modal_projector");
    w.model().values.vision.width = 20;
    w.model().values.vision.taps = {0, 1, 2};
    auto const joined = w.read();
    auto const& weight = joined.tensors.at("multi_modal_projector.weight");
    CHECK(weight.shape == std::vector<std::size_t>{outputs, 80}); // of 96
    std::vector<std::uint16_t> values(outputs * 80);
    weight.make(std::as_writable_bytes(std::span(values)));
    auto const padded = bf16_bits(expected(4, 1, as_bf16, in_groups(3)));
    CHECK(values
          == made<std::uint16_t>(outputs, 80, [&](std::size_t n, std::size_t k) { return padded[n * inputs + k]; }));
    w.set("multi_modal_projector.g_idx", dtype::i32, {70},
          made<std::int32_t>(70, 1, [](std::size_t k, std::size_t) { return static_cast<std::int32_t>(k / 32); }));
    CHECK(w.read().tensors.at("multi_modal_projector.weight").shape == std::vector<std::size_t>{outputs, 70});
    w.drop("multi_modal_projector.g_idx");
    w.model().values.vision.width = 16; // 64: a whole group too many
    CHECK(w.read().tensors.at("multi_modal_projector.weight").shape == std::vector<std::size_t>{outputs, inputs});
}

TEST_CASE("GPTQ: damaged files are refused by the tensor's name") {
    auto const with = [](auto const& change) {
        auto w = gptq(4, 3);
        change(w);
        return w.refused();
    };
    using ints = std::vector<std::int32_t>;
    using halves = std::vector<std::uint16_t>;
    CHECK(contains(with([](weights& w) { w.set("m.qweight", dtype::i32, {12, 31}, ints(12 * 31)); }), "\"m.qweight\""));
    CHECK(contains(with([](weights& w) {
                       w.set("m.qweight", dtype::i32, {11, 32}, ints(11 * 32));
                   }),
                   "\"m.scales\" F16 [3, 32]: 3 groups do not divide the rows of 88 weights"));
    CHECK(contains(with([](weights& w) { w.set("m.qweight", dtype::i32, {12 * 32}, ints(12 * 32)); }),
                   "\"m.qweight\" I32 [384]: must be a matrix"));
    CHECK(contains(with([](weights& w) { w.set("m.scales", dtype::f16, {5, 32}, halves(160)); }), "\"m.qzeros\""));
    CHECK(contains(with([](weights& w) { w.set("m.scales", dtype::f16, {0, 32}, halves()); }), "\"m.scales\""));
    CHECK(contains(with([](weights& w) {
                       w.set("m.scales", dtype::f16, {3, 32}, halves(96, 0x7c00));
                   }),
                   "\"m.weight\" (GPTQ): a scale of row 0 is infinite or not a number"));
    for (std::size_t const wide : {std::size_t{1}, std::size_t{9}, std::size_t{31}})
        CHECK(contains(with([&](weights& w) {
                           w.set("m.qzeros", dtype::i32, {3, wide}, ints(3 * wide));
                       }),
                       "\"m.qzeros\" I32 [3, " + std::to_string(wide) + "]: must have one code of 2 to 8 bits"));
    CHECK(contains(with([](weights& w) { w.drop("m.qzeros"); }), "\"m.qzeros\" is missing beside \"m.qweight\""));
    CHECK(contains(with([](weights& w) { w.drop("m.qweight"); }), "is missing beside \"m.qzeros\""));
}

TEST_CASE("GPTQ: settings that the tensors contradict") {
    auto const said = [](std::string const& method, std::string const& text) {
        auto w = gptq(4, 3);
        w.settings(method, text);
        return w.refused();
    };
    CHECK(contains(said("gptq", R"({"bits": 8})"), "\"m.qweight\" I32 [12, 32] is 4 bits, but config.json: "
                                                   "quantization_config.bits: says 8"));
    CHECK(contains(said("gptq", R"({"bits": 4, "group_size": 128})"), "in groups of 32, but config.json: "
                                                                      "quantization_config.group_size: says 128"));
    CHECK(contains(said("gptq", R"({"w_bit": 3})"), "quantization_config.w_bit: says 3"));
    CHECK(contains(said("gptq", R"({"checkpoint_format": "marlin"})"),
                   "is GPTQ, but config.json: quantization_config.checkpoint_format: says \"marlin\""));
    CHECK(contains(said("awq", R"({"bits": 4})"), "is GPTQ, but config.json: quantization_config: quant_method is "
                                                  "\"awq\""));
    CHECK(contains(said("gptq", R"({"bits": 8, "dynamic": {"+:.*": {"bits": 4}}})"), "nothing was thrown"));
    auto gemv = awq(3);
    gemv.settings("awq", R"({"version": "GEMV"})");
    CHECK(contains(gemv.refused(), "is AWQ, but config.json: quantization_config.version: says \"GEMV\""));
    gemv.settings("awq", R"({"version": "GEMM", "q_group_size": 32})");
    CHECK(gemv.refused() == "nothing was thrown");
    auto one = gptq(4, 1);
    one.settings("gptq", R"({"group_size": 128})"); // rows of 96 are one group
    CHECK(one.refused() == "nothing was thrown");
    one.settings("gptq", R"({"group_size": 32})");
    CHECK(contains(one.refused(), "in groups of 96, but config.json: quantization_config.group_size: says 32"));
    auto w = awq(3);
    w.settings("gptq", R"({"bits": 4})");
    CHECK(contains(w.refused(), "is AWQ, but config.json: quantization_config: quant_method is \"gptq\""));
}
