// SPDX-License-Identifier: Apache-2.0
// bitsandbytes' weights: values to the bit, the two layouts that a forward pass leaves, and damaged files.
#include "stored_weights.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <string>
#include <vector>

using namespace stored;

namespace {

constexpr std::size_t rows = 3;
std::array<float, 16> const table{-1.0f, -0.7f, -0.53f, -0.39f, -0.28f, -0.18f, -0.09f, 0.0f,
                                  0.08f, 0.16f, 0.25f,  0.34f,  0.44f,  0.56f,  0.72f,  1.0f};

std::uint8_t code(std::size_t i) { return static_cast<std::uint8_t>(some(i, 3, 16)); }
float scale(std::size_t block) { return 0.013f + 0.0071f * static_cast<float>(block); }

std::string state(std::size_t columns, std::string const& more = {}) {
    return R"({"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": [3, )" + std::to_string(columns)
           + "]" + more + "}";
}
constexpr char const* state_name = "m.weight.quant_state.bitsandbytes__nf4";

std::vector<std::uint8_t> packed(std::size_t count) {
    std::vector<std::uint8_t> bytes((count + 1) / 2);
    for (std::size_t i = 0; i < count; ++i)
        bytes[i / 2] = static_cast<std::uint8_t>(bytes[i / 2] | (i % 2 == 0 ? code(i) << 4 : code(i)));
    return bytes;
}

/// NF4 of [3, columns]. 3 x 51 values have a block that crosses the ends of rows, and half a byte at the end.
weights nf4(std::size_t columns = 51) {
    weights w;
    std::size_t const count = rows * columns, blocks = (count + 63) / 64;
    w.settings("bitsandbytes", R"({"quant_method": "bitsandbytes", "load_in_4bit": true, "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": false, "llm_int8_skip_modules": ["m"]})");
    w.set("m.weight", dtype::u8, {(count + 1) / 2, 1}, packed(count));
    w.set("m.weight.quant_map", dtype::f32, {16}, std::vector<float>(table.begin(), table.end()));
    w.set("m.weight.absmax", dtype::f32, {blocks},
          made<float>(blocks, 1, [](std::size_t b, std::size_t) { return scale(b); }));
    w.set(state_name, state(columns));
    w.set("m.bias", dtype::bf16, {1}, std::vector<std::uint16_t>{0});
    return w;
}

std::vector<float> expected(std::size_t columns, auto const& scale_of) {
    return made<float>(rows, columns, [&](std::size_t n, std::size_t k) {
        std::size_t const i = n * columns + k;
        return as_bf16(table[code(i)] * scale_of(i / 64));
    });
}

/// The same with quantised scales, in blocks of 2.
weights nested(std::string const& type) {
    weights w = nf4();
    w.settings("bitsandbytes", R"({"quant_method": "bitsandbytes", "bnb_4bit_use_double_quant": true})");
    w.set("m.weight.absmax", dtype::u8, {3}, std::vector<std::uint8_t>{7, 255, 130});
    w.set("m.weight.nested_absmax", dtype::f32, {2}, std::vector<float>{0.11f, 0.37f});
    w.set("m.weight.nested_quant_map", dtype::f32, {256},
          made<float>(256, 1, [](std::size_t i, std::size_t) { return static_cast<float>(i) / 128.0f - 0.99371f; }));
    w.set(state_name,
          state(51, R"(, "nested_blocksize": 2, "nested_offset": 0.12983705, "nested_dtype": ")" + type + '"'));
    return w;
}

float nested_product(std::size_t block) {
    constexpr std::array codes{7, 255, 130};
    return (static_cast<float>(codes[block]) / 128.0f - 0.99371f) * (block < 2 ? 0.11f : 0.37f);
}

} // namespace

TEST_CASE("bitsandbytes: NF4") {
    auto const w = nf4();
    CHECK(w.values(dtype::bf16) == expected(51, scale));
    CHECK(w.values(dtype::f32) == expected(51, scale));
    auto const all = w.read();
    CHECK(all.tensors.size() == 2); // the weight and its bias
    auto const& weight = all.tensors.at("m.weight");
    CHECK(weight.type == dtype::bf16);
    CHECK(weight.shape == std::vector<std::size_t>{3, 51});
    REQUIRE(weight.stored);
    CHECK(weight.stored->format == "bitsandbytes NF4");
    CHECK(bits_of(*weight.stored) == 4);
    CHECK(group_text(*weight.stored) == "block 64");
    CHECK(weight.stored->stored_bytes == 77 + 64 + 12 + state(51).size());
}

TEST_CASE("bitsandbytes: codes stored under a wider type") { // bnb_4bit_quant_storage
    auto w = nf4();
    auto bytes = packed(rows * 51);
    bytes.resize(80);
    w.set("m.weight", dtype::f32, {20, 1}, bytes);
    CHECK(w.values(dtype::bf16) == expected(51, scale));
    w.set("m.weight", dtype::f32, {21, 1}, std::vector<float>(21));
    CHECK(contains(w.refused(), "\"m.weight\" F32 [21, 1]: has 84 bytes"));
}

TEST_CASE("bitsandbytes: scales as the kernels of AVX-512 BF16 keep them") {
    auto w = nf4(128);
    auto const of = [](std::size_t block) { return as_bf16(scale(block)); };
    w.set("m.weight.absmax", dtype::bf16, {2, 3},
          made<std::uint16_t>(2, 3, [](std::size_t j, std::size_t n) { return bf16::round(scale(n * 2 + j)).bits; }));
    CHECK(w.values(dtype::bf16) == expected(128, of));
}

TEST_CASE("bitsandbytes: quantised scales") {
    CHECK(nested("float32").values(dtype::bf16) == expected(51, [](std::size_t block) {
              volatile float const product = nested_product(block); // not fused with the sum
              return product + 0.12983705f;
          }));
    CHECK(nested("bfloat16").values(dtype::bf16) == expected(51, [](std::size_t block) {
              return as_bf16(as_bf16(nested_product(block)) + as_bf16(0.12983705f));
          }));
    CHECK(group_text(*nested("float32").weight().stored) == "block 64, scales quantised");
}

TEST_CASE("bitsandbytes: int8") {
    weights w;
    w.settings("bitsandbytes", R"({"load_in_8bit": true, "bnb_4bit_quant_type": "fp4"})");
    w.set("m.weight", dtype::i8, {2, 5}, std::vector<std::int8_t>{-127, 127, 3, -1, 0, 5, 77, -128, 1, 2});
    w.set("m.SCB", dtype::f32, {2}, std::vector<float>{0.73f, 1.9f});
    w.set("m.weight_format", dtype::u8, {}, std::vector<std::uint8_t>{0});
    constexpr std::array codes{-127, 127, 3, -1, 0, 5, 77, -128, 1, 2};
    CHECK(w.values(dtype::f32) == made<float>(2, 5, [&](std::size_t n, std::size_t k) {
              return static_cast<float>(codes[n * 5 + k]) * (n == 0 ? 0.73f : 1.9f) * (1.0f / 127.0f);
          }));
    CHECK(w.weight().type == dtype::f32);
    w.set("m.weight_format", dtype::u8, {}, std::vector<std::uint8_t>{2});
    CHECK(contains(w.refused(), "\"m.weight_format\" U8 []: is not 0"));
    w.set("m.SCB", dtype::f32, {3}, std::vector<float>(3));
    CHECK(contains(w.refused(), "\"m.SCB\" F32 [3]: must be [2]"));
}

TEST_CASE("a large weight is converted in pieces, with the same values as at once") {
    constexpr std::size_t many = 1500, wide = 1001;
    weights w;
    w.settings("bitsandbytes", "{}");
    w.set("m.weight", dtype::i8, {many, wide}, made<std::int8_t>(many, wide, [](std::size_t n, std::size_t k) {
              return static_cast<std::int8_t>(some(n, k, 256));
          }));
    w.set("m.SCB", dtype::f32, {many}, std::vector<float>(many, 0.37f));
    auto const all = w.read();
    auto const& weight = all.tensors.at("m.weight");
    std::vector<float> at_once(many * wide);
    weight.make(std::as_writable_bytes(std::span(at_once)));
    std::size_t pieces = 0, largest = 0;
    std::vector<std::byte> bytes;
    stream(weight, [&](std::span<std::byte const> piece) {
        ++pieces;
        largest = std::max(largest, piece.size());
        bytes.insert(bytes.end(), piece.begin(), piece.end());
    });
    CHECK(pieces == 2);
    CHECK(largest <= llamavision::checkpoint::piece_bytes);
    REQUIRE(bytes.size() == at_once.size() * sizeof(float));
    CHECK(std::memcmp(bytes.data(), at_once.data(), bytes.size()) == 0);
}

TEST_CASE("bitsandbytes: damaged files are refused by the tensor's name") {
    auto const with = [](auto const& change) {
        auto w = nf4();
        change(w);
        return w.refused();
    };
    for (std::size_t const size : {15u, 17u})
        CHECK(contains(
            with([&](weights& w) { w.set("m.weight.quant_map", dtype::f32, {size}, std::vector<float>(size)); }),
            "\"m.weight.quant_map\" F32 [" + std::to_string(size) + "]: must be [16]"));
    CHECK(contains(with([](weights& w) { w.set("m.weight.quant_map", dtype::f32, {16}, std::vector<float>(16, NAN)); }),
                   "\"m.weight.quant_map\" F32 [16]: value 0 is not finite"));
    CHECK(contains(with([](weights& w) { w.set("m.weight.absmax", dtype::f32, {2}, std::vector<float>(2)); }),
                   "\"m.weight.absmax\" F32 [2]: must have one scale for each of the 3 blocks"));
    CHECK(contains(with([](weights& w) {
                       w.set("m.weight.absmax", dtype::f32, {3}, std::vector<float>{1, 2, NAN});
                   }),
                   "\"m.weight\" (bitsandbytes NF4): a scale of row 2 is infinite or not a number"));
    CHECK(contains(with([](weights& w) { w.drop("m.weight.absmax"); }), "\"m.weight.absmax\" is missing beside"));
    CHECK(contains(with([](weights& w) { w.drop(state_name); }), "belongs to a quantised weight"));
    CHECK(contains(with([](weights& w) { w.set("m.SCB", dtype::f32, {3}, std::vector<float>(3)); }),
                   "\"m.SCB\" F32 [3]: does not belong to bitsandbytes NF4"));
    for (char const* const size : {"0", "63", "16", "8192", "99999999999999999999", "-64", "\"64\""})
        CHECK(contains(with([&](weights& w) {
                           w.set(state_name,
                                 R"({"quant_type": "nf4", "dtype": "bfloat16", "shape": [3, 51], "blocksize": )"
                                     + std::string(size) + "}");
                       }),
                       "blocksize: expected"));
    CHECK(contains(with([](weights& w) { w.set(state_name, state(52)); }), "\"m.weight\" U8 [77, 1]: has 77 bytes"));
    CHECK(contains(with([](weights& w) { w.set(state_name, state(4294967295)); }), "has 77 bytes"));
    CHECK(contains(with([](weights& w) { w.set(state_name, std::string("{")); }), state_name));
}

TEST_CASE("bitsandbytes: settings that the tensors contradict") {
    auto const said = [](std::string const& method, std::string const& text) {
        auto w = nf4();
        w.settings(method, text);
        return w.refused();
    };
    CHECK(contains(said("gptq", R"({"quant_method": "gptq"})"),
                   " is bitsandbytes NF4, but config.json: quantization_config: quant_method is \"gptq\""));
    CHECK(contains(said("bitsandbytes", R"({"load_in_4bit": false})"),
                   "config.json: quantization_config.load_in_4bit: says false"));
    CHECK(contains(said("bitsandbytes", R"({"bnb_4bit_quant_type": "fp4"})"), "bnb_4bit_quant_type: says \"fp4\""));
    CHECK(contains(
        said("bitsandbytes", R"({"bnb_4bit_use_double_quant": true})"),
        "is bitsandbytes NF4 with plain scales, but config.json: quantization_config.bnb_4bit_use_double_quant"));
    auto w = nf4();
    w.no_settings();
    CHECK(contains(w.refused(), "but folder: there is no quantization_config that says so"));
}

TEST_CASE("quantised weights with the same fault are listed up to five") {
    llamavision::checkpoint::named_tensors tensors;
    for (int i = 0; i < 9; ++i) tensors.tensors["a" + std::to_string(i) + ".SCB"] = {dtype::f32, {0}, {}, {}};
    std::vector<std::string> problems;
    auto const left = join_quantised(tensors, nullptr, "folder", llamavision::checkpoint::faults::collected, problems);
    CHECK(left.tensors.size() == 9);
    REQUIRE(problems.size() == 6);
    CHECK(
        contains(problems[0], "\"a0.SCB\" F32 [0] is bitsandbytes int8, but folder: there is no quantization_config"));
    CHECK(problems[5] == "folder: 4 more quantised weights cannot be read");
}
