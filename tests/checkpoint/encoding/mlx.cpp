// SPDX-License-Identifier: Apache-2.0
// MLX's weights: values to the bit in every mode and width, modules with settings of their own, and damaged files.
#include "stored_weights.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

using namespace stored;

namespace {

constexpr std::size_t rows = 3, columns = 128;

float scale(std::size_t n, std::size_t g) { return as_bf16((n + g) % 2 == 0 ? 0.0173f : -0.0311f); }
float offset(std::size_t n, std::size_t g) { return as_bf16(0.27f - 0.13f * static_cast<float>(n + 2 * g)); }
std::uint8_t exponent(std::size_t n, std::size_t g) { return static_cast<std::uint8_t>(118 + some(n, g, 7)); }

std::string settings(std::size_t bits, std::size_t group, std::string const& more = {}) {
    return R"({"group_size": )" + std::to_string(group) + R"(, "bits": )" + std::to_string(bits) + more + "}";
}

void set_codes(weights& w, std::size_t bits) {
    auto const words = rows_in_words(
        made<std::uint32_t>(rows, columns, [=](std::size_t n, std::size_t k) { return some(n, k, 1u << bits); }),
        columns, bits);
    w.set("m.weight", dtype::u32, {rows, words.size() / rows}, words);
}

weights affine(std::size_t bits, std::size_t group) {
    weights w;
    w.settings("mlx", settings(bits, group, R"(, "mode": "affine")"));
    set_codes(w, bits);
    std::size_t const groups = columns / group;
    w.set("m.scales", dtype::bf16, {rows, groups}, bf16_bits(made<float>(rows, groups, scale)));
    w.set("m.biases", dtype::bf16, {rows, groups}, bf16_bits(made<float>(rows, groups, offset)));
    return w;
}

std::vector<float> expected(std::size_t bits, std::size_t group) {
    return made<float>(rows, columns, [=](std::size_t n, std::size_t k) {
        float const product = as_bf16(static_cast<float>(some(n, k, 1u << bits)) * scale(n, k / group));
        return as_bf16(product + offset(n, k / group));
    });
}

weights floats(std::string const& mode, std::size_t bits, std::size_t group) {
    weights w;
    w.settings("mlx", settings(bits, group, R"(, "mode": ")" + mode + '"'));
    set_codes(w, bits);
    w.set("m.scales", dtype::u8, {rows, columns / group}, made<std::uint8_t>(rows, columns / group, exponent));
    return w;
}

float small(std::uint32_t code, int exponent_bits, int mantissa_bits) { // by the definition
    auto const m = static_cast<float>(code & ((1u << mantissa_bits) - 1));
    auto const e = static_cast<int>(code >> mantissa_bits & ((1u << exponent_bits) - 1));
    int const bias = (1 << (exponent_bits - 1)) - 1;
    float const one = e == 0 ? 0.0f : 1.0f;
    float const value = std::ldexp(one + std::ldexp(m, -mantissa_bits), std::max(e, 1) - bias);
    return code >> (exponent_bits + mantissa_bits) & 1u ? -value : value;
}

} // namespace

TEST_CASE("MLX: affine, in every width") {
    for (std::size_t const bits : {2u, 3u, 4u, 5u, 6u, 8u})
        for (std::size_t const group : {32u, 64u, 128u}) {
            CAPTURE(bits);
            CAPTURE(group);
            auto const w = affine(bits, group);
            CHECK(w.values(dtype::bf16) == expected(bits, group));
            CHECK(w.weight().shape == std::vector<std::size_t>{rows, columns});
            CHECK(w.weight().stored->format == "MLX affine");
            CHECK(bits_of(*w.weight().stored) == bits);
        }
    auto w = affine(4, 64);
    w.settings("mlx", settings(4, 64)); // before there were modes
    CHECK(w.values(dtype::bf16) == expected(4, 64));
}

TEST_CASE("MLX: mxfp4, mxfp8 and nvfp4") {
    CHECK(floats("mxfp4", 4, 32).values(dtype::bf16) == made<float>(rows, columns, [](std::size_t n, std::size_t k) {
              return as_bf16(small(some(n, k, 16), 2, 1) * std::ldexp(1.0f, exponent(n, k / 32) - 127));
          }));
    CHECK(floats("nvfp4", 4, 16).values(dtype::bf16) == made<float>(rows, columns, [](std::size_t n, std::size_t k) {
              return as_bf16(small(some(n, k, 16), 2, 1) * small(exponent(n, k / 16), 4, 3));
          }));
    auto w = floats("mxfp8", 8, 32);
    auto const code = [](std::size_t n, std::size_t k) { return some(n, k, 127); }; // no NaN
    w.set("m.weight", dtype::u32, {rows, columns / 4},
          rows_in_words(made<std::uint32_t>(rows, columns, code), columns, 8));
    CHECK(w.values(dtype::bf16) == made<float>(rows, columns, [&](std::size_t n, std::size_t k) {
              return as_bf16(small(code(n, k), 4, 3) * std::ldexp(1.0f, exponent(n, k / 32) - 127));
          }));
}

TEST_CASE("MLX: a module may have settings of its own") {
    auto w = affine(8, 32);
    w.rename("language_model.lm_head");
    std::string const own = R"(, "language_model.lm_head": {"bits": 8, "group_size": 32})";
    w.settings("mlx", settings(4, 64, own));
    CHECK(w.read().tensors.at("language_model.lm_head.weight").stored->format == "MLX affine");
    CHECK(contains(message_of<llamavision::error>([&] {
                       w.settings("mlx", settings(4, 64, R"(, "lm_head": false)"));
                       return w.read();
                   }),
                   "\"language_model.lm_head.weight\" U32 [3, 32] is quantised, but config.json: "
                   "quantization_config.lm_head: says false"));
    auto tower = affine(8, 32);
    tower.rename("vision_model.x");
    tower.settings("mlx", settings(4, 64, R"(, "vision_tower.x": {"bits": 8, "group_size": 32})"));
    CHECK(tower.read().tensors.contains("vision_model.x.weight"));
}

TEST_CASE("MLX: damaged files, and settings that the tensors contradict") {
    auto const with = [](auto const& change) {
        auto w = affine(4, 64);
        change(w);
        return w.refused();
    };
    using words = std::vector<std::uint32_t>;
    using halves = std::vector<std::uint16_t>;
    CHECK(contains(
        with([](weights& w) {
            w.set("m.weight", dtype::u32, {rows, 15}, words(rows * 15));
        }),
        "\"m.weight\" U32 [3, 15] is for 2 groups in a row, but config.json: quantization_config.bits: says 4"));
    CHECK(contains(with([](weights& w) { w.settings("mlx", settings(8, 64)); }), "bits: says 8 and group_size 64"));
    CHECK(contains(with([](weights& w) {
                       w.set("m.scales", dtype::bf16, {2, 2}, halves(4));
                   }),
                   "\"m.scales\" BF16 [2, 2]: must have 3 rows"));
    CHECK(contains(with([](weights& w) {
                       w.set("m.scales", dtype::bf16, {rows, 2}, halves(6, 0x7f80));
                   }),
                   "\"m.weight\" (MLX affine): a scale of row 0 is infinite"));
    CHECK(contains(with([](weights& w) {
                       w.set("m.biases", dtype::bf16, {rows, 2}, halves(6, 0x7fc0));
                   }),
                   "\"m.weight\" (MLX affine): a scale of row 0 is infinite or not a number"));
    CHECK(contains(with([](weights& w) {
                       w.set("m.biases", dtype::bf16, {rows, 3}, halves(9));
                   }),
                   "\"m.biases\" BF16 [3, 3]: must be [3, 2]"));
    CHECK(contains(with([](weights& w) { w.drop("m.biases"); }), "is without biases, but config.json"));
    CHECK(contains(with([](weights& w) { w.drop("m.weight"); }), "\"m.weight\" is missing beside \"m.biases\""));
    CHECK(contains(with([](weights& w) { w.settings("mlx", settings(4, 64, R"(, "mode": "mxfp4")")); }),
                   "is beside biases, but config.json: quantization_config.mode: says \"mxfp4\""));
    CHECK(contains(with([](weights& w) { w.settings("gptq", settings(4, 64)); }), "quant_method is \"gptq\""));
    for (char const* const wrong : {"0", "1", "7", "9", "-4", "\"4\""})
        CHECK(contains(
            with([&](weights& w) { w.settings("mlx", std::string(R"({"group_size": 64, "bits": )") + wrong + "}"); }),
            "bits"));
    CHECK(contains(with([](weights& w) { w.settings("mlx", settings(4, 0)); }), "group_size"));
    CHECK(contains(with([](weights& w) { w.settings("mlx", settings(4, 1u << 31)); }), "group_size"));
}
