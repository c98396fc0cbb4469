// SPDX-License-Identifier: Apache-2.0
// Binding: named tensors become weights, or one error names everything that does not fit.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>
#include <vector>

#include "../support/bound.hpp"
#include "../support/message.hpp"

namespace lv = llamavision;

namespace {
constexpr auto model = lv::scope<"m">(lv::linear_with_bias<"fc", 2, 3>) | lv::linear<"out", 3, 2>;
using model_type = std::remove_const_t<decltype(model)>;

std::vector<given_tensor> const good{{"m.fc.weight", {3, 2}, {1, 2, 3, 4, 5, 6}},
                                     {"m.fc.bias", {3}, {7, 8, 9}},
                                     {"out.weight", {2, 3}, {1, 0, 0, 0, 1, 0}}};

std::string faults_of(lv::checkpoint::named_tensors all) {
    return message_of<lv::mismatch_error>([&] {
        lv::weights<model_type> w;
        lv::binder binder(std::move(all));
        binder.bind(model, w);
        return binder.finish().size();
    });
}

/// The values of `good` in another format, `offset` bytes into a buffer.
template <class Half>
lv::checkpoint::named_tensors halves(lv::checkpoint::dtype type, std::size_t offset) {
    lv::checkpoint::named_tensors all;
    for (given_tensor const& t : good) {
        auto const buffer = std::make_shared<std::vector<std::byte>>(t.values.size() * sizeof(Half) + offset);
        for (std::size_t i = 0; i < t.values.size(); ++i) {
            Half const h = Half::round(t.values[i]);
            std::memcpy(buffer->data() + offset + i * sizeof(Half), &h, sizeof h);
        }
        all.tensors[t.name] = {type, t.extents, std::span(*buffer).subspan(offset)};
        all.owners.push_back(buffer);
    }
    return all;
}

/// m.fc reads (1, 1), adds its bias, and `out` keeps the first two: (1 + 2 + 7, 3 + 4 + 8).
void check_bound(lv::weights<model_type> const& w) {
    floats x{1, 1}, y(2), memory(64);
    lv::arena scratch(memory);
    lv::context c{scratch};
    run(lv::scalar{}, model, w, c, lv::rows{x.data(), 1, 2}, lv::rows{y.data(), 1, 2});
    CHECK(y == floats{10, 15});
}
} // namespace

TEST_CASE("floats stay where the checkpoint holds them; vectors are copied") {
    lv::weights<model_type> w;
    lv::checkpoint::named_tensors all = tensors(good);
    void const* const matrix = all.tensors.at("m.fc.weight").bytes.data();
    lv::binder binder(std::move(all));
    binder.bind(model, w);
    auto const owners = binder.finish();
    check_bound(w);
    lv::matrix const& bound_matrix = std::get<0>(std::get<0>(w.parts).parts).own[0];
    CHECK(bound_matrix.data == matrix);
    CHECK(bound_matrix.rows == 3);
    CHECK(bound_matrix.columns == 2);
}

TEST_CASE("tensors that have to be made first") {
    lv::weights<model_type> w;
    lv::checkpoint::named_tensors all = tensors(good);
    for (auto& [name, tensor] : all.tensors) {
        std::vector<std::byte> const bytes(tensor.bytes.begin(), tensor.bytes.end());
        tensor.bytes = {};
        tensor.make = [bytes](std::span<std::byte> room) { std::copy(bytes.begin(), bytes.end(), room.begin()); };
    }
    lv::binder binder(std::move(all));
    binder.bind(model, w);
    auto const owners = binder.finish();
    check_bound(w);
}

TEST_CASE("halves, at any byte: matrices keep their format, vectors are widened") {
    for (std::size_t offset : {0u, 1u, 2u, 3u}) {
        for (bool brain : {false, true}) {
            lv::weights<model_type> w;
            lv::binder binder(brain ? halves<lv::bf16>(lv::checkpoint::dtype::bf16, offset)
                                    : halves<lv::f16>(lv::checkpoint::dtype::f16, offset));
            binder.bind(model, w);
            auto const owners = binder.finish();
            lv::weights<lv::layer::linear<"fc", 2, 3, true>> const& fc = std::get<0>(std::get<0>(w.parts).parts);
            CHECK(fc.own[0].type == (brain ? lv::format::bf16 : lv::format::f16));
            CHECK(fc.own[1].type == lv::format::f32);
            CHECK(reinterpret_cast<std::uintptr_t>(fc.own[0].data) % 2 == 0);
            check_bound(w);
        }
    }
}

TEST_CASE("floats at odd bytes are moved to where kernels can read them") {
    lv::checkpoint::named_tensors all = tensors(good);
    auto& t = all.tensors.at("out.weight");
    auto const buffer = std::make_shared<std::vector<std::byte>>(t.bytes.size() + 3);
    std::memcpy(buffer->data() + 3, t.bytes.data(), t.bytes.size());
    t.bytes = std::span(*buffer).subspan(3);
    all.owners.push_back(buffer);
    lv::weights<model_type> w;
    lv::binder binder(std::move(all));
    binder.bind(model, w);
    auto const owners = binder.finish();
    check_bound(w);
}

