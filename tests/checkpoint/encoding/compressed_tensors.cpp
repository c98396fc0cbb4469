// SPDX-License-Identifier: Apache-2.0
// compressed-tensors' weights, and others of one byte with a scale: values to the bit, both layouts of odd widths, and
// damaged files.
#include "stored_weights.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

using namespace stored;

namespace {

constexpr std::size_t rows = 5, columns = 64;
using place = std::pair<std::size_t, std::size_t>;

float scale(std::size_t n, std::size_t g) { return as_bf16(0.0123f + 0.004f * static_cast<float>(n * 3 + g)); }

std::string scheme(std::string const& format, std::string const& weights) {
    return R"({"quant_method": "compressed-tensors", "format": ")" + format
           + R"(", "ignore": ["lm_head", "re:.*vision_model.*"], "config_groups": {"group_0": {"targets": ["Linear"],
              "weights": {)"
           + weights + "}}}}";
}

std::vector<std::uint32_t> codes(unsigned bits) {
    return made<std::uint32_t>(rows, columns, [=](std::size_t n, std::size_t k) { return some(n, k, 1u << bits); });
}

/// pack-quantized of [5, 64]. @param whole the layout up to 0.17.1
weights packed(unsigned bits, std::size_t groups = 2, bool asymmetric = false, bool whole = false) {
    weights w;
    auto const group = groups == 1 ? std::string("null") : std::to_string(columns / groups);
    w.settings("compressed-tensors",
               scheme("pack-quantized", R"("type": "int", "num_bits": )" + std::to_string(bits) + R"(, "group_size": )"
                                            + group + R"(, "symmetric": )" + (asymmetric ? "false" : "true")));
    auto const words = rows_in_words(codes(bits), columns, bits, whole);
    w.set("m.weight_packed", dtype::i32, {rows, words.size() / rows}, words);
    w.set("m.weight_shape", dtype::i64, {2}, std::vector<std::int64_t>{rows, columns});
    w.set("m.weight_scale", dtype::bf16, {rows, groups}, bf16_bits(made<float>(rows, groups, scale)));
    if (!asymmetric) return w;
    auto const zeros = made<std::uint32_t>(groups, rows, [=](std::size_t g, std::size_t n) { // along the outputs
        return some(g + 7, n, 1u << bits);
    });
    auto const zero_words = rows_in_words(zeros, rows, bits, whole);
    w.set("m.weight_zero_point", dtype::i32, {zero_words.size() / groups, groups}, transposed(zero_words, groups));
    return w;
}

std::vector<float> expected(unsigned bits, std::size_t groups, bool asymmetric, auto const& group_of) {
    return made<float>(rows, columns, [&](std::size_t n, std::size_t k) {
        std::size_t const g = group_of(k);
        int const zero = asymmetric ? static_cast<int>(some(g + 7, n, 1u << bits)) : 1 << (bits - 1);
        static_cast<void>(groups);
        return as_bf16(static_cast<float>(static_cast<int>(some(n, k, 1u << bits)) - zero) * scale(n, g));
    });
}

std::uint8_t byte(std::size_t n, std::size_t k) {
    auto const code = static_cast<std::uint8_t>(some(n, k, 256));
    return (code & 0x7f) == 0x7f ? 0 : code; // no NaN
}

/// e4m3 by its definition.
float e4m3(unsigned code) {
    float const sign = code & 128 ? -1.0f : 1.0f;
    unsigned const exponent = code >> 3 & 15, mantissa = code & 7;
    return exponent == 0 ? sign * std::ldexp(static_cast<float>(mantissa), -9)
                         : sign * std::ldexp(static_cast<float>(8 + mantissa), static_cast<int>(exponent) - 10);
}

constexpr std::array<float, 16> e2m1{0.0f,  0.5f,  1.0f,  1.5f,  2.0f,  3.0f,  4.0f,  6.0f,
                                     -0.0f, -0.5f, -1.0f, -1.5f, -2.0f, -3.0f, -4.0f, -6.0f};

weights bytes(dtype type, std::string const& method, std::string const& settings) {
    weights w;
    w.settings(method, settings);
    w.set("m.weight", type, {rows, columns}, made<std::uint8_t>(rows, columns, byte));
    return w;
}

std::string const floats = scheme("float-quantized", R"("type": "float", "num_bits": 8, "symmetric": true)");

} // namespace

TEST_CASE("compressed-tensors: pack-quantized in every width, symmetric or not, in groups or rows") {
    for (unsigned const bits : {2u, 3u, 4u, 5u, 6u, 7u, 8u})
        for (bool const asymmetric : {false, true})
            for (std::size_t const groups : {std::size_t{1}, std::size_t{2}, std::size_t{8}})
                for (bool const whole : {false, true}) {
                    CAPTURE(bits);
                    CAPTURE(asymmetric);
                    CAPTURE(groups);
                    CAPTURE(whole);
                    auto const w = packed(bits, groups, asymmetric, whole);
                    CHECK(w.values(dtype::bf16)
                          == expected(bits, groups, asymmetric, [&](std::size_t k) { return k / (columns / groups); }));
                    auto const weight = w.weight();
                    CHECK(bits_of(*weight.stored) == bits);
                    CHECK(group_text(*weight.stored)
                          == (groups == 1 ? "row" : "group " + std::to_string(columns / groups)));
                }
}

TEST_CASE("compressed-tensors: the order of groups") { // actorder, up to 0.18
    auto w = packed(4);
    w.set("m.weight_g_idx", dtype::i32, {columns}, made<std::int32_t>(columns, 1, [](std::size_t k, std::size_t) {
              return static_cast<std::int32_t>(k * 5 % 7 % 2);
          }));
    CHECK(w.values(dtype::bf16) == expected(4, 2, false, [](std::size_t k) { return k * 5 % 7 % 2; }));
    for (int const wrong : {2, -1}) {
        w.set("m.weight_g_idx", dtype::i32, {columns}, std::vector<std::int32_t>(columns, wrong));
        CHECK(contains(w.refused(), "\"m.weight_g_idx\" I32 [64]: column 0 is in group " + std::to_string(wrong)));
    }
}

TEST_CASE("compressed-tensors: of two widths that fit a row, it is the one that the settings describe") {
    auto const words = std::vector<std::uint32_t>(4, 0x12345678u); // 32 codes of 4 bits, or of 3 bits, 10 in a word
    weights w;
    w.set("m.weight_packed", dtype::i32, {1, 4}, words);
    w.set("m.weight_shape", dtype::i64, {2}, std::vector<std::int64_t>{1, 32});
    w.set("m.weight_scale", dtype::bf16, {1, 1}, bf16_bits({1.0f}));
    for (unsigned const bits : {3u, 4u}) {
        w.settings("compressed-tensors",
                   scheme("pack-quantized", R"("type": "int", "num_bits": )" + std::to_string(bits)));
        CHECK(bits_of(*w.weight().stored) == bits);
        CHECK(w.values(dtype::bf16)[1]
              == static_cast<float>(0x12345678u >> bits & ((1u << bits) - 1)) - static_cast<float>(1u << (bits - 1)));
    }
}

TEST_CASE("compressed-tensors: int-quantized") {
    auto w = bytes(dtype::i8, "compressed-tensors",
                   scheme("int-quantized", R"("type": "int", "num_bits": 8, "symmetric": true)"));
    w.set("m.weight_scale", dtype::bf16, {rows, 1}, bf16_bits(made<float>(rows, 1, scale)));
    CHECK(w.values(dtype::bf16) == made<float>(rows, columns, [](std::size_t n, std::size_t k) {
              return as_bf16(static_cast<float>(static_cast<std::int8_t>(byte(n, k))) * scale(n, 0));
          }));
    w.set("m.weight_zero_point", dtype::i8, {rows, 1}, std::vector<std::int8_t>{1, -2, 3, 0, 127});
    CHECK(contains(w.refused(), "config.json: quantization_config.config_groups.group_0.weights.symmetric: says true"));
}

TEST_CASE("FP8: a scale for the tensor, for rows, for groups and for blocks") {
    struct row {
        std::vector<std::size_t> shape;
        std::size_t row_block, column_block;
        char const* group;
    };
    for (row const& r :
         {row{{}, rows, columns, "tensor"}, row{{1}, rows, columns, "tensor"}, row{{rows, 1}, 1, columns, "row"},
          row{{rows}, 1, columns, "row"}, row{{2, 3}, 3, 24, "block 3 x 24"}}) {
        std::size_t const in_row = r.shape.size() == 2 ? r.shape[1] : 1;
        std::size_t const lines = r.shape.empty() ? 1 : r.shape[0];
        auto const settings =
            scheme("float-quantized", R"("type": "float", "num_bits": 8, "block_structure": [3, 24])");
        for (auto const& [method, text] : {std::pair<char const*, std::string>{"compressed-tensors", settings},
                                           {"fp8", R"({"weight_block_size": [3, 24]})"}}) {
            auto w = bytes(dtype::f8_e4m3, method, text);
            std::string const name = method == std::string("fp8") ? "m.weight_scale_inv" : "m.weight_scale";
            w.set(name, dtype::f32, r.shape,
                  made<float>(lines, in_row, [](std::size_t n, std::size_t g) { return scale(n, g) + 1e-6f; }));
            CAPTURE(name);
            CAPTURE(r.group);
            CHECK(w.values(dtype::bf16) == made<float>(rows, columns, [&](std::size_t n, std::size_t k) {
                      return as_bf16(e4m3(byte(n, k)) * (scale(n / r.row_block, k / r.column_block) + 1e-6f));
                  }));
            CHECK(group_text(*w.weight().stored) == r.group);
        }
    }
}

TEST_CASE("FP8 of other libraries, and e5m2") {
    for (char const* const method : {"modelopt", "quark", "fbgemm_fp8"}) {
        auto w = bytes(dtype::f8_e5m2, method, "{}");
        w.set("m.weight_scale", dtype::f32, {1}, std::vector<float>{0.25f});
        w.set("m.input_scale", dtype::f32, {}, std::vector<float>{3});
        auto const values = w.values(dtype::f32);
        CHECK(values[0] == as_bf16(static_cast<float>(f16{static_cast<std::uint16_t>(byte(0, 0) << 8)}) * 0.25f));
        CHECK(w.read().tensors.size() == 1);
    }
}

TEST_CASE("compressed-tensors: nvfp4, mxfp4, mxfp6 and mxfp8") {
    auto const nibbles = made<std::uint8_t>(rows, columns / 2, [](std::size_t n, std::size_t j) {
        return static_cast<std::uint8_t>(some(n, 2 * j, 16) | some(n, 2 * j + 1, 16) << 4);
    });
    auto const settings = [](std::string const& format, std::string const& bits, std::string const& group) {
        return scheme(format, R"("type": "float", "num_bits": )" + bits + R"(, "group_size": )" + group);
    };
    {
        weights w;
        w.settings("compressed-tensors", settings("nvfp4-pack-quantized", "4", "16"));
        w.set("m.weight_packed", dtype::u8, {rows, columns / 2}, nibbles);
        w.set("m.weight_scale", dtype::f8_e4m3, {rows, 4}, made<std::uint8_t>(rows, 4, byte));
        w.set("m.weight_global_scale", dtype::f32, {1}, std::vector<float>{1234.5f});
        CHECK(w.values(dtype::bf16) == made<float>(rows, columns, [](std::size_t n, std::size_t k) {
                  return as_bf16(e2m1[some(n, k, 16)] * (e4m3(byte(n, k / 16)) / 1234.5f));
              }));
        CHECK(w.weight().stored->format == "compressed-tensors nvfp4");
        for (float const wrong : {0.0f, NAN, INFINITY}) {
            w.set("m.weight_global_scale", dtype::f32, {1}, std::vector<float>{wrong});
            CHECK(contains(w.refused(), "\"m.weight_global_scale\" F32 [1]: must be finite and not zero"));
        }
    }
    auto const exponent = [](std::size_t n, std::size_t g) { return static_cast<std::uint8_t>(120 + some(n, g, 9)); };
    auto const power = [&](std::size_t n, std::size_t g) { return std::ldexp(1.0f, exponent(n, g) - 127); };
    for (dtype const type : {dtype::u8, dtype::f8_e8m0}) {
        weights w;
        w.settings("compressed-tensors", settings("mxfp4-pack-quantized", "4", "32"));
        w.set("m.weight_packed", dtype::u8, {rows, columns / 2}, nibbles);
        w.set("m.weight_scale", type, {rows, 2}, made<std::uint8_t>(rows, 2, exponent));
        CHECK(w.values(dtype::bf16) == made<float>(rows, columns, [&](std::size_t n, std::size_t k) {
                  return as_bf16(e2m1[some(n, k, 16)] * power(n, k / 32));
              }));
        w.set("m.weight_scale", type, {rows, 2}, std::vector<std::uint8_t>(rows * 2, 255));
        CHECK(contains(w.refused(), "\"m.weight\" (compressed-tensors mxfp4): a scale of row 0 is infinite"));
    }
    {
        weights w;
        w.settings("compressed-tensors", settings("mxfp6-pack-quantized", "6", "32"));
        auto const words = rows_in_words(codes(6), columns, 6);
        w.set("m.weight_packed", dtype::u8, {rows, columns * 6 / 8}, words);
        w.set("m.weight_scale", dtype::u8, {rows, 2}, made<std::uint8_t>(rows, 2, exponent));
        CHECK(w.values(dtype::bf16) == made<float>(rows, columns, [&](std::size_t n, std::size_t k) {
                  std::uint32_t const code = some(n, k, 64), e = code >> 3 & 3, m = code & 7;
                  float const value = e == 0 ? static_cast<float>(m) / 8
                                             : std::ldexp(static_cast<float>(8 + m) / 8, static_cast<int>(e) - 1);
                  return as_bf16((code & 32 ? -value : value) * power(n, k / 32));
              }));
    }
    {
        auto w = bytes(dtype::f8_e4m3, "compressed-tensors", settings("mxfp8-quantized", "8", "32"));
        w.set("m.weight_scale", dtype::u8, {rows, 2}, made<std::uint8_t>(rows, 2, exponent));
        CHECK(w.values(dtype::bf16) == made<float>(rows, columns, [&](std::size_t n, std::size_t k) {
                  return as_bf16(e4m3(byte(n, k)) * power(n, k / 32));
              }));
    }
}

TEST_CASE("ModelOpt: nvfp4, whose second scale multiplies") {
    weights w;
    w.settings("modelopt", R"({"quant_algo": "NVFP4"})");
    w.set("m.weight", dtype::u8, {rows, columns / 2},
          made<std::uint8_t>(rows, columns / 2, [](std::size_t n, std::size_t j) {
              return static_cast<std::uint8_t>(some(n, 2 * j, 16) | some(n, 2 * j + 1, 16) << 4);
          }));
    w.set("m.weight_scale", dtype::f8_e4m3, {rows, 4}, made<std::uint8_t>(rows, 4, byte));
    w.set("m.weight_scale_2", dtype::f32, {}, std::vector<float>{0.00037f});
    w.set("m.input_scale", dtype::f32, {}, std::vector<float>{1});
    CHECK(w.values(dtype::bf16) == made<float>(rows, columns, [](std::size_t n, std::size_t k) {
              return as_bf16(e2m1[some(n, k, 16)] * (e4m3(byte(n, k / 16)) * 0.00037f));
          }));
    w.set("m.weight_scale", dtype::f8_e4m3, {rows, 5}, std::vector<std::uint8_t>(rows * 5));
    CHECK(contains(w.refused(), "\"m.weight_scale\" F8_E4M3 [5, 5]: must be [5, 4]"));
}

TEST_CASE("scales of activations and of caches are left out") {
    auto w = packed(4);
    w.set("m.k_scale", dtype::f32, {}, std::vector<float>{1});
    w.set("a.k_scale", dtype::f32, {}, std::vector<float>{1});
    w.set("b.weight", dtype::bf16, {1}, std::vector<std::uint16_t>(1));
    w.set("b.output_scale", dtype::f32, {}, std::vector<float>{1});
    auto const all = w.read();
    CHECK(all.tensors.size() == 2);
    CHECK_FALSE(all.tensors.at("b.weight").stored);
}

TEST_CASE("compressed-tensors: rotated and sparse weights are refused") {
    for (char const* const key : {"transform_config", "sparsity_config"}) {
        auto w = packed(4);
        w.settings("compressed-tensors", std::string(R"({")") + key + R"(": {"a": 1}, "config_groups": {}})");
        CHECK(contains(w.refused(), std::string("config.json: quantization_config.") + key + ": rotated or sparse"));
    }
}

TEST_CASE("AutoRound writes compressed-tensors' tensors under its own method") {
    auto w = packed(4);
    auto const values = w.values(dtype::bf16);
    w.settings("auto-round", R"({"bits": 4, "packing_format": "auto_round:llm_compressor"})");
    CHECK(w.values(dtype::bf16) == values);
}

TEST_CASE("compressed-tensors: damaged files are refused by the tensor's name") {
    auto const with = [](auto const& change) {
        auto w = packed(4, 2, true);
        change(w);
        return w.refused();
    };
    using ints = std::vector<std::int32_t>;
    CHECK(contains(with([](weights& w) {
                       w.set("m.weight_packed", dtype::i32, {rows, 7}, ints(rows * 7));
                   }),
                   "\"m.weight_packed\" I32 [5, 7]"));
    CHECK(contains(with([](weights& w) {
                       w.set("m.weight_packed", dtype::i32, {4, 8}, ints(32));
                   }),
                   "\"m.weight_packed\" I32 [4, 8]: weight_shape says 5 rows"));
    CHECK(contains(with([](weights& w) { w.set("m.weight_packed", dtype::i32, {40}, ints(40)); }), "must be a matrix"));
    CHECK(contains(with([](weights& w) { w.set("m.weight_packed", dtype::i32, {0, 8}, ints()); }), "must be a matrix"));
    for (std::int64_t const wrong : {std::int64_t{0}, std::int64_t{-1}, std::numeric_limits<std::int64_t>::max()})
        CHECK(contains(with([&](weights& w) {
                           w.set("m.weight_shape", dtype::i64, {2}, std::vector<std::int64_t>{rows, wrong});
                       }),
                       "\"m.weight_packed\" I32 [5, 8]: weight_shape says"));
    CHECK(contains(with([](weights& w) {
                       w.set("m.weight_scale", dtype::bf16, {rows, 3}, std::vector<std::uint16_t>(rows * 3));
                   }),
                   "\"m.weight_scale\" BF16 [5, 3]: 3 groups do not divide the rows of 64 weights"));
    CHECK(contains(with([](weights& w) {
                       w.set("m.weight_scale", dtype::bf16, {rows, 0}, std::vector<std::uint16_t>());
                   }),
                   "\"m.weight_scale\" BF16 [5, 0]"));
    CHECK(contains(with([](weights& w) {
                       w.set("m.weight_scale", dtype::bf16, {4, 2}, std::vector<std::uint16_t>(8));
                   }),
                   "must have scales for each of the 5 rows"));
    CHECK(contains(with([](weights& w) {
                       w.set("m.weight_scale", dtype::bf16, {rows, 2}, std::vector<std::uint16_t>(10, 0x7fc0));
                   }),
                   "\"m.weight\" (compressed-tensors pack-quantized): a scale of row 0 is infinite or not a number"));
    CHECK(contains(with([](weights& w) {
                       w.set("m.weight_zero_point", dtype::i32, {2, 2}, ints(4));
                   }),
                   "\"m.weight_zero_point\" I32 [2, 2]: must be [1, 2]"));
    CHECK(contains(with([](weights& w) { w.drop("m.weight_shape"); }), "\"m.weight_shape\" is missing"));
    CHECK(contains(with([](weights& w) { w.drop("m.weight_packed"); }), "\"m.weight\" is missing"));
    auto w = bytes(dtype::f8_e4m3, "compressed-tensors", floats);
    w.set("m.weight_scale", dtype::bf16, {2, 2}, std::vector<std::uint16_t>(4));
    CHECK(contains(w.refused(), "\"m.weight_scale\" BF16 [2, 2]: has no scale for each row, nor for each block"));
    w.drop("m.weight_scale");
    CHECK(w.read().tensors.size() == 1); // not known to be quantised: the folder's reader refuses its type
    for (char const* const block : {"[0, 128]", "[128]", "[-1, 2]", "[3000000000, 1]", "\"128\""}) {
        auto blocks = bytes(dtype::f8_e4m3, "fp8", std::string(R"({"weight_block_size": )") + block + "}");
        blocks.set("m.weight_scale_inv", dtype::f32, {2, 2}, std::vector<float>(4));
        CHECK(contains(blocks.refused(), "weight_block_size"));
    }
}

TEST_CASE("compressed-tensors: settings that the tensors contradict") {
    auto const said = [](std::string const& format, std::string const& text) {
        auto w = packed(4);
        w.settings("compressed-tensors", scheme(format, text));
        return w.refused();
    };
    std::string const begin = "\"m.weight_packed\" I32 [5, 8] is 4 bits in groups of 32, but config.json: "
                              "quantization_config.";
    CHECK(contains(said("pack-quantized", R"("num_bits": 8, "type": "int")"),
                   begin + "config_groups.group_0.weights.num_bits: says 8"));
    CHECK(contains(said("pack-quantized", R"("num_bits": 4, "group_size": 16)"), "weights.group_size: says 16"));
    auto row = packed(4, 1);
    row.settings("compressed-tensors", scheme("pack-quantized", R"("num_bits": 4, "group_size": 16)"));
    CHECK(contains(row.refused(), "in groups of 64, but config.json"));
    for (char const* const covers : {"64", "128", "-1", "null"}) {
        row.settings("compressed-tensors",
                     scheme("pack-quantized", std::string(R"("num_bits": 4, "group_size": )") + covers));
        CHECK(row.refused() == "nothing was thrown");
    }
    CHECK(contains(said("pack-quantized", R"("num_bits": 4, "type": "float")"), "weights.type: says \"float\""));
    CHECK(contains(said("nvfp4-pack-quantized", R"("num_bits": 4)"), begin + "format: says \"nvfp4-pack-quantized\""));
    auto w = packed(4);
    w.settings("gptq", "{}");
    CHECK(contains(w.refused(), "is compressed-tensors pack-quantized, but config.json: quantization_config: "
                                "quant_method is \"gptq\""));
}
