// SPDX-License-Identifier: Apache-2.0
// The reading `describe`: the expression printed as a tree, one line for each thing that has a name: label, widths,
// weights.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <llamavision/expression/count.hpp>
#include <llamavision/support/cold.hpp>

namespace llamavision {

namespace detail {

/// 10670220835 as 10'670'220'835.
LLAMAVISION_COLD inline std::string grouped(std::size_t n) {
    std::string text = std::to_string(n);
    for (std::size_t at = text.size(); at > 3; at -= 3) text.insert(at - 3, "'");
    return text;
}

[[nodiscard]] inline std::string width_text(std::size_t width) {
    return width == token_ids ? "ids" : width == tile_pixels ? "pixels" : std::to_string(width);
}

/// What goes into an expression, what comes out, and what it holds.
LLAMAVISION_COLD inline std::string about(std::size_t in, std::size_t out, totals const& sum) {
    std::string text;
    if (out != any_width) text = (in == any_width ? std::string("-") : width_text(in)) + " -> " + width_text(out);
    if (sum.tensors)
        text +=
            (text.empty() ? "" : ", ") + grouped(sum.parameters) + (sum.parameters == 1 ? " parameter" : " parameters");
    return text;
}
template <class E>
std::string about(E e) {
    constexpr totals sum = count(e);
    return about(E::in, E::out, sum);
}

struct description {
    std::string text;

    LLAMAVISION_COLD void line(std::size_t depth, std::string_view what, std::string const& about) {
        std::string left = std::string(2 * depth, ' ').append(what);
        if (left.size() < 50) left.resize(50, ' ');
        text += left + "  " + about;
        text.erase(text.find_last_not_of(' ') + 1);
        text += '\n';
    }
};

/// The layers i < n that are of that kind of block, as "layers 0-2, 4-7, 9".
LLAMAVISION_COLD inline std::string layers_text(std::size_t n, std::size_t (*block_of)(std::size_t), std::size_t kind) {
    std::string text;
    for (std::size_t i = 0; i < n; ++i) {
        if (block_of(i) != kind) continue;
        std::size_t last = i;
        while (last + 1 < n && block_of(last + 1) == kind) ++last;
        text += (text.empty() ? "layers " : ", ") + std::to_string(i);
        if (last > i) text += "-" + std::to_string(last);
        i = last;
    }
    return text;
}

LLAMAVISION_COLD inline std::string taps_text(std::span<std::size_t const> layers) {
    std::string text;
    for (std::size_t const i : layers) text += (text.empty() ? "; the inputs of " : ", ") + std::to_string(i);
    return text.empty() ? text : text + " are kept";
}

template <class E>
void describe(E, std::size_t depth, description& d);

template <class... Parts>
void describe_parts(part_list<Parts...>, [[maybe_unused]] std::size_t depth, [[maybe_unused]] description& d) {
    (detail::describe(Parts{}, depth, d), ...);
}

template <class E, class... Blocks, std::size_t... I>
void describe_layers(E e, part_list<Blocks...>, std::index_sequence<I...>, std::size_t depth, description& d) {
    std::string const whole = sizeof...(Blocks) == 1 ? about(e) + taps_text(E::taps::layers) : std::string();
    ((d.line(depth, layers_text(E::depth, &E::block_of, I), whole), detail::describe(Blocks{}, depth + 1, d)), ...);
}

template <class E>
void describe_node(E e, std::size_t depth, description& d) {
    constexpr std::string_view title = E::label.empty() ? E::kind : E::label;
    if constexpr (E::is_stack)
        describe_layers(e, typename E::parts{}, std::make_index_sequence<E::parts::size>{}, depth, d);
    else if constexpr (title.empty())
        describe_parts(typename E::parts{}, depth, d);
    else {
        d.line(depth, title, about(e));
        describe_parts(typename E::parts{}, depth + 1, d);
    }
}

template <class E>
void describe(E, std::size_t depth, description& d) {
    describe_node(body<E>{}, depth, d);
}

} // namespace detail

/// The tree of E, a line for each named part: what goes in, what comes out, how many parameters it has.
template <expression E>
[[nodiscard]] std::string describe(E e) {
    detail::description d;
    detail::describe(e, 0, d);
    return d.text;
}

} // namespace llamavision
