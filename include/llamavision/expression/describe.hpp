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
#include <llamavision/support/separate.hpp>

namespace llamavision {

/// 10670220835 as 10'670'220'835.
[[nodiscard]] LLAMAVISION_INLINE std::string grouped(std::size_t n);

namespace detail {

/// The tree as it grows.
class description {
  public:
    /// A line for something with a name: its widths, and what it holds. @param extra goes after them
    void line(std::size_t depth, std::string_view what, std::size_t in, std::size_t out, totals const& sum,
              std::string const& extra = {});
    /// The layers of a stack that are of that kind of block, as "layers 0-2, 4-7, 9".
    [[nodiscard]] static std::string layers_text(std::size_t n, std::size_t (*block_of)(std::size_t), std::size_t kind);
    [[nodiscard]] static std::string taps_text(std::span<std::size_t const> layers);

    std::string text;

  private:
    void line(std::size_t depth, std::string_view what, std::string const& about);
};

template <class E>
void describe(E, std::size_t depth, description& d);

template <class... Parts>
void describe_parts(part_list<Parts...>, [[maybe_unused]] std::size_t depth, [[maybe_unused]] description& d) {
    (detail::describe(Parts{}, depth, d), ...);
}

template <class E, class... Blocks, std::size_t... I>
void describe_layers(E e, part_list<Blocks...>, std::index_sequence<I...>, std::size_t depth, description& d) {
    auto const heading = [&](std::size_t kind) {
        std::string const layers = description::layers_text(E::depth, &E::block_of, kind);
        if constexpr (sizeof...(Blocks) == 1)
            d.line(depth, layers, E::in, E::out, count(e), description::taps_text(E::taps::layers));
        else
            d.line(depth, layers, any_width, any_width, {});
    };
    ((heading(I), detail::describe(Blocks{}, depth + 1, d)), ...);
}

template <class E>
void describe_node(E e, std::size_t depth, description& d) {
    constexpr std::string_view title = E::label.empty() ? E::kind : E::label;
    if constexpr (E::is_stack)
        describe_layers(e, typename E::parts{}, std::make_index_sequence<E::parts::size>{}, depth, d);
    else if constexpr (title.empty())
        describe_parts(typename E::parts{}, depth, d);
    else {
        d.line(depth, title, E::in, E::out, count(e));
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

#if !defined(LLAMAVISION_SEPARATE)
#include <llamavision/expression/describe.ipp>
#endif
