// SPDX-License-Identifier: Apache-2.0
// The norms: rms_norm over a row of text, layer_norm over a row of the tower, head_norm over each head of a row.
#pragma once

#include <cstddef>

#include <llamavision/expression/run.hpp>

namespace llamavision {

namespace layer {

/// y = x / sqrt(mean(x²) + eps) · weight, for each run of Width values in a row of Row (Row a multiple of Width).
template <name Name, std::size_t Row, std::size_t Width, class Eps>
struct rms_norm : expression_base {
    static_assert(Row % Width == 0);
    static constexpr std::string_view label = Name.view();
    static constexpr std::size_t in = Row;
    static constexpr std::size_t out = Row;
    static constexpr bool in_place = true;
    static constexpr std::array parameters{parameter{".weight", weight_role::scale, {Width}}};

    template <class B>
    static void run(B const& backend, weights<rms_norm> const& w, context&, rows x, rows y) {
        backend.rms_norm(x.data, x.count * (Row / Width), Width, w.own[0].floats(), Eps::value, y.data);
    }
    /// The norm as products apply it while they read x.
    [[nodiscard]] static normed_rows for_reader(weights<rms_norm> const& w, rows x) requires(Row == Width) {
        return {{x.data, w.own[0].floats(), nullptr, Eps::value}, x.count, x.width};
    }
};

/// y = (x - mean(x)) / sqrt(var(x) + eps) · weight + bias.
template <name Name, std::size_t Width, class Eps>
struct layer_norm : expression_base {
    static constexpr std::string_view label = Name.view();
    static constexpr std::size_t in = Width;
    static constexpr std::size_t out = Width;
    static constexpr bool in_place = true;
    static constexpr std::array parameters{parameter{".weight", weight_role::scale, {Width}},
                                           parameter{".bias", weight_role::bias, {Width}}};

    template <class B>
    static void run(B const& backend, weights<layer_norm> const& w, context&, rows x, rows y) {
        backend.layer_norm(x.data, x.count, Width, w.own[0].floats(), w.own[1].floats(), Eps::value, y.data);
    }
    /// The norm as products apply it while they read x.
    [[nodiscard]] static normed_rows for_reader(weights<layer_norm> const& w, rows x) {
        return {{x.data, w.own[0].floats(), w.own[1].floats(), Eps::value}, x.count, x.width};
    }
};

/// The epsilon of a configuration, as a type (class-type template arguments trip some compilers).
template <class C>
struct eps_of {
    static constexpr float value = C::norm_eps;
};
struct eps_1e_5 {
    static constexpr float value = 1e-5f;
};

} // namespace layer

/// C is a text configuration.
template <name Name, class C>
inline constexpr layer::rms_norm<Name, C::width, C::width, layer::eps_of<C>> rms_norm{};

/// A norm for each of `Heads` heads, weights shared by all of them.
template <name Name, class C, std::size_t Heads>
inline constexpr layer::rms_norm<Name, Heads*(C::width / C::heads), C::width / C::heads, layer::eps_of<C>> head_norm{};

/// C is a vision configuration.
template <name Name, class C>
inline constexpr layer::layer_norm<Name, C::width, layer::eps_of<C>> layer_norm{};

/// layernorm_pre and layernorm_post use the default epsilon, not the configuration's (Hugging Face:
/// MllamaVisionModel).
template <name Name, class C>
inline constexpr layer::layer_norm<Name, C::width, layer::eps_1e_5> layer_norm_1e_5{};

} // namespace llamavision
