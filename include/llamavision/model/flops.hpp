// SPDX-License-Identifier: Apache-2.0
// What a picture and a segment of text cost, in floating point operations: known from the configuration alone.
#pragma once

#include <cstddef>

#include <llamavision/config/configuration.hpp>
#include <llamavision/expression/count.hpp>
#include <llamavision/model/model_of.hpp>

namespace llamavision {

/// Operations for a picture of that many tiles; the cross-attention's keys and values included. Collapsed: rows of
/// padding that are alike are computed once.
template <encodes M>
[[nodiscard]] constexpr double image_flops(std::size_t tiles, bool collapsed = false) {
    using V = typename M::configured::vision;
    std::size_t const slots = collapsed && tiles < V::tiles ? tiles + 1 : V::tiles;
    std::size_t const pads = collapsed && config::pads<V> > 0 ? 1 : config::pads<V>;
    work w;
    w.tower_rows = static_cast<double>(slots * (config::tokens<V> + pads));
    w.tower_pairs = w.tower_rows * w.tower_rows;
    w.feature_rows = static_cast<double>(tiles * config::tokens<V>);
    w.sees_image = true;
    double patch_rows = static_cast<double>(tiles * config::patches<V>), no_text = 0;
    return flops(M::encoder, w, patch_rows) + flops(M::reader, w, no_text);
}

/// Operations for reading `count` tokens after `before` others, with that many rows of image in sight; logits of the
/// last one.
template <network_model M>
[[nodiscard]] constexpr double read_flops(std::size_t before, std::size_t count, std::size_t image_rows) {
    auto const n = static_cast<double>(count), past = static_cast<double>(before);
    work w;
    w.text_rows = n;
    w.text_pairs = n * past + n * (n + 1) / 2;
    w.image_pairs = n * static_cast<double>(image_rows);
    w.logit_rows = 1;
    w.sees_image = image_rows > 0;
    double rows_in = n;
    return flops(M::reader, w, rows_in);
}

} // namespace llamavision
