// SPDX-License-Identifier: Apache-2.0
// The tensors of a configuration that is known only at run time, from a file's numbers. The expression itself says
// them: that of a model in which every extent is another number, so that an extent in a shape tells where it comes
// from.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <llamavision/config/configuration.hpp>
#include <llamavision/expression/weights.hpp>
#include <llamavision/model/mllama.hpp>
#include <llamavision/support/error.hpp>

namespace llamavision {

/// A tensor that a model has: its full name in Hugging Face's spelling, and what it is.
struct expected_tensor {
    std::string name;
    parameter kind;
};

namespace detail {

/// One layer of each kind, and no two extents alike.
struct probe {
    static constexpr std::string_view name = "probe";
    struct vision {
        static constexpr std::size_t width = 30, mlp = 44, heads = 2, layers = 1, global_layers = 1;
        static constexpr std::size_t tile = 15, patch = 5, channels = 3, tiles = 4;
        static constexpr std::array<std::size_t, 1> taps{0};
        static constexpr float norm_eps = 1e-5f;
    };
    struct text {
        static constexpr std::size_t width = 56, mlp = 77, heads = 4, kv_heads = 2, layers = 2;
        static constexpr std::array<std::size_t, 1> cross_layers{1};
        static constexpr std::size_t vocabulary = 100, context = 1;
        static constexpr float norm_eps = 1e-5f;
        static constexpr config::rope_numbers rope{};
    };
};

/// Every extent that the shape of a tensor can have, in one order for all configurations.
[[nodiscard]] inline std::vector<std::size_t> extents_of(config::numbers const& n) {
    auto const& v = n.vision;
    auto const& t = n.text;
    std::size_t const side = v.tile / v.patch, tokens = side * side + 1, head = t.width / t.heads;
    return {1,
            v.width,
            v.mlp,
            v.channels,
            v.patch,
            tokens,
            config::count_arrangements(v.tiles) + 1,
            v.tiles * v.width,
            v.tiles * tokens * v.width,
            v.width * (1 + v.taps.size()),
            t.width,
            t.mlp,
            head,
            t.kv_heads * head,
            t.vocabulary,
            t.vocabulary + config::extra_tokens};
}

/// The layers of `n` that are of the kind of the probe's layer `index` in that stack.
[[nodiscard]] inline std::vector<std::size_t> layers_like(std::string_view stack, std::size_t index,
                                                          config::numbers const& n) {
    auto const& t = n.text;
    bool const text = stack.starts_with("language_model"), gated = stack.find("global") != std::string_view::npos;
    std::size_t const count = text ? t.layers : gated ? n.vision.global_layers : n.vision.layers;
    std::vector<std::size_t> layers;
    for (std::size_t i = 0; i < count; ++i) {
        bool const cross = std::find(t.cross_layers.begin(), t.cross_layers.end(), i) != t.cross_layers.end();
        if (!text || cross == (index == probe::text::cross_layers[0])) layers.push_back(i);
    }
    return layers;
}

/// Adds the tensors of E, a part of the probe's model, as `n` has them.
template <expression E>
void add_expected(E e, config::numbers const& n, std::vector<expected_tensor>& all) {
    static std::vector<std::size_t> const marks = extents_of(config::numbers_of<probe>());
    auto const extents = extents_of(n);
    auto const add = [&](std::string const& name, parameter kind) {
        for (std::size_t i = 0; i < kind.rank; ++i) {
            auto const at = std::find(marks.begin(), marks.end(), kind.shape[i]);
            if (at == marks.end())
                throw argument_error(name + ": has an extent that no number of a configuration says");
            kind.shape[i] = extents[static_cast<std::size_t>(at - marks.begin())];
        }
        constexpr std::string_view layers = ".layers.";
        auto const found = name.find(layers);
        if (found == std::string::npos) {
            all.push_back({name, kind});
            return;
        }
        auto const stack = name.substr(0, found + layers.size());
        std::size_t const index = static_cast<std::size_t>(name[stack.size()] - '0'); // the probe has few layers
        for (std::size_t const layer : layers_like(stack, index, n))
            all.push_back({stack + std::to_string(layer) + name.substr(stack.size() + 1), kind});
    };
    auto const w = std::make_unique<weights<E>>();
    walk(e, *w, "", [&](auto node, auto const&, std::string const& path) {
        for (parameter const& p : node.parameters) add(path + std::string(p.suffix), p);
    });
}

} // namespace detail

/// The tensors that a model with these numbers has.
/// @param sees false: those of the text model alone
/// @pre no contradictions (config/check.hpp)
[[nodiscard]] inline std::vector<expected_tensor> expected_tensors(config::numbers const& n, bool sees = true) {
    std::vector<expected_tensor> all;
    if (sees) detail::add_expected(mllama<detail::probe>.encoder, n, all);
    detail::add_expected(mllama<detail::probe>.reader, n, all);
    return all;
}

} // namespace llamavision
