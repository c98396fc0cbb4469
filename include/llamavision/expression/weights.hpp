// SPDX-License-Identifier: Apache-2.0
// weights<E>: memory in the shape of the expression. Nobody writes a struct of weights by hand, and nobody looks a name
// up while the model runs: names exist only while a checkpoint is bound.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include <llamavision/expression/grammar.hpp>
#include <llamavision/support/cold.hpp>
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

template <is_module E>
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

namespace detail {

/// For visitors that do not ask for names.
struct no_path {};

/// Adds a label to a path of names, with a dot between them, while it lives.
template <class Path>
class step {
  public:
    LLAMAVISION_COLD step(std::string& path, std::string_view label) : path_(path), length_(path.size()) {
        if (!path.empty()) path += '.';
        path += label;
    }
    step(std::string& path, std::size_t layer) : step(path, std::to_string(layer)) {}
    LLAMAVISION_COLD ~step() { path_.resize(length_); }
    step(step const&) = delete;
    step& operator=(step const&) = delete;

  private:
    std::string& path_;
    std::size_t length_;
};
template <>
class step<no_path> {
  public:
    template <class Label>
    step(no_path, Label const&) {}
};

template <class E, class W, class Path, class F>
void walk_on(E e, W& w, Path& path, F& f);

template <class W, class Path, class F, class... Parts, std::size_t... I>
void walk_parts(W& w, Path& path, F& f, part_list<Parts...>, std::index_sequence<I...>) {
    (walk_on(Parts{}, std::get<I>(w.parts), path, f), ...);
}

template <class E, class W, class Path, class F>
void walk_node(E e, W& w, Path& path, F& f) {
    if constexpr (std::is_same_v<Path, no_path>)
        f(e, w);
    else
        f(e, w, std::as_const(path));
    walk_parts(w, path, f, typename E::parts{}, std::make_index_sequence<E::parts::size>{});
}

template <std::size_t N, class Block, class Taps, class W, class Path, class F>
void walk_node(grammar::repeat<N, Block, Taps>, W& w, Path& path, F& f) {
    for (std::size_t i = 0; i < N; ++i) {
        step<Path> const layer(path, i);
        walk_on(Block{}, w.layers[i], path, f);
    }
}

template <std::size_t N, class At, class A, class B, class W, class Path, class F>
void walk_node(grammar::interleave<N, At, A, B> e, W& w, Path& path, F& f) {
    for (std::size_t i = 0; i < N; ++i) {
        step<Path> const layer(path, i);
        if (e.is_b(i))
            walk_on(B{}, w.b[e.ordinal(i)], path, f);
        else
            walk_on(A{}, w.a[e.ordinal(i)], path, f);
    }
}

template <class E, class W, class Path, class F>
void walk_on(E, W& w, Path& path, F& f) {
    using node = body<E>;
    if constexpr (node::label.empty())
        walk_node(node{}, w, path, f);
    else {
        step<Path> const here(path, node::label);
        walk_node(node{}, w, path, f);
    }
}

} // namespace detail

/// Visits every node below E that stands for itself, in the order in which data flows, with its weights and its full
/// path: f(node, weights<node>&, path). Layers of `repeat` and `interleave` are visited one by one; the index is their
/// path.
template <expression E, class W, class F>
void walk(E e, W& w, std::string path, F&& f) {
    detail::walk_on(e, w, path, f);
}

/// The same without names: f(node, weights<node>&).
template <expression E, class W, class F>
void walk(E e, W& w, F&& f) {
    detail::no_path path;
    detail::walk_on(e, w, path, f);
}

} // namespace llamavision
