// SPDX-License-Identifier: Apache-2.0
// Models without a checkpoint, what weights take before they are loaded, and models that do not fit.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>

#include <llamavision/backend/scalar/scalar.hpp>
#include <llamavision/model/random_weights.hpp>
#include <llamavision/runtime/network/compiled_network.hpp>

#include "../support/message.hpp"
#include "small_network.hpp"

namespace lv = llamavision;

namespace {

std::vector<std::byte> bytes_of(lv::checkpoint::named_tensors const& all, std::string const& name) {
    std::vector<std::byte> room;
    auto const bytes = lv::checkpoint::bytes_of(all.tensors.at(name), room);
    return {bytes.begin(), bytes.end()};
}

std::vector<float> values_of(lv::checkpoint::named_tensors const& all, std::string const& name) {
    auto const bytes = bytes_of(all, name);
    std::vector<float> values(bytes.size() / 2);
    for (std::size_t i = 0; i < values.size(); ++i) {
        lv::bf16 value{};
        std::memcpy(&value, bytes.data() + 2 * i, 2);
        values[i] = static_cast<float>(value);
    }
    return values;
}

using network = lv::network_of<small, lv::scalar>;

} // namespace

TEST_CASE("random weights: the same for the same seed, others for another, and of a sensible size") {
    auto const a = lv::random_weights<small>(1), b = lv::random_weights<small>(1), c = lv::random_weights<small>(2);
    CHECK(a.tensors.size() == lv::count(lv::mllama<small>).tensors);
    std::string const product = "language_model.model.layers.0.mlp.up_proj.weight";
    CHECK(bytes_of(a, product) == bytes_of(b, product));
    CHECK(bytes_of(a, product) != bytes_of(c, product));
    CHECK(bytes_of(a, product) != bytes_of(a, "language_model.model.layers.0.mlp.gate_proj.weight"));

    auto const values = values_of(a, product);
    double sum = 0, squares = 0;
    for (float const v : values) {
        sum += static_cast<double>(v);
        squares += static_cast<double>(v) * static_cast<double>(v);
    }
    auto const n = static_cast<double>(values.size());
    double const fan_in = static_cast<double>(a.tensors.at(product).shape[1]);
    CHECK(std::abs(sum / n) < 5 / std::sqrt(n * fan_in));
    CHECK(squares / n * fan_in == doctest::Approx(1).epsilon(0.1));
    for (float const v : values_of(a, "language_model.model.norm.weight")) CHECK(v == 1);
}

TEST_CASE("a random model encodes pictures and reads text, with collapsed padding") {
    network const net(lv::random_weights<small>(7), lv::scalar());
    auto const tiles = random_tiles(1, 1, small::vision::tile, 3);
    lv::encode_options plain;
    plain.collapse_padding = false;
    auto const collapsed = net.encode(tiles, {}), whole = net.encode(tiles, plain);
    REQUIRE(collapsed->memory.rows == whole->memory.rows);
    auto const* const a = reinterpret_cast<float const*>(collapsed->storage.get());
    auto const* const b = reinterpret_cast<float const*>(whole->storage.get());
    float largest = 0, difference = 0;
    for (std::size_t i = 0; i < collapsed->bytes / sizeof(float); ++i) {
        REQUIRE(std::isfinite(b[i]));
        largest = std::max(largest, std::abs(b[i]));
        difference = std::max(difference, std::abs(a[i] - b[i]));
    }
    CHECK(largest > 0);
    CHECK(difference <= 1e-5f * largest);
    CHECK(net.image_flops(1, true) < net.image_flops(1, false));
    CHECK(net.image_flops(1, false) < net.image_flops(4, false));
}

TEST_CASE("what weights take") {
    lv::memory_plan const plan = network(lv::random_weights<small>(7), lv::scalar()).plan(8);
    lv::totals const all = lv::count(lv::mllama<small>);
    CHECK(plan.weights.mapped == 0);              // nothing lies in a file
    CHECK(plan.weights.own > 2 * all.parameters); // bf16, and the small ones as floats
    CHECK(plan.weights.own < 3 * all.parameters);
    using T = small::text;
    // Of the text model, without the embedding, norms, and the projections of keys and values of images.
    std::size_t const mlps = T::layers * 3 * T::width * T::mlp;
    std::size_t const kv = lv::kv_width<T>, crosses = T::cross_layers.size();
    std::size_t const attention = T::layers * 2 * T::width * T::width + (T::layers - crosses) * 2 * T::width * kv;
    CHECK(plan.weights.decoded == 2 * (mlps + attention + T::vocabulary * T::width));
}

TEST_CASE("a model that does not fit is refused with the figures, before anything is made") {
    auto tensors = lv::random_weights<small>(7);
    for (auto& [name, tensor] : tensors.tensors) tensor.make = [](std::span<std::byte>) { FAIL("a weight was made"); };
    auto const load = [&] { network(tensors, lv::scalar(), {.memory_budget = 1000}); };
    std::string const message = message_of<lv::memory_error>(load);
    CHECK(message.find(" MB of memory (weights ") != std::string::npos);
    CHECK(message.find("a picture and a conversation of 600 positions") != std::string::npos);
    CHECK(message.find("1000 bytes are available") != std::string::npos);
    CHECK_NOTHROW(network(lv::random_weights<small>(7), lv::scalar(), {.memory_budget = std::size_t{1} << 30}));
}
