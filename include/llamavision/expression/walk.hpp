// SPDX-License-Identifier: Apache-2.0
// One walk over an expression, for every reading that asks what the model is made of: binding, memory plans, formats of
// parts, placement, random weights, the tensors that a checkpoint must have. It needs no weights, and hands out facts.
//
//   for_each_weight(mllama<tiny>.reader, [](weight_facts const& w) { std::cout << w.name << '\n'; });
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include <llamavision/expression/grammar.hpp>
#include <llamavision/expression/weights.hpp>
#include <llamavision/support/cold.hpp>
#include <llamavision/weights/formats.hpp>

namespace llamavision {

/// Where a node stands in the expression.
struct node_place {
    std::string path;                    ///< names so far, with dots between them
    model_part part = model_part::other; ///< what the innermost module around it declares
    std::size_t stack = 0;               ///< how many stacks of layers end before it
    std::optional<std::size_t> layer;    ///< its layer in the stack around it; nothing outside of stacks
    std::size_t layer_at = 0;            ///< where that layer's number begins in the path
    std::size_t block = 0;               ///< which kind of block that layer is
    std::size_t stage = 0;               ///< how many layers, of all stacks, end before it
    bool of_image = false;               ///< used once for each picture, not once for each row of text
};

/// What a reading learns of one weight.
struct weight_facts {
    std::string name; ///< full, in Hugging Face's spelling
    parameter kind;   ///< its role and shape
    model_part part = model_part::other;
    std::size_t stack = 0; ///< see node_place
    std::optional<std::size_t> layer{};
    std::size_t layer_at = 0; ///< where in the name
    std::size_t block = 0;
    std::size_t stage = 0;
    bool of_image = false;
};

namespace detail {

/// Adds a label to a path of names while it lives.
class path_step {
  public:
    LLAMAVISION_COLD path_step(std::string& path, std::string_view label) : path_(path), length_(path.size()) {
        if (label.empty()) return;
        if (!path.empty()) path += '.';
        path += label;
    }
    LLAMAVISION_COLD ~path_step() { path_.resize(length_); }
    path_step(path_step const&) = delete;
    path_step& operator=(path_step const&) = delete;

  private:
    std::string& path_;
    std::size_t length_;
};

/// The part of the model that a module declares, or that what it is declares.
template <class E>
constexpr model_part part_of(model_part around) {
    if constexpr (requires { E::part; })
        return E::part;
    else if constexpr (is_module<E>)
        return part_of<std::remove_const_t<decltype(E::is)>>(around);
    else
        return around;
}

/// W: a pointer to the expression's weights, which may be null.
template <class E, class W, class F>
void walk_from(W w, node_place& at, F& f);

template <class W, class F, class... Parts, std::size_t... I>
void walk_parts([[maybe_unused]] W w, [[maybe_unused]] node_place& at, [[maybe_unused]] F& f, part_list<Parts...>,
                std::index_sequence<I...>) {
    (walk_from<Parts>(w ? &std::get<I>(w->parts) : nullptr, at, f), ...);
}

template <class E, class W, class F, class... Blocks, std::size_t... I>
void walk_layers(W w, node_place& at, F& f, part_list<Blocks...>, std::index_sequence<I...>) {
    node_place const around = at;
    for (std::size_t i = 0; i < E::depth; ++i) {
        path_step const step(at.path, std::to_string(i));
        at.layer = i;
        at.layer_at = at.path.rfind('.') + 1; // 0 where there is no dot
        at.block = E::block_of(i);
        at.stage = around.stage + i;
        auto const visit = [&]<class Block>(auto* layers, std::type_identity<Block>) {
            walk_from<Block>(layers ? &(*layers)[E::ordinal(i)] : nullptr, at, f);
        };
        ((at.block == I ? visit(w ? &std::get<I>(w->parts) : nullptr, std::type_identity<Blocks>{}) : void()), ...);
    }
    at.layer = around.layer;
    at.layer_at = around.layer_at;
    at.block = around.block;
    at.stage = around.stage + E::depth;
    ++at.stack;
}

template <class E, class W, class F>
void walk_from(W w, node_place& at, F& f) {
    using node = body<E>;
    path_step const step(at.path, node::label);
    model_part const part = std::exchange(at.part, part_of<E>(at.part));
    bool const of_image = std::exchange(at.of_image, at.of_image || E::is_of_image || node::is_of_image);
    using node_weights =
        std::conditional_t<std::is_const_v<std::remove_pointer_t<W>>, weights<node> const, weights<node>>;
    node_weights* const mine = w;
    constexpr auto all = std::make_index_sequence<node::parts::size>{};
    if constexpr (node::is_stack)
        walk_layers<node>(mine, at, f, typename node::parts{}, all);
    else {
        f(node{}, mine, std::as_const(at));
        walk_parts(mine, at, f, typename node::parts{}, all);
    }
    at.part = part;
    at.of_image = of_image;
}

/// A visitor of weights, its type erased: the walk is compiled once for all of them.
class weight_visitor {
  public:
    template <class F>
    explicit weight_visitor(F& f)
        : visitor_(&f), call_([](void* visitor, weight_facts const& facts, matrix* weight) {
              (*static_cast<F*>(visitor))(facts, weight);
          }) {}

