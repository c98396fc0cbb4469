// SPDX-License-Identifier: Apache-2.0
// The grammar: how expressions join. Nodes are empty and passed by value, so nothing can dangle, and a composition
// whose widths disagree does not compile.
//
//   f | g                                 first f, then g
//   f * g                                 both read the same rows; the elementwise product of their outputs
//   residual(f), residual(f, gate)        x + f(x), x + gate·f(x)
//   scope<"name">(f)                      puts "name." before every name in f
//   repeat<N>(block, tap<i, ...>)         N blocks with weights of their own; keeps the inputs of blocks i, ...
//   interleave<N, At>(a, b)               N blocks: b at the layers in At, a elsewhere
#pragma once

#include <array>
#include <cstddef>

#include <llamavision/expression/expression.hpp>

namespace llamavision {

/// Defined only for equal widths: the first line of a wrong composition's error shows what the left gives and the right
/// takes, e.g. `left_gives_right_takes<4096, 4069>`.
template <std::size_t Gives, std::size_t Takes>
struct left_gives_right_takes;
template <std::size_t Width>
struct left_gives_right_takes<Width, Width> {
    static constexpr bool agree = true;
};

namespace grammar {

namespace detail {
template <std::size_t Left, std::size_t Right>
inline constexpr bool agree = [] {
    if constexpr (Left == any_width || Right == any_width)
        return true;
    else
        return left_gives_right_takes<Left, Right>::agree;
}();
constexpr std::size_t either(std::size_t a, std::size_t b) { return a == any_width ? b : a; }
} // namespace detail

/// What all nodes share. A node declares its widths, its parts, and what follows from them for a pass; all readings but
/// `run` (run.hpp) are derived from that.
struct node : expression_base {
    static constexpr bool takes_scratch = true;
};

template <class F, class G>
struct chain : node {
    static_assert(detail::agree<width_out<F>, width_in<G>>);
    static constexpr std::size_t in = detail::either(width_in<F>, width_out<F> == any_width ? width_in<G> : any_width);
    static constexpr std::size_t out = detail::either(width_out<G>, width_out<F>);
    static constexpr bool in_place = works_in_place<F> && works_in_place<G>;
    static constexpr bool reads_by_products = body<F>::reads_by_products;
    static constexpr bool reads_before_writing = true;
    using parts = part_list<F, G>;

    static constexpr std::size_t rows_after(auto const& c, std::size_t n) {
        return body<G>::rows_after(c, body<F>::rows_after(c, n));
    }
    static constexpr bool outputs_zero(auto const& c) { return body<F>::outputs_zero(c) || body<G>::outputs_zero(c); }
    static constexpr bool is_identity(auto const& c) { return body<F>::is_identity(c) && body<G>::is_identity(c); }
};

template <class F, class G>
struct product : node {
    static_assert(detail::agree<width_in<F>, width_in<G>>);
    static_assert(detail::agree<width_out<F>, width_out<G>>);
    static constexpr std::size_t in = detail::either(width_in<F>, width_in<G>);
    static constexpr std::size_t out = detail::either(width_out<F>, width_out<G>);
    static constexpr bool reads_by_products = body<F>::reads_by_products && body<G>::reads_by_products;
    using parts = part_list<F, G>;
};

/// The gate of an ungated residual: one.
struct no_gate : expression_base {};

template <class F, class Gate = no_gate>
struct residual : node {
    static_assert(detail::agree<width_out<F>, width_in<F>>);
    static constexpr std::size_t in = width_in<F>;
    static constexpr std::size_t out = width_out<F>;
    static constexpr bool in_place = true;
    using parts = part_list<F, Gate>;

    static constexpr bool is_identity(auto const& c) { return body<F>::outputs_zero(c); }
};

template <name Name, class F>
struct scope : node {
    static constexpr std::string_view label = Name.view();
    static constexpr std::size_t in = width_in<F>;
    static constexpr std::size_t out = width_out<F>;
    static constexpr bool in_place = works_in_place<F>;
    static constexpr bool is_observed = !body<F>::is_stack; // the layers of a stack are modules, the stack is not
    static constexpr bool reads_by_products = body<F>::reads_by_products;
    static constexpr bool reads_before_writing = body<F>::reads_before_writing;
    using parts = part_list<F>;

