// SPDX-License-Identifier: Apache-2.0
// Sentences that a backend may take whole. `run` looks for these overloads where the sentence stands; a backend without
// the kernel leaves the overload out of the question, and the parts run one after the other.
#pragma once

#include <llamavision/layers/activation.hpp>
#include <llamavision/layers/linear.hpp>

namespace llamavision::grammar {

/// (linear<gate> | silu) * linear<up>: both products and the activation in one pass over x.
template <fuses_swiglu B, name Gate, name Up, std::size_t In, std::size_t Out>
void run_fused(B const& backend, product<chain<word::linear<Gate, In, Out>, word::silu>, word::linear<Up, In, Out>>,
               weights<product<chain<word::linear<Gate, In, Out>, word::silu>, word::linear<Up, In, Out>>> const& w,
               rows x, rows y) {
    matrix const& gate = std::get<0>(std::get<0>(w.parts).parts).own[0];
    matrix const& up = std::get<1>(w.parts).own[0];
    backend.fused_swiglu(gate, up, x.data, x.count, y.data);
}

/// linear | gelu: the activation in the product's epilogue.
template <fuses_linear_gelu B, name Name, std::size_t In, std::size_t Out>
void run_fused(B const& backend, chain<word::linear<Name, In, Out, true>, word::gelu>,
               weights<chain<word::linear<Name, In, Out, true>, word::gelu>> const& w, rows x, rows y) {
    auto const& own = std::get<0>(w.parts).own;
    backend.fused_linear_gelu(own[0], own[1].floats(), x.data, x.count, y.data);
}

} // namespace llamavision::grammar

namespace llamavision::word {

/// y += scale · linear(x): the residual's addition in the product's epilogue.
template <fuses_linear_add B, name Name, std::size_t In, std::size_t Out, bool Bias>
void add_fused(B const& backend, linear<Name, In, Out, Bias>, weights<linear<Name, In, Out, Bias>> const& w, rows x,
               float scale, rows y) {
    float const* bias = nullptr;
    if constexpr (Bias) bias = w.own[1].floats();
    backend.fused_linear_add(w.own[0], bias, x.data, x.count, scale, y.data);
}

} // namespace llamavision::word
