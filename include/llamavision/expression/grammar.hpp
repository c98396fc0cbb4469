// SPDX-License-Identifier: Apache-2.0
// The grammar: how expressions join. Nodes are empty and passed by value, so nothing can dangle, and a composition
// whose widths disagree does not compile.
//
//   f | g                                 first f, then g
//   f * g                                 both read the same rows; the elementwise product of what they say
//   residual(f), residual(f, gate)        x + f(x), x + gate·f(x)
//   scope<"name">(f)                      puts "name." before every name in f
//   repeat<N>(block, tap<i, ...>)         N blocks with weights of their own; keeps the inputs of blocks i, ...
//   interleave<N, At>(a, b)               N blocks: b where At says so, a elsewhere
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
template <class E>
inline constexpr bool is_stack = requires {
    requires E::is_stack;
};
constexpr std::size_t either(std::size_t a, std::size_t b) { return a == any_width ? b : a; }
} // namespace detail

struct node : expression_base {
    static constexpr bool is_grammar = true;
    /// Whether the node is a stack of layers, which are modules, though the stack is not.
    static constexpr bool is_stack = false;
};

template <class F, class G>
struct chain : node {
    static_assert(detail::agree<width_out<F>, width_in<G>>);
    static constexpr std::size_t in = detail::either(width_in<F>, width_out<F> == any_width ? width_in<G> : any_width);
    static constexpr std::size_t out = detail::either(width_out<G>, width_out<F>);
    static constexpr bool in_place = works_in_place<F> && works_in_place<G>;
    using parts = part_list<F, G>;
};

template <class F, class G>
struct product : node {
    static_assert(detail::agree<width_in<F>, width_in<G>>);
    static_assert(detail::agree<width_out<F>, width_out<G>>);
    static constexpr std::size_t in = detail::either(width_in<F>, width_in<G>);
    static constexpr std::size_t out = detail::either(width_out<F>, width_out<G>);
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
};

template <name Name, class F>
struct scope : node {
    static constexpr std::string_view label = Name.view();
    static constexpr std::size_t in = width_in<F>;
    static constexpr std::size_t out = width_out<F>;
    static constexpr bool in_place = works_in_place<F>;
    static constexpr bool is_observed = !detail::is_stack<body<F>>;
    using parts = part_list<F>;
};

/// No layer is tapped.
struct no_taps {
    static constexpr std::array<std::size_t, 0> layers{};
};

template <std::size_t N, class Block, class Taps = no_taps>
struct repeat : node {
    static_assert(detail::agree<width_out<Block>, width_in<Block>>);
    static_assert(works_in_place<Block>, "a repeated block keeps rows and width");
    static constexpr bool is_stack = true;
    static constexpr std::size_t count = N;
    static constexpr std::size_t in = width_in<Block>;
    static constexpr std::size_t out = width_out<Block>;
    static constexpr bool in_place = true;
    using taps = Taps;
    using parts = part_list<Block>;
};

template <std::size_t N, class At, class A, class B>
struct interleave : node {
    static_assert(detail::agree<width_out<A>, width_in<B>>);
    static_assert(detail::agree<width_out<B>, width_in<A>>);
    static_assert(works_in_place<A> && works_in_place<B>, "an interleaved block keeps rows and width");
    static constexpr bool is_stack = true;
    static constexpr std::size_t count = N;
    static constexpr std::size_t in = width_in<A>;
    static constexpr std::size_t out = width_out<A>;
    static constexpr bool in_place = true;
    /// Whether layer i is a B, and how many layers of its own kind precede it.
    static constexpr bool is_b(std::size_t i) {
        for (std::size_t at : At::layers)
            if (at == i) return true;
        return false;
    }
    static constexpr std::size_t ordinal(std::size_t i) {
        std::size_t n = 0;
        for (std::size_t k = 0; k < i; ++k) n += is_b(k) == is_b(i);
        return n;
    }
    static constexpr std::size_t count_b = [] {
        std::size_t n = 0;
        for (std::size_t i = 0; i < N; ++i) n += is_b(i);
        return n;
    }();
    static constexpr std::size_t count_a = N - count_b;
    using parts = part_list<A, B>;
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
    return grammar::repeat<N, Block>{};
}
template <std::size_t N, expression Block, class Taps>
[[nodiscard]] constexpr auto repeat(Block, Taps) {
    return grammar::repeat<N, Block, Taps>{};
}

template <std::size_t N, class At, expression A, expression B>
[[nodiscard]] constexpr auto interleave(A, B) {
    return grammar::interleave<N, At, A, B>{};
}

} // namespace llamavision
