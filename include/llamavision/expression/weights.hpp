// SPDX-License-Identifier: Apache-2.0
// weights<E>: memory in the shape of the expression. Nobody writes a struct of weights by hand, and nobody looks a name
// up while the model runs: names exist only while a checkpoint is bound.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <tuple>
#include <utility>

#include <llamavision/expression/grammar.hpp>
#include <llamavision/weights/matrix.hpp>

namespace llamavision {

template <class E>
struct weights;

namespace detail {
template <class Parts>
struct weights_of_parts;
template <class... Parts>
struct weights_of_parts<part_list<Parts...>> {
    using type = std::tuple<weights<Parts>...>;
};
} // namespace detail

/// A word's own weights, in the order of its `parameters`, and those of its parts.
template <class E>
struct weights {
    std::array<matrix, E::parameters.size()> own{};
    typename detail::weights_of_parts<typename E::parts>::type parts{};
};

template <is_sentence E>
struct weights<E> : weights<body<E>> {};

template <std::size_t N, class Block, class Taps>
struct weights<grammar::repeat<N, Block, Taps>> {
    std::array<weights<Block>, N> layers{};
};

template <std::size_t N, class At, class A, class B>
struct weights<grammar::interleave<N, At, A, B>> {
    std::array<weights<A>, grammar::interleave<N, At, A, B>::count_a> a{};
    std::array<weights<B>, grammar::interleave<N, At, A, B>::count_b> b{};
};

/// `path` and `label` joined by a dot; either may be empty.
[[nodiscard]] inline std::string join(std::string_view path, std::string_view label) {
    std::string joined(path);
    if (!path.empty() && !label.empty()) joined += '.';
    return joined += label;
}

namespace detail {
template <class W, class F, class... Parts, std::size_t... I>
void walk_parts(W& w, std::string const& path, F& f, part_list<Parts...>, std::index_sequence<I...>);
} // namespace detail

/// Visits every node below E that stands for itself, in the order in which data flows, with its weights and its full
/// path: f(node, weights<node>&, path). Layers of `repeat` and `interleave` are visited one by one; the index is their
/// path.
template <class E, class W, class F>
void walk(E e, W& w, std::string const& path, F&& f) {
    if constexpr (is_sentence<E>)
        walk(body<E>{}, w, path, f);
    else {
        std::string const here = join(path, E::label);
        f(e, w, here);
        detail::walk_parts(w, here, f, typename E::parts{}, std::make_index_sequence<E::parts::size>{});
    }
}

template <std::size_t N, class Block, class Taps, class W, class F>
void walk(grammar::repeat<N, Block, Taps>, W& w, std::string const& path, F&& f) {
    for (std::size_t i = 0; i < N; ++i) walk(Block{}, w.layers[i], join(path, std::to_string(i)), f);
}

template <std::size_t N, class At, class A, class B, class W, class F>
void walk(grammar::interleave<N, At, A, B> e, W& w, std::string const& path, F&& f) {
    for (std::size_t i = 0; i < N; ++i) {
        std::string const here = join(path, std::to_string(i));
        if (e.is_b(i))
            walk(B{}, w.b[e.ordinal(i)], here, f);
        else
            walk(A{}, w.a[e.ordinal(i)], here, f);
    }
}

namespace detail {
template <class W, class F, class... Parts, std::size_t... I>
void walk_parts(W& w, std::string const& path, F& f, part_list<Parts...>, std::index_sequence<I...>) {
    (walk(Parts{}, std::get<I>(w.parts), path, f), ...);
}
} // namespace detail

} // namespace llamavision
