// SPDX-License-Identifier: Apache-2.0
// Makes the text of Meta's params.json, and tells which numbers it cannot say.
#pragma once

#include <llamavision/checkpoint/form/meta/params.hpp>
#include <llamavision/config/configuration.hpp>
#include <llamavision/config/numbers.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/listed.hpp>

#include <cstddef>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace llamavision::checkpoint {

namespace detail {

/// multiple_of and ffn_dim_multiplier from which feed_forward_width makes `mlp`: those of a published model if they do,
/// else multiple_of = mlp and a multiplier small enough that rounding up gives one multiple.
[[nodiscard]] inline std::pair<std::size_t, std::optional<double>> feed_forward_words(std::size_t width,
                                                                                      std::size_t mlp) {
    for (std::size_t const multiple : {std::size_t{4096}, std::size_t{1024}, std::size_t{256}, mlp})
        for (std::optional<double> const multiplier : {std::optional<double>(1.3), std::optional<double>()})
            if (feed_forward_width(width, multiple, multiplier) == mlp) return {multiple, multiplier};
    // int(multiplier · 8/3 · width) is then about mlp / 2, between 1 and mlp, and is rounded up to mlp.
    return {mlp, static_cast<double>(mlp) / (16.0 * static_cast<double>(width) / 3.0)};
}

} // namespace detail

/// One phrase for each number that Meta's code fixes and that is another one in `n`; empty if Meta's form can hold the
/// model.
[[nodiscard]] inline std::vector<std::string> unsayable_in_params(config::numbers const& n) {
    std::vector<std::string> found;
    auto const& t = n.text;
    if (spread_cross_layers(t.layers - t.cross_layers.size(), t.cross_layers.size()) != t.cross_layers)
        found.push_back("its cross-attention layers stand where Meta's code would not put them");
    config::rope_numbers scaling = t.rope;
    scaling.theta = config::rope_numbers{}.theta;
    if (n.kind == config::family::llama)
        scaling.factor = config::rope_numbers{}.factor; // unsaid_in_params reports the factor
    if (t.rope.scaled && !(scaling == config::rope_numbers{}))
        found.push_back("its rotary frequencies are scaled by other numbers than in Meta's code");
    auto const [multiple, multiplier] = detail::feed_forward_words(t.width, t.mlp);
    if (feed_forward_width(t.width, multiple, multiplier) != t.mlp)
        found.push_back("no multiple_of and ffn_dim_multiplier make its MLP's width");
    return found;
}

/// One phrase for each number that params.json does not say and that is not a published model's, so that a reader has
/// to know it.
[[nodiscard]] inline std::vector<std::string> unsaid_in_params(config::numbers const& n) {
    std::vector<std::string> found;
    if (n.kind == config::family::mllama && n.vision != detail::published_tower(n.vision.tile, n.vision.tiles))
        found.push_back("the numbers of the vision tower");
    if (n.kind == config::family::llama && n.text.rope.scaled
        && n.text.rope.factor != detail::published_rope_factor(n.text).value_or(config::rope_numbers{}.factor))
        found.push_back("the factor of the rotary frequencies");
    if (n.text.context != config::text_numbers{}.context) found.push_back("the longest conversation");
    return found;
}

/// The text of a params.json.
/// @throws mismatch_error for a model that Meta's form cannot hold
[[nodiscard]] inline std::string params_text(config::numbers const& n) {
    if (auto const found = unsayable_in_params(n); !found.empty())
        throw mismatch_error("Meta's form cannot hold this model: " + listed(found));
    auto const& t = n.text;
    auto const [multiple, multiplier] = detail::feed_forward_words(t.width, t.mlp);
    nlohmann::ordered_json document{{"dim", t.width},
                                    {"n_layers", t.layers - t.cross_layers.size()},
                                    {"n_heads", t.heads},
                                    {"n_kv_heads", t.kv_heads},
                                    {"vocab_size", t.vocabulary}};
    if (multiplier) document["ffn_dim_multiplier"] = *multiplier;
    document["multiple_of"] = multiple;
    document["norm_eps"] = t.norm_eps;
    document["rope_theta"] = t.rope.theta;
    document["use_scaled_rope"] = t.rope.scaled;
    if (n.kind == config::family::mllama) {
        document["vision_chunk_size"] = n.vision.tile;
        document["vision_max_num_chunks"] = n.vision.tiles;
        document["vision_num_cross_attention_layers"] = t.cross_layers.size();
    }
    return document.dump(2) + "\n";
}

} // namespace llamavision::checkpoint