    template <class Node>
    void operator()(Node, weights<Node>* w, node_place const& at) const {
        for (std::size_t i = 0; i < Node::parameters.size(); ++i)
            visit(Node::parameters[i], w ? &w->own[i] : nullptr, at);
    }

  private:
    LLAMAVISION_COLD void visit(parameter const& p, matrix* weight, node_place const& at) const {
        call_(visitor_,
              {p.tied_to.empty() ? at.path + std::string(p.suffix) : std::string(p.tied_to), p, at.part, at.stack,
               at.layer, at.layer_at, at.block, at.stage, at.of_image},
              weight);
    }

    void* visitor_;
    void (*call_)(void*, weight_facts const&, matrix*);
};

} // namespace detail

/// Visits every node of E but stacks and modules, which are what they hold, in the order in which data flows, with its
/// weights: f(node, weights<node>*, node_place const&). Each layer of a stack is visited.
/// @param w null: f is given null
template <expression E, class F>
void walk(E, weights<E>* w, F&& f) {
    node_place at;
    detail::walk_from<E>(w, at, f);
}
template <expression E, class F>
void walk(E, weights<E> const* w, F&& f) {
    node_place at;
    detail::walk_from<E>(w, at, f);
}

/// Visits every weight of E in the order in which data flows: f(weight_facts const&, matrix&).
template <expression E, class F>
void for_each_weight(E, weights<E>& w, F&& f) {
    auto visit = [&](weight_facts const& facts, matrix* weight) { f(facts, *weight); };
    detail::weight_visitor visitor(visit);
    node_place at;
    detail::walk_from<E>(&w, at, visitor);
}

/// The same without weights: f(weight_facts const&).
template <expression E, class F>
void for_each_weight(E, F&& f) {
    auto visit = [&](weight_facts const& facts, matrix*) { f(facts); };
    detail::weight_visitor visitor(visit);
    node_place at;
    detail::walk_from<E>(static_cast<weights<E>*>(nullptr), at, visitor);
}

namespace detail {

template <class E, class F>
constexpr void fold_from(std::size_t copies, F& f);

template <class E, class F, class... Parts, std::size_t... I>
constexpr void fold_parts([[maybe_unused]] std::size_t copies, F& f, part_list<Parts...>, std::index_sequence<I...>) {
    if constexpr (E::is_stack)
        (fold_from<Parts>(copies * E::copies[I], f), ...);
    else
        (fold_from<Parts>(copies, f), ...);
}

template <class E, class F>
constexpr void fold_from(std::size_t copies, F& f) {
    using node = body<E>;
    f(node{}, copies);
    fold_parts<node>(copies, f, typename node::parts{}, std::make_index_sequence<node::parts::size>{});
}

} // namespace detail

/// Visits every kind of node in E once, with how many copies of it the model has: f(node, copies). It can run
/// while compiling.
template <expression E, class F>
constexpr void fold(E, F&& f) {
    detail::fold_from<E>(1, f);
}

} // namespace llamavision
