// SPDX-License-Identifier: Apache-2.0
// silu and gelu, on rows of any width; and the products that apply them in their epilogue.
#pragma once

#include <tuple>

#include <llamavision/expression/run.hpp>
#include <llamavision/layers/linear.hpp>

namespace llamavision {

namespace layer {

/// x·σ(x).
struct silu : expression_base {
    static constexpr std::string_view kind = "silu";
    static constexpr bool in_place = true;

    template <class B>
    static void run(B const& backend, weights<silu> const&, context&, rows x, rows y) {
        backend.silu(x.data, x.size(), y.data);
    }
};

/// x·Φ(x), exact: x/2·(1 + erf(x/√2)).
struct gelu : expression_base {
    static constexpr std::string_view kind = "gelu";
    static constexpr bool in_place = true;

    template <class B>
    static void run(B const& backend, weights<gelu> const&, context&, rows x, rows y) {
        backend.gelu(x.data, x.size(), y.data);
    }
};

} // namespace layer

inline constexpr layer::silu silu{};
inline constexpr layer::gelu gelu{};

/// (linear<gate> | silu) * linear<up>: both products and the activation in one pass over x.
template <fuses<fusion::swiglu> B, name Gate, name Up, std::size_t In, std::size_t Out>
struct fused<B,
             grammar::product<grammar::chain<layer::linear<Gate, In, Out>, layer::silu>, layer::linear<Up, In, Out>>> {
    template <class W, class X>
    static void run(B const& backend, W const& w, X x, rows y) {
        matrix const& gate = std::get<0>(std::get<0>(w.parts).parts).own[0];
        matrix const& up = std::get<1>(w.parts).own[0];
        backend.fused_swiglu(gate, up, x.data, x.count, y.data);
    }
};

/// linear | gelu: the activation in the product's epilogue.
template <fuses<fusion::linear_gelu> B, name Name, std::size_t In, std::size_t Out>
struct fused<B, grammar::chain<layer::linear<Name, In, Out, true>, layer::gelu>> {
    template <class W, class X>
    static void run(B const& backend, W const& w, X x, rows y) {
        auto const& own = std::get<0>(w.parts).own;
        backend.fused_linear_gelu(own[0], own[1].floats(), x.data, x.count, y.data);
    }
};

} // namespace llamavision
