// SPDX-License-Identifier: Apache-2.0
// A weight as kernels see it.
#include <doctest/doctest.h>

#include <type_traits>

#include <llamavision/weights/matrix.hpp>

namespace lv = llamavision;

TEST_CASE("formats have names and sizes") {
    CHECK(lv::bytes_of(lv::format::f32, 3) == 12);
    CHECK(lv::bytes_of(lv::format::f16, 3) == 6);
    CHECK(lv::bytes_of(lv::format::bf16, 3) == 6);
    CHECK(lv::name_of(lv::format::f32) == "f32");
    CHECK(lv::name_of(lv::format::f16) == "f16");
    CHECK(lv::name_of(lv::format::bf16) == "bf16");
}

TEST_CASE("visit hands over the pointer of the format's type") {
    float const one = 1.5f;
    lv::f16 const half = lv::f16::round(1.5f);
    lv::bf16 const brain = lv::bf16::round(1.5f);
    auto const first = [](auto const* values) { return static_cast<float>(*values); };
    CHECK(visit(lv::matrix{&one, lv::format::f32, 1, 1}, first) == 1.5f);
    CHECK(visit(lv::matrix{&half, lv::format::f16, 1, 1}, first) == 1.5f);
    CHECK(visit(lv::matrix{&brain, lv::format::bf16, 1, 1}, first) == 1.5f);
    auto const size = [](auto const* values) { return sizeof *values; };
    CHECK(visit(lv::matrix{&one, lv::format::f32, 1, 1}, size) == 4);
    CHECK(visit(lv::matrix{&half, lv::format::f16, 1, 1}, size) == 2);
}

TEST_CASE("extents") {
    float const values[6] = {1, 2, 3, 4, 5, 6};
    lv::matrix const m{values, lv::format::f32, 2, 3};
    CHECK(m.size() == 6);
    CHECK(m.floats()[5] == 6);
}
