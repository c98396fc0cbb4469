// SPDX-License-Identifier: Apache-2.0
// Number by number, in the order of numbers.hpp.
#pragma once

#include <algorithm>
#include <cstddef>

#include <llamavision/config/differences.hpp>
#include <llamavision/support/print_number.hpp>

namespace llamavision::config {

namespace detail {

[[nodiscard]] inline std::string shown(std::size_t value) { return std::to_string(value); }
[[nodiscard]] inline std::string shown(bool value) { return value ? "yes" : "no"; }
[[nodiscard]] inline std::string shown(float value) { return print_number(value); }
[[nodiscard]] inline std::string shown(arrangement const& value) {
    return "(" + shown(value.rows) + ", " + shown(value.columns) + ")";
}
template <class T>
[[nodiscard]] std::string shown(std::vector<T> const& values) {
    std::string result = "[";
    for (auto const& value : values) result += (result.size() == 1 ? "" : ", ") + shown(value);
    return result + "]";
}

} // namespace detail

LLAMAVISION_INLINE std::vector<std::string> vision_names() {
    return {"vision.width",         "vision.mlp",  "vision.heads",         "vision.layers",
            "vision.global_layers", "vision.tile", "vision.patch",         "vision.channels",
            "vision.tiles",         "vision.taps", "vision.aspect_ratios", "vision.norm_eps"};
}

LLAMAVISION_INLINE std::vector<std::string> differences(numbers const& file, numbers const& compiled,
                                                        std::vector<std::string> const& unstated) {
    std::vector<std::string> result;
    auto const compare = [&](char const* name, auto const& says, auto const& built) {
        if (says != built && std::find(unstated.begin(), unstated.end(), name) == unstated.end())
            result.push_back(std::string(name) + ": the file says " + detail::shown(says)
                             + ", the program was built for " + detail::shown(built));
    };
    auto const real = [](double value) { return static_cast<float>(value); };

    if (file.kind != compiled.kind)
        return {"model_type: the file says \"" + std::string(name_of(file.kind)) + "\", the program was built for \""
                + std::string(name_of(compiled.kind)) + '"'};
    auto const &v = file.vision, &w = compiled.vision; // of two text models both are empty
    compare("vision.width", v.width, w.width);
    compare("vision.mlp", v.mlp, w.mlp);
    compare("vision.heads", v.heads, w.heads);
    compare("vision.layers", v.layers, w.layers);
    compare("vision.global_layers", v.global_layers, w.global_layers);
    compare("vision.tile", v.tile, w.tile);
    compare("vision.patch", v.patch, w.patch);
    compare("vision.channels", v.channels, w.channels);
    compare("vision.tiles", v.tiles, w.tiles);
    compare("vision.taps", v.taps, w.taps);
    compare("vision.aspect_ratios", v.aspect_ratios, w.aspect_ratios);
    compare("vision.norm_eps", real(v.norm_eps), real(w.norm_eps));

    auto const &t = file.text, &u = compiled.text;
    compare("text.width", t.width, u.width);
    compare("text.mlp", t.mlp, u.mlp);
    compare("text.heads", t.heads, u.heads);
    compare("text.kv_heads", t.kv_heads, u.kv_heads);
    compare("text.layers", t.layers, u.layers);
    compare("text.cross_layers", t.cross_layers, u.cross_layers);
    if (t.vocabulary < u.vocabulary) compare("text.vocabulary", t.vocabulary, u.vocabulary);
    compare("text.tied_head", t.tied_head, u.tied_head);
    compare("text.norm_eps", real(t.norm_eps), real(u.norm_eps));
    compare("text.rope.theta", real(t.rope.theta), real(u.rope.theta));
    compare("text.rope.scaled", t.rope.scaled, u.rope.scaled);
    if (t.rope.scaled && u.rope.scaled) {
        compare("text.rope.factor", real(t.rope.factor), real(u.rope.factor));
        compare("text.rope.low_freq_factor", real(t.rope.low_freq_factor), real(u.rope.low_freq_factor));
        compare("text.rope.high_freq_factor", real(t.rope.high_freq_factor), real(u.rope.high_freq_factor));
        compare("text.rope.original_context", t.rope.original_context, u.rope.original_context);
    }
    return result;
}

} // namespace llamavision::config
