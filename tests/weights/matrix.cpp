// SPDX-License-Identifier: Apache-2.0
// A weight as kernels see it.
#include <doctest/doctest.h>

#include <cstdint>
#include <type_traits>

#include <llamavision/weights/matrix.hpp>

namespace lv = llamavision;

TEST_CASE("formats have names and sizes") {
    CHECK(lv::bytes_of(lv::format::f32, 3) == 12);
    CHECK(lv::bytes_of(lv::format::f16, 3) == 6);
    CHECK(lv::bytes_of(lv::format::bf16, 3) == 6);
    CHECK(lv::bytes_of(lv::format::q8, 96) == 102);
    CHECK(lv::bytes_of(lv::format::q4, 96) == 54);
    CHECK(lv::values_per_block(lv::format::q4) == 32);
    CHECK(lv::values_per_block(lv::format::bf16) == 1);
    CHECK(lv::name_of(lv::format::q8) == "q8");
    CHECK(lv::name_of(lv::format::q4) == "q4");
    CHECK(lv::name_of(lv::format::f32) == "f32");
    CHECK(lv::name_of(lv::format::f16) == "f16");
    CHECK(lv::name_of(lv::format::bf16) == "bf16");
}

TEST_CASE("visit hands over the pointer of the format's type") {
    float const one = 1.5f;
    lv::f16 const half = lv::f16::round(1.5f);
    lv::bf16 const brain = lv::bf16::round(1.5f);
    auto const first = [](auto values) { return static_cast<float>(values[0]); };
    CHECK(visit(lv::matrix{&one, lv::format::f32, 1, 1}, first) == 1.5f);
    CHECK(visit(lv::matrix{&half, lv::format::f16, 1, 1}, first) == 1.5f);
    CHECK(visit(lv::matrix{&brain, lv::format::bf16, 1, 1}, first) == 1.5f);
    auto const size = [](auto values) { return sizeof values[0]; };
    CHECK(visit(lv::matrix{&one, lv::format::f32, 1, 1}, size) == 4);
    CHECK(visit(lv::matrix{&half, lv::format::f16, 1, 1}, size) == 2);
}

TEST_CASE("blocks read like a pointer to floats, from any value on") {
    lv::q8_0 eight[2] = {};
    lv::q4_0 four[2] = {};
    for (int b = 0; b < 2; ++b) {
        eight[b].scale = four[b].scale = lv::f16::round(b == 0 ? 0.25f : -3.0f);
        for (std::size_t i = 0; i < 32; ++i)
            eight[b].quants[i] = static_cast<std::int8_t>(static_cast<int>(i) * 8 - 128);
        for (unsigned i = 0; i < 16; ++i) four[b].pairs[i] = static_cast<std::uint8_t>(i | (15 - i) << 4);
    }
    float wanted_eight[64], wanted_four[64], is[64];
    for (std::size_t b = 0; b < 2; ++b) {
        eight[b].decode(wanted_eight + 32 * b);
        four[b].decode(wanted_four + 32 * b);
    }
    CHECK(wanted_eight[0] == -32.0f);
    CHECK(wanted_four[63] == 24.0f);
    auto const check = [&is](lv::format type, void const* data, float const* wanted) {
        visit(lv::matrix{data, type, 1, 64}, [&](auto values) {
            if constexpr (!std::is_pointer_v<decltype(values)>)
                for (std::size_t first : {0u, 1u, 31u, 32u, 40u}) {
                    CHECK((values + first)[3] == wanted[first + 3]);
                    (values + first).widen(64 - first, is);
                    for (std::size_t i = 0; i < 64 - first; ++i) CHECK(is[i] == wanted[first + i]);
                }
        });
    };
    check(lv::format::q8, eight, wanted_eight);
    check(lv::format::q4, four, wanted_four);
}

TEST_CASE("extents") {
    float const values[6] = {1, 2, 3, 4, 5, 6};
    lv::matrix const m{values, lv::format::f32, 2, 3};
    CHECK(m.size() == 6);
    CHECK(m.floats()[5] == 6);
}
