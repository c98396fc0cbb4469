// SPDX-License-Identifier: Apache-2.0
// The reading `count`: tensors, parameters, bytes and floating point operations, known to the compiler.
//
//   static_assert(count(mllama<llama_3_2_11b_vision>).parameters == 10'670'220'835);
//   static_assert(count(mllama<llama_3_2_11b_vision>).bytes(format::bf16) == 21'340'441'670);
#pragma once

#include <cstddef>

#include <llamavision/expression/grammar.hpp>
#include <llamavision/weights/matrix.hpp>

namespace llamavision {

struct totals {
    std::size_t tensors = 0;
    std::size_t parameters = 0;

    /// What the tensors of a checkpoint take whose values are all stored in that type.
    /// @pre f32, f16 or bf16; of blocks and panels, which only some tensors can be in, `weigh` knows more
    [[nodiscard]] constexpr std::size_t bytes(format type) const { return bytes_of(type, parameters); }

    constexpr totals& operator+=(totals const& other) {
        tensors += other.tensors;
        parameters += other.parameters;
        return *this;
    }
    [[nodiscard]] constexpr totals operator*(std::size_t n) const { return {tensors * n, parameters * n}; }
    bool operator==(totals const&) const = default;
};

/// Tensors and parameters of the expression, as the checkpoint stores them.
template <expression E>
[[nodiscard]] constexpr totals count(E);

namespace detail {
template <class... Parts>
constexpr totals count_parts(part_list<Parts...>) {
    totals sum;
    ((sum += llamavision::count(Parts{})), ...);
    return sum;
}
template <class E>
struct counter {
    static constexpr totals value = [] {
        totals sum = count_parts(typename E::parts{});
        for (parameter const& p : E::parameters) sum += {1, p.count()};
        return sum;
    }();
};
template <std::size_t N, class Block, class Taps>
struct counter<grammar::repeat<N, Block, Taps>> {
    static constexpr totals value = llamavision::count(Block{}) * N;
};
template <std::size_t N, class At, class A, class B>
struct counter<grammar::interleave<N, At, A, B>> {
    static constexpr totals value = [] {
        using node = grammar::interleave<N, At, A, B>;
        totals sum = llamavision::count(A{}) * node::count_a;
        return sum += llamavision::count(B{}) * node::count_b;
    }();
};
} // namespace detail

template <expression E>
constexpr totals count(E) {
    return detail::counter<body<E>>::value;
}

/// The work that a run means: how many rows flow where. Counts, not bytes.
struct work {
    double tower_rows = 0;   ///< rows of the vision sequence, padding included
    double tower_pairs = 0;  ///< (query, key) pairs of one of its layers
    double feature_rows = 0; ///< rows that reach the projector and the image memory
    double text_rows = 0;    ///< tokens read
    double text_pairs = 0;   ///< (query, key) pairs of one causal self-attention layer
    double image_pairs = 0;  ///< (query, key) pairs of one cross-attention layer
    double logit_rows = 0;   ///< rows that reach the head
    bool sees_image = false; ///< whether cross-attention layers run at all
};

/// Floating point operations (a multiplication and an addition are two) of the products and attentions in E, given the
/// rows that each word works on. `rows` is the number of rows that flow in; row-changing words update it.
template <expression E>
[[nodiscard]] constexpr double flops(E, work const& w, double& rows);

namespace detail {
template <class E>
concept counts_flops = requires(work const& w, double& rows) {
    E::flops(w, rows);
};

template <class... Parts>
constexpr double flops_of_parts(part_list<Parts...>, work const& w, double& rows) {
    double sum = 0;
    ((sum += llamavision::flops(Parts{}, w, rows)), ...);
    return sum;
}
template <class E>
constexpr double flops_of(E, work const& w, double& rows) {
    if constexpr (counts_flops<E>)
        return E::flops(w, rows);
    else
        return flops_of_parts(typename E::parts{}, w, rows);
}
template <std::size_t N, class Block, class Taps>
constexpr double flops_of(grammar::repeat<N, Block, Taps>, work const& w, double& rows) {
    return static_cast<double>(N) * llamavision::flops(Block{}, w, rows);
}
template <std::size_t N, class At, class A, class B>
constexpr double flops_of(grammar::interleave<N, At, A, B> e, work const& w, double& rows) {
    double const a = static_cast<double>(e.count_a) * llamavision::flops(A{}, w, rows);
    return a + (w.sees_image ? static_cast<double>(e.count_b) * llamavision::flops(B{}, w, rows) : 0.0);
}
} // namespace detail

template <expression E>
constexpr double flops(E, work const& w, double& rows) {
    return detail::flops_of(body<E>{}, w, rows);
}

} // namespace llamavision