    static constexpr std::size_t rows_after(auto const& c, std::size_t n) { return body<F>::rows_after(c, n); }
    static constexpr bool outputs_zero(auto const& c) { return body<F>::outputs_zero(c); }
    static constexpr bool is_identity(auto const& c) { return body<F>::is_identity(c); }
};

/// No layer: of a stack without taps, or with one kind of block.
struct no_layers {
    static constexpr std::array<std::size_t, 0> layers{};
};

/// N layers in a row, each one of the blocks, with weights of its own. The layers that `Second` names are of the second
/// kind of block. The inputs of the layers that `Taps` names are kept for later.
template <std::size_t N, class Second, class Taps, class... Blocks>
struct stack : node {
    static_assert((works_in_place<Blocks> && ...), "a block of a stack keeps rows and width");
    static constexpr bool is_stack = true;
    static constexpr std::size_t depth = N;
    static constexpr bool in_place = true;
    using taps = Taps;
    static constexpr std::size_t taps_count = Taps::layers.size();
    using parts = part_list<Blocks...>;

    static constexpr std::size_t in = [] {
        std::size_t width = any_width;
        ((width = detail::either(width, width_in<Blocks>)), ...);
        return width;
    }();
    static constexpr std::size_t out = [] {
        std::size_t width = any_width;
        ((width = detail::either(width, width_out<Blocks>)), ...);
        return width;
    }();
    static_assert((detail::agree<out, width_in<Blocks>> && ...));
    static_assert((detail::agree<width_out<Blocks>, in> && ...));

    /// Which of the blocks layer i is.
    static constexpr std::size_t block_of(std::size_t i) {
        for (std::size_t const at : Second::layers)
            if (at == i) return 1;
        return 0;
    }
    /// How many layers of its own kind precede layer i.
    static constexpr std::size_t ordinal(std::size_t i) {
        std::size_t n = 0;
        for (std::size_t k = 0; k < i; ++k) n += block_of(k) == block_of(i);
        return n;
    }
    /// How many layers are of each kind.
    static constexpr std::array<std::size_t, sizeof...(Blocks)> copies = [] {
        std::array<std::size_t, sizeof...(Blocks)> n{};
        for (std::size_t i = 0; i < N; ++i) ++n[block_of(i)];
        return n;
    }();
};

} // namespace grammar

template <expression F, expression G>
[[nodiscard]] constexpr auto operator|(F, G) {
    return grammar::chain<F, G>{};
}

template <expression F, expression G>
[[nodiscard]] constexpr auto operator*(F, G) {
    return grammar::product<F, G>{};
}

template <expression F>
[[nodiscard]] constexpr auto residual(F) {
    return grammar::residual<F>{};
}
template <expression F, expression Gate>
[[nodiscard]] constexpr auto residual(F, Gate) {
    return grammar::residual<F, Gate>{};
}

template <name Name, expression F>
[[nodiscard]] constexpr auto scope(F) {
    return grammar::scope<Name, F>{};
}

/// The layers whose inputs `repeat` keeps, and the layers where `interleave` takes its second block.
template <std::size_t... I>
struct layer_set {
    static constexpr std::array<std::size_t, sizeof...(I)> layers{I...};
};
template <std::size_t... I>
inline constexpr layer_set<I...> tap{};

template <std::size_t N, expression Block>
[[nodiscard]] constexpr auto repeat(Block) {
    return grammar::stack<N, grammar::no_layers, grammar::no_layers, Block>{};
}
template <std::size_t N, expression Block, class Taps>
[[nodiscard]] constexpr auto repeat(Block, Taps) {
    return grammar::stack<N, grammar::no_layers, Taps, Block>{};
}

template <std::size_t N, class At, expression A, expression B>
[[nodiscard]] constexpr auto interleave(A, B) {
    return grammar::stack<N, At, grammar::no_layers, A, B>{};
}

} // namespace llamavision