TEST_CASE("what `finish` returns keeps alive all that the weights point into") {
    lv::checkpoint::named_tensors all = halves<lv::bf16>(lv::checkpoint::dtype::bf16, 1);
    std::vector<std::weak_ptr<void const>> watched(all.owners.begin(), all.owners.end());
    lv::weights<model_type> w;
    std::vector<std::shared_ptr<void const>> owners;
    {
        lv::binder binder(std::move(all));
        binder.bind(model, w);
        owners = binder.finish();
    }
    for (auto const& owner : watched) CHECK_FALSE(owner.expired());
    check_bound(w);
    owners.clear();
    for (auto const& owner : watched) CHECK(owner.expired());
}

TEST_CASE("missing, surplus and misshapen tensors are named in one error") {
    std::vector<given_tensor> list = good;
    list[0].name = "m.fc.weights";
    list[1].extents = {1, 3};
    list.push_back({"extra.table", {4, 1}, {0, 0, 0, 0}});
    std::string const message = faults_of(tensors(list));
    CHECK(contains(message, "1 missing:\n    m.fc.weight [3, 2]"));
    CHECK(contains(message, "2 surplus:\n    extra.table [4, 1]\n    m.fc.weights [3, 2]"));
    CHECK(contains(message, "1 misshapen:\n    m.fc.bias is [1, 3], the model's is [3]"));
    CHECK_FALSE(contains(message, "out.weight"));
}

TEST_CASE("nothing at all is there") {
    std::string const message = faults_of({});
    CHECK(contains(message, "3 missing:\n    m.fc.weight [3, 2]\n    m.fc.bias [3]\n    out.weight [2, 3]"));
    CHECK_FALSE(contains(message, "surplus"));
}

TEST_CASE("types that carry no weights") {
    for (auto type : {lv::checkpoint::dtype::i32, lv::checkpoint::dtype::f8_e4m3, lv::checkpoint::dtype::f64}) {
        lv::checkpoint::named_tensors all = tensors(good);
        all.tensors.at("m.fc.bias").type = type;
        CHECK(contains(faults_of(std::move(all)), "m.fc.bias is " + std::string(lv::checkpoint::name_of(type))
                                                      + ", weights are F32, F16, BF16, Q8_0 or Q4_0"));
    }
}

TEST_CASE("matrices in blocks, and what cannot be in blocks") {
    using lv::checkpoint::dtype;
    constexpr auto wide = lv::linear_with_bias<"fc", 64, 1>;
    auto const blocks = std::make_shared<std::vector<lv::q8_0>>(2); // 2 · 34 bytes
    (*blocks)[1].scale = lv::f16::round(0.5f);
    (*blocks)[1].quants[3] = -7;
    lv::checkpoint::named_tensors all = tensors({{"fc.bias", {1}, {0}}});
    all.tensors["fc.weight"] = {dtype::q8_0, {1, 64}, std::as_bytes(std::span(*blocks))};
    lv::weights<std::remove_const_t<decltype(wide)>> w;
    lv::binder binder(all);
    binder.bind(wide, w);
    CHECK(binder.finish().size() == 2);
    CHECK(w.own[0].data == blocks->data());
    CHECK(w.own[0].type == lv::format::q8);
    CHECK(visit(w.own[0], [](auto values) { return static_cast<float>(values[35]); }) == -3.5f);

    lv::checkpoint::named_tensors narrow = tensors(good);
    narrow.tensors.at("m.fc.weight").type = dtype::q4_0;
    narrow.tensors.at("m.fc.bias").type = dtype::q4_0;
    narrow.tensors.at("out.weight").type = dtype::q6_k;
    std::string const message = faults_of(std::move(narrow));
    CHECK(contains(message, "m.fc.weight is Q4_0, rows of 2 values have no whole blocks of 32"));
    CHECK(contains(message, "m.fc.bias is Q4_0, only matrices are stored in blocks"));
    CHECK(contains(message, "out.weight is Q6_K, weights are F32, F16, BF16, Q8_0 or Q4_0"));
}

TEST_CASE("bytes that are fewer than the shape says") {
    lv::checkpoint::named_tensors all = tensors(good);
    auto& bytes = all.tensors.at("m.fc.weight").bytes;
    bytes = bytes.first(bytes.size() - 4);
    CHECK(contains(faults_of(std::move(all)), "m.fc.weight [3, 2] has 20 bytes, and takes 24"));
}

TEST_CASE("several parts of a model share one checkpoint") {
    lv::weights<lv::layer::linear<"one", 2, 2>> one;
    lv::weights<lv::layer::linear<"two", 2, 2>> two;
    lv::binder binder(tensors({{"one.weight", {2, 2}, {1, 2, 3, 4}}, {"two.weight", {2, 2}, {5, 6, 7, 8}}}));
    binder.bind(lv::linear<"one", 2, 2>, one);
    binder.bind(lv::linear<"two", 2, 2>, two);
    auto const owners = binder.finish();
    CHECK(one.own[0].floats()[0] == 1);
    CHECK(two.own[0].floats()[3] == 8);
}
