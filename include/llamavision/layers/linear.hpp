// SPDX-License-Identifier: Apache-2.0
// linear: y = x Wᵀ (+ b), with W (Out, In) as every checkpoint stores it.
#pragma once

#include <cstddef>

#include <llamavision/expression/count.hpp>
#include <llamavision/expression/run.hpp>

namespace llamavision {

namespace layer {

/// @tparam TiedTo the full name of another layer's weight, which is this one's too; empty: it has its own
template <name Name, std::size_t In, std::size_t Out, bool Bias = false, name TiedTo = "">
struct linear : expression_base {
    static constexpr std::string_view label = Name.view();
    static constexpr std::size_t in = In;
    static constexpr std::size_t out = Out;
    static constexpr bool reads_by_products = true;
    static constexpr auto parameters = [] {
        constexpr parameter weight{".weight", weight_role::product, {Out, In}, TiedTo.view()};
        if constexpr (Bias)
            return std::array{weight, parameter{".bias", weight_role::bias, {Out}}};
        else
            return std::array{weight};
    }();

    static constexpr double flops(work const&, double& rows) {
        return 2 * rows * static_cast<double>(In) * static_cast<double>(Out);
    }

    /// @param x rows, or normed_rows
    template <class B, class X>
    static void run(B const& backend, weights<linear> const& w, context&, X x, rows y) {
        float const* bias = nullptr;
        if constexpr (Bias) bias = w.own[1].floats();
        backend.linear(w.own[0], bias, x.data, x.count, y.data);
    }
};

} // namespace layer

template <name Name, std::size_t In, std::size_t Out>
inline constexpr layer::linear<Name, In, Out> linear{};

template <name Name, std::size_t In, std::size_t Out>
inline constexpr layer::linear<Name, In, Out, true> linear_with_bias{};

/// A head that multiplies with the embedding's table: linear<Name> whose weight is the tensor `TiedTo`.
template <name Name, name TiedTo, std::size_t In, std::size_t Out>
inline constexpr layer::linear<Name, In, Out, false, TiedTo> tied_linear{};

/// y += scale · linear(x): the residual's addition in the product's epilogue.
template <fuses<fusion::linear_add> B, name Name, std::size_t In, std::size_t Out, bool Bias>
struct fused<B, layer::linear<Name, In, Out, Bias>> {
    static void add(B const& backend, weights<layer::linear<Name, In, Out, Bias>> const& w, rows x, float scale,
                    rows y) {
        float const* bias = nullptr;
        if constexpr (Bias) bias = w.own[1].floats();
        backend.fused_linear_add(w.own[0], bias, x.data, x.count, scale, y.data);
    }
};

} // namespace llamavision
