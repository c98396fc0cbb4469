// SPDX-License-Identifier: Apache-2.0
// torchao's int8: values to the bit, and damaged files.
#include "stored_weights.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

using namespace stored;

namespace {

constexpr std::size_t rows = 4, columns = 6;

int code(std::size_t n, std::size_t k) { return static_cast<int>(some(n, k, 256)) - 128; }
float scale(std::size_t n, std::size_t g) { return 0.0171f * static_cast<float>(1 + n * 3 + g); }

weights int8(std::size_t groups = 1) {
    weights w;
    w.settings("torchao",
               R"({"quant_method": "torchao", "quant_type": {"default": {"_type": "Int8WeightOnlyConfig"}}})");
    w.set("m._weight_qdata", dtype::i8, {rows, columns},
          made<std::int8_t>(rows, columns, [](auto n, auto k) { return static_cast<std::int8_t>(code(n, k)); }));
    w.set("m._weight_scale", dtype::f32, {rows, groups}, made<float>(rows, groups, scale));
    return w;
}

} // namespace

TEST_CASE("torchao: int8 with a scale for each row or group, with zero points or not") {
    auto w = int8();
    CHECK(w.values(dtype::bf16) == made<float>(rows, columns, [](std::size_t n, std::size_t k) {
              return as_bf16(static_cast<float>(code(n, k)) * scale(n, 0));
          }));
    CHECK(w.weight().stored->format == "torchao int8");
    CHECK(group_text(*w.weight().stored) == "row");
    w.set("m._weight_zero_point", dtype::i8, {rows, 1}, std::vector<std::int8_t>{0, 3, -7, 127});
    std::vector<int> const zeros{0, 3, -7, 127};
    CHECK(w.values(dtype::bf16) == made<float>(rows, columns, [&](std::size_t n, std::size_t k) {
              return as_bf16(static_cast<float>(code(n, k) - zeros[n]) * scale(n, 0));
          }));
    CHECK(w.read().tensors.size() == 1);
    auto const groups = int8(2);
    CHECK(groups.values(dtype::bf16) == made<float>(rows, columns, [](std::size_t n, std::size_t k) {
              return as_bf16(static_cast<float>(code(n, k)) * scale(n, k / 3));
          }));
    CHECK(group_text(*groups.weight().stored) == "group 3");
}

TEST_CASE("torchao: FP8") {
    auto w = int8();
    w.set("m._weight_qdata", dtype::f8_e4m3, {rows, columns}, std::vector<std::uint8_t>(rows * columns, 0x3c)); // 1.5
    CHECK(w.values(dtype::bf16)
          == made<float>(rows, columns, [](std::size_t n, std::size_t) { return as_bf16(1.5f * scale(n, 0)); }));
    CHECK(w.weight().stored->format == "torchao FP8");
}

TEST_CASE("torchao: int4 is refused by name") {
    auto w = int8();
    w.settings("torchao", R"({"quant_type": {"default": {"_type": "Int4WeightOnlyConfig"}}})");
    CHECK(contains(w.refused(), "\"m._weight_qdata\" I8 [4, 6] is not read, but config.json: "
                                "quantization_config.quant_type.default._type: says \"Int4WeightOnlyConfig\""));
}

TEST_CASE("torchao: damaged files are refused by the tensor's name") {
    auto w = int8(4);
    CHECK(contains(w.refused(), "\"m._weight_scale\" F32 [4, 4]: 4 groups do not divide the rows of 6 weights"));
    w = int8();
    w.set("m._weight_zero_point", dtype::i8, {rows, 2}, std::vector<std::int8_t>(8));
    CHECK(contains(w.refused(), "\"m._weight_zero_point\" I8 [4, 2]: must have the shape of _weight_scale"));
    w = int8();
    w.set("m._weight_scale", dtype::f32, {rows, 1}, std::vector<float>(4, INFINITY));
    CHECK(contains(w.refused(), "\"m.weight\" (torchao int8): a scale of row 0 is infinite or not a number"));
    w.settings("quanto", "{}");
    CHECK(contains(w.refused(), "is torchao int8, but config.json: quantization_config: quant_method is \"quanto\""));
}
