// SPDX-License-Identifier: Apache-2.0
// weights<E>: memory in the shape of the expression. Nobody writes a struct of weights by hand, and nobody looks a name
// up while the model runs: names exist only while a checkpoint is bound.
#pragma once

#include <array>
#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>

#include <llamavision/expression/grammar.hpp>
#include <llamavision/weights/matrix.hpp>

namespace llamavision {

template <class E>
struct weights;

namespace detail {

/// One set of weights for a part, or as many as there are layers of a stack's block.
template <class E, std::size_t I, class Part>
struct part_weights {
    using type = weights<Part>;
};
template <class E, std::size_t I, class Part>
requires(E::is_stack) struct part_weights<E, I, Part> {
    using type = std::array<weights<Part>, E::copies[I]>;
};

template <class E, class Parts, class Indices>
struct weights_of_parts;
template <class E, class... Parts, std::size_t... I>
struct weights_of_parts<E, part_list<Parts...>, std::index_sequence<I...>> {
    using type = std::tuple<typename part_weights<E, I, Parts>::type...>;
};

} // namespace detail

/// A layer's own weights, in the order of its `parameters`, and those of its parts.
template <class E>
struct weights {
    std::array<matrix, E::parameters.size()> own{};
    typename detail::weights_of_parts<E, typename E::parts, std::make_index_sequence<E::parts::size>>::type parts{};
};

template <is_module E>
struct weights<E> : weights<body<E>> {};

} // namespace llamavision
