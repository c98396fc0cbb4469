// SPDX-License-Identifier: Apache-2.0
// Checks whether a model can be built from a configuration's numbers.
#pragma once

#include <llamavision/config/numbers.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace llamavision::config {

/// The largest extent that files may say. No model has larger ones, and the product of three fits into 64 bits.
inline constexpr std::uint64_t extent_limit = std::uint64_t{1} << 21;

/// Bounds of a norm's epsilon, which prevents a division by zero: a positive float, far below the mean square that it
/// is added to.
inline constexpr double least_epsilon = 1e-30, largest_epsilon = 0.1;

namespace detail {

[[nodiscard]] inline std::string text_of(std::size_t value) { return std::to_string(value); }

inline void check_indices(std::vector<std::size_t> const& indices, std::size_t layers, std::string const& key,
                          std::vector<std::string>& found) {
    for (std::size_t i = 0; i < indices.size(); ++i) {
        if (indices[i] >= layers)
            found.push_back(key + ": there is no layer " + text_of(indices[i]) + " among " + text_of(layers));
        if (i != 0 && indices[i] == indices[i - 1])
            found.push_back(key + ": layer " + text_of(indices[i]) + " is named twice");
        if (i != 0 && indices[i] < indices[i - 1])
            found.push_back(key + ": layer " + text_of(indices[i]) + " follows layer " + text_of(indices[i - 1])
                            + ", but the order must ascend");
    }
}

inline void check_division(std::size_t whole, std::string const& whole_name, std::size_t parts,
                           std::string const& parts_name, std::vector<std::string>& found) {
    if (parts == 0 || whole % parts != 0)
        found.push_back(parts_name + " " + text_of(parts) + " does not divide " + whole_name + " " + text_of(whole));
}

} // namespace detail

/// One sentence for each contradiction among the numbers, with the keys of `config.json`. Empty if the numbers describe
/// a model.
[[nodiscard]] inline std::vector<std::string> contradictions(numbers const& n) {
    std::vector<std::string> found;
    bool const sees = n.kind == family::mllama;
    if (vision_numbers const& v = n.vision; sees) {
        detail::check_division(v.width, "vision_config.hidden_size", v.heads, "vision_config.attention_heads", found);
        detail::check_division(v.tile, "vision_config.image_size", v.patch, "vision_config.patch_size", found);
        detail::check_indices(v.taps, v.layers, "vision_config.intermediate_layers_indices", found);
    }

    text_numbers const& t = n.text;
    std::string const in = sees ? "text_config." : "";
    detail::check_division(t.width, in + "hidden_size", t.heads, in + "num_attention_heads", found);
    detail::check_division(t.heads, in + "num_attention_heads", t.kv_heads, in + "num_key_value_heads", found);
    if (t.heads != 0 && t.width % t.heads == 0 && t.width / t.heads % 2 != 0)
        found.push_back(in + "hidden_size " + detail::text_of(t.width) + " over num_attention_heads "
                        + detail::text_of(t.heads) + " is an odd head width, which cannot rotate");
    detail::check_indices(t.cross_layers, t.layers, in + "cross_attention_layers", found);
    if (t.cross_layers.size() >= t.layers)
        found.push_back(in + "cross_attention_layers leaves no layer for self-attention");
    if (!sees && !t.cross_layers.empty())
        found.push_back("cross_attention_layers: a text model has nothing that they could look at");
    if (t.rope.scaled && !(t.rope.low_freq_factor < t.rope.high_freq_factor))
        found.push_back(in + "rope_scaling: low_freq_factor must be less than high_freq_factor");
    return found;
}

} // namespace llamavision::config
