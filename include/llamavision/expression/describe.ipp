// SPDX-License-Identifier: Apache-2.0
// The text of a printed tree.
#pragma once

#include <llamavision/expression/describe.hpp>

namespace llamavision {

LLAMAVISION_INLINE std::string grouped(std::size_t n) {
    std::string text = std::to_string(n);
    for (std::size_t at = text.size(); at > 3; at -= 3) text.insert(at - 3, "'");
    return text;
}

namespace detail {

LLAMAVISION_INLINE void description::line(std::size_t depth, std::string_view what, std::size_t in, std::size_t out,
                                          totals const& sum, std::string const& extra) {
    auto const width = [](std::size_t w) {
        return w == token_ids ? "ids" : w == tile_pixels ? "pixels" : std::to_string(w);
    };
    std::string about;
    if (out != any_width) about = (in == any_width ? std::string("-") : width(in)) + " -> " + width(out);
    if (sum.tensors)
        about += (about.empty() ? "" : ", ") + grouped(sum.parameters)
                 + (sum.parameters == 1 ? " parameter" : " parameters");
    line(depth, what, about + extra);
}

LLAMAVISION_INLINE void description::line(std::size_t depth, std::string_view what, std::string const& about) {
    std::string left = std::string(2 * depth, ' ').append(what);
    if (left.size() < 50) left.resize(50, ' ');
    text += left + "  " + about;
    text.erase(text.find_last_not_of(' ') + 1);
    text += '\n';
}

LLAMAVISION_INLINE std::string description::layers_text(std::size_t n, std::size_t (*block_of)(std::size_t),
                                                        std::size_t kind) {
    std::string layers;
    for (std::size_t i = 0; i < n; ++i) {
        if (block_of(i) != kind) continue;
        std::size_t last = i;
        while (last + 1 < n && block_of(last + 1) == kind) ++last;
        layers += (layers.empty() ? "layers " : ", ") + std::to_string(i);
        if (last > i) layers += "-" + std::to_string(last);
        i = last;
    }
    return layers;
}

LLAMAVISION_INLINE std::string description::taps_text(std::span<std::size_t const> layers) {
    std::string taps;
    for (std::size_t const i : layers) taps += (taps.empty() ? "; the inputs of " : ", ") + std::to_string(i);
    return taps.empty() ? taps : taps + " are kept";
}

} // namespace detail

} // namespace llamavision
