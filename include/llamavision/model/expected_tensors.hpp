// SPDX-License-Identifier: Apache-2.0
// The tensors of a configuration that is known only at run time, from a file's numbers. They come from the expression
// of a probe: a model in which every extent is another number, so that an extent in a shape tells which number it is.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <llamavision/config/configuration.hpp>
#include <llamavision/model/model_of.hpp>
#include <llamavision/support/error.hpp>

namespace llamavision {

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

/// The same of text models.
template <bool TiedHead>
struct text_probe {
    static constexpr std::string_view name = "text probe";
    struct text {
        static constexpr std::size_t width = 56, mlp = 77, heads = 4, kv_heads = 2, layers = 1;
        static constexpr std::size_t vocabulary = 100, context = 1;
        static constexpr float norm_eps = 1e-5f;
        static constexpr config::rope_numbers rope{};
        static constexpr bool tied_head = TiedHead;
    };
};

/// Every extent that the shape of a tensor can have, in one order for all configurations.
[[nodiscard]] inline std::vector<std::size_t> extents_of(config::numbers const& n) {
    auto const& v = n.vision;
    auto const& t = n.text;
    std::size_t const side = v.patch > 0 ? v.tile / v.patch : 0, tokens = side * side + 1, head = t.width / t.heads;
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

/// The layers of `n` that are of the same stack and the same kind of block as a weight of the probe.
[[nodiscard]] inline std::vector<std::size_t> layers_like(weight_facts const& probed, bool of_encoder,
                                                          config::numbers const& n) {
    auto const& t = n.text;
    std::size_t const count = !of_encoder ? t.layers : probed.stack == 0 ? n.vision.layers : n.vision.global_layers;
    std::vector<std::size_t> layers;
    for (std::size_t i = 0; i < count; ++i) {
        bool const cross = std::find(t.cross_layers.begin(), t.cross_layers.end(), i) != t.cross_layers.end();
        if (of_encoder || cross == (probed.block == 1)) layers.push_back(i);
    }
    return layers;
}

/// Adds the weights of a half of the probe's model, as `n` has them. @param marks the probe's extents
template <expression E>
void add_expected(E half, config::numbers const& n, std::vector<std::size_t> const& marks,
                  std::vector<weight_facts>& all) {
    constexpr bool of_encoder = width_in<E> == tile_pixels;
    auto const extents = extents_of(n);
    for (weight_facts w : all_weights(half)) {
        for (std::size_t i = 0; i < w.kind.rank(); ++i) {
            auto const at = std::find(marks.begin(), marks.end(), w.kind.shape[i]);
            if (at == marks.end())
                throw argument_error(w.name + ": has an extent that is no number of a configuration");
            w.kind.shape[i] = extents[static_cast<std::size_t>(at - marks.begin())];
        }
        if (!w.layer) {
            all.push_back(std::move(w));
            continue;
        }
        std::string const before = w.name.substr(0, w.layer_at), after = w.name.substr(w.name.find('.', w.layer_at));
        for (std::size_t const layer : layers_like(w, of_encoder, n)) {
            w.layer = layer;
            w.name = before + std::to_string(layer) + after;
            all.push_back(w);
        }
    }
}

} // namespace detail

/// The weights that a model with these numbers has. Their `stage` is the probe's, and means nothing.
/// @param sees false: those of the text model alone
/// @pre no contradictions (config/check.hpp)
[[nodiscard]] inline std::vector<weight_facts> expected_tensors(config::numbers const& n, bool sees = true) {
    std::vector<weight_facts> all;
    auto const add = [&]<class C>(std::type_identity<C>) {
        auto const marks = detail::extents_of(config::numbers_of<C>());
        for_each_half<model_of<C>>(sees, [&](auto half) { detail::add_expected(half, n, marks, all); });
    };
    if (n.kind == config::family::mllama)
        add(std::type_identity<detail::probe>{});
    else if (n.text.tied_head)
        add(std::type_identity<detail::text_probe<true>>{});
    else
        add(std::type_identity<detail::text_probe<false>>{});
    return all;
}

/// The formats of a model's products and of its table of tokens, by their names. Small weights, the convolution and the
/// tables of positions are not among them: they stay as they are stored.
[[nodiscard]] inline std::map<std::string, weight_format, std::less<>>
formats_by_name(std::span<weight_facts const> all, weight_formats const& formats) {
    std::map<std::string, weight_format, std::less<>> by_name;
    for (weight_facts const& w : all) {
        bool const multiplies = w.kind.is_product() && w.kind.rank() == 2;
        if (multiplies || w.part == model_part::embedding) by_name.emplace(w.name, formats.of(w.part));
    }
    return by_name;
}

} // namespace llamavision
