// SPDX-License-Identifier: Apache-2.0
// Sentences that a backend may take whole. `run` looks for these overloads where the sentence stands; a backend without
// the kernel leaves the overload out of the question, and the parts run one after the other.
#pragma once

#include <array>
#include <cstddef>
#include <tuple>

#include <llamavision/layers/activation.hpp>
#include <llamavision/layers/linear.hpp>
#include <llamavision/layers/rope.hpp>

namespace llamavision::grammar {

/// (linear<gate> | silu) * linear<up>: both products and the activation in one pass over x.
template <fuses_swiglu B, name Gate, name Up, std::size_t In, std::size_t Out, class X>
void run_fused(B const& backend, product<chain<layer::linear<Gate, In, Out>, layer::silu>, layer::linear<Up, In, Out>>,
               weights<product<chain<layer::linear<Gate, In, Out>, layer::silu>, layer::linear<Up, In, Out>>> const& w,
               X x, rows y) {
    matrix const& gate = std::get<0>(std::get<0>(w.parts).parts).own[0];
    matrix const& up = std::get<1>(w.parts).own[0];
    backend.fused_swiglu(gate, up, x.data, x.count, y.data);
}

/// linear | gelu: the activation in the product's epilogue.
template <fuses_linear_gelu B, name Name, std::size_t In, std::size_t Out, class X>
void run_fused(B const& backend, chain<layer::linear<Name, In, Out, true>, layer::gelu>,
               weights<chain<layer::linear<Name, In, Out, true>, layer::gelu>> const& w, X x, rows y) {
    auto const& own = std::get<0>(w.parts).own;
    backend.fused_linear_gelu(own[0], own[1].floats(), x.data, x.count, y.data);
}

} // namespace llamavision::grammar

namespace llamavision::layer {

/// y += scale · linear(x): the residual's addition in the product's epilogue.
template <fuses_linear_add B, name Name, std::size_t In, std::size_t Out, bool Bias>
void add_fused(B const& backend, linear<Name, In, Out, Bias>, weights<linear<Name, In, Out, Bias>> const& w, rows x,
               float scale, rows y) {
    float const* bias = nullptr;
    if constexpr (Bias) bias = w.own[1].floats();
    backend.fused_linear_add(w.own[0], bias, x.data, x.count, scale, y.data);
}

/// What a projection is: linear, or linear | rope.
template <class E>
struct projection_of;
template <name Name, std::size_t In, std::size_t Out>
struct projection_of<linear<Name, In, Out>> {
    static constexpr std::size_t head_dim = 0; // not rotated
    static matrix const& weight(weights<linear<Name, In, Out>> const& w) { return w.own[0]; }
};
template <name Name, std::size_t In, std::size_t Out, std::size_t HeadDim>
struct projection_of<grammar::chain<linear<Name, In, Out>, rope<HeadDim>>> {
    static constexpr std::size_t head_dim = HeadDim;
    static matrix const& weight(weights<grammar::chain<linear<Name, In, Out>, rope<HeadDim>>> const& w) {
        return std::get<0>(w.parts).own[0];
    }
};

/// Queries, keys and values of the same rows: one pass over x.
template <fuses_projections B, class Q, class K, class V, class X>
void project_fused(B const& backend, weights<Q> const& wq, weights<K> const& wk, weights<V> const& wv, context const& c,
                   X x, rows q, rows k, rows v) requires(projection_of<Q>::head_dim == projection_of<K>::head_dim
                                                         && projection_of<V>::head_dim == 0) {
    constexpr std::size_t head_dim = projection_of<Q>::head_dim;
    std::array const all{projection{projection_of<Q>::weight(wq), q.data, head_dim > 0},
                         projection{projection_of<K>::weight(wk), k.data, head_dim > 0},
                         projection{projection_of<V>::weight(wv), v.data, false}};
    rotation by;
    if constexpr (head_dim > 0) by = {c.text->cos, c.text->sin, head_dim};
    backend.fused_projections(all, x.data, x.count, by);
}

} // namespace llamavision::layer
