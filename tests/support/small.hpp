// SPDX-License-Identifier: Apache-2.0
// A very small configuration, and random weights for any configuration, for tests that do not need a trained model.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <llamavision/checkpoint/tensor.hpp>
#include <llamavision/expression/bind.hpp>
#include <llamavision/image/tiles.hpp>
#include <llamavision/model/model_of.hpp>

#include "random_floats.hpp"

struct small {
    static constexpr std::string_view name = "small";
    struct vision {
        static constexpr std::size_t width = 12, mlp = 20, heads = 2, layers = 3, global_layers = 2;
        static constexpr std::size_t tile = 8, patch = 4, channels = 3, tiles = 4; // 5 tokens and 3 pad rows a tile
        static constexpr std::array<std::size_t, 2> taps{0, 2};
        static constexpr float norm_eps = 1e-5f;
    };
    struct text {
        static constexpr std::size_t width = 16, mlp = 24, heads = 4, kv_heads = 2, layers = 5;
        static constexpr std::array<std::size_t, 2> cross_layers{1, 4};
        static constexpr std::size_t vocabulary = 40, context = 600;
        static constexpr float norm_eps = 1e-5f;
        static constexpr llamavision::config::rope_numbers rope{10000.0, false, 8.0, 1.0, 4.0, 8192};
    };
};

/// A tensor of those floats, which `owner` keeps alive.
[[nodiscard]] inline llamavision::checkpoint::tensor tensor_of(std::shared_ptr<std::vector<float> const> const& owner,
                                                               std::vector<std::size_t> shape) {
    return {llamavision::checkpoint::dtype::f32, std::move(shape), std::as_bytes(std::span(*owner))};
}

/// The largest difference, relative to the largest of the wanted values.
[[nodiscard]] inline double difference(std::span<float const> is, std::span<float const> wanted) {
    if (is.size() != wanted.size()) return 1e30;
    double most = 0, largest = 0;
    for (std::size_t i = 0; i < is.size(); ++i) {
        double const d = std::abs(static_cast<double>(is[i]) - static_cast<double>(wanted[i]));
        if (!(d <= most)) most = d; // a NaN is a difference, too
        largest = std::max(largest, std::abs(static_cast<double>(wanted[i])));
    }
    return largest > 0 ? most / largest : most;
}

namespace random_model {

/// A table [arrangements + 1, tiles, n] as converted checkpoints hold it: zeros where an arrangement has no tile.
template <class V>
void clear_absent_tiles(std::vector<float>& table) {
    std::size_t const slot = table.size() / (llamavision::config::arrangements<V> + 1) / V::tiles;
    std::fill_n(table.begin(), V::tiles * slot, 0.0f);
    auto row = table.begin();
    for (auto const& [r, c] : llamavision::config::all_arrangements(V::tiles)) {
        row += static_cast<std::ptrdiff_t>(V::tiles * slot);
        std::fill_n(row + static_cast<std::ptrdiff_t>(r * c * slot), (V::tiles - r * c) * slot, 0.0f);
    }
}

template <class V>
std::vector<float> values(std::string const& name, std::vector<std::size_t> const& shape, random_floats& random) {
    std::size_t count = 1;
    for (std::size_t n : shape) count *= n;
    std::size_t const fan_in = count / shape[0];
    bool const position = name.find("position") != std::string::npos;
    float const scale = position || fan_in == 1 ? 0.7f : std::sqrt(3.0f / static_cast<float>(fan_in));
    std::vector<float> v = random.many(count, scale);
    if (fan_in == 1 && name.ends_with("norm.weight"))
        for (float& x : v) x = 1.0f + 0.3f * x;
    if (name.ends_with("embedding.weight") && position) clear_absent_tiles<V>(v);
    return v;
}

} // namespace random_model

/// Every tensor of the configuration with random values; norms near one, gates open.
template <class C>
[[nodiscard]] llamavision::checkpoint::named_tensors random_weights(std::uint64_t seed = 1) {
    random_floats random(seed);
    llamavision::checkpoint::named_tensors all;
    for (llamavision::weight_facts const& w : llamavision::all_weights<llamavision::model_of<C>>()) {
        auto const shape = shape_of(w.kind);
        auto const owner =
            std::make_shared<std::vector<float> const>(random_model::values<typename C::vision>(w.name, shape, random));
        all.tensors[w.name] = tensor_of(owner, shape);
        all.owners.push_back(owner);
    }
    return all;
}

[[nodiscard]] inline llamavision::image::tiles random_tiles(std::size_t rows, std::size_t columns, std::size_t side,
                                                            std::uint64_t seed = 1) {
    return {rows, columns, side, random_floats(seed).many(rows * columns * 3 * side * side, 1.5f)};
}
