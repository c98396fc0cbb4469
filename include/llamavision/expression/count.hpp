// SPDX-License-Identifier: Apache-2.0
// The reading `count`: tensors, parameters, bytes and floating point operations, known to the compiler.
//
//   static_assert(count(mllama<llama_3_2_11b_vision>).parameters == 10'670'220'835);
//   static_assert(count(mllama<llama_3_2_11b_vision>).bytes(format::bf16) == 21'340'441'670);
#pragma once

#include <cstddef>
#include <utility>

#include <llamavision/expression/walk.hpp>
#include <llamavision/weights/matrix.hpp>

namespace llamavision {

struct totals {
    std::size_t tensors = 0;
    std::size_t parameters = 0;

    /// What the tensors of a checkpoint take whose values are all stored in that type.
    /// @pre f32, f16 or bf16; of blocks, which only some tensors can be in, memory plans know more
    [[nodiscard]] constexpr std::size_t bytes(format type) const { return bytes_of(type, parameters); }

    constexpr totals& operator+=(totals const& other) {
        tensors += other.tensors;
        parameters += other.parameters;
        return *this;
    }
    [[nodiscard]] constexpr totals operator*(std::size_t n) const { return {tensors * n, parameters * n}; }
    bool operator==(totals const&) const = default;
};

/// Tensors and parameters of the expression, as the checkpoint stores them; a weight that layers share counts once.
template <expression E>
[[nodiscard]] constexpr totals count(E e) {
    totals sum;
    fold(e, [&](auto node, std::size_t copies) {
        for (parameter const& p : node.parameters)
            if (p.tied_to.empty()) sum += totals{1, p.count()} * copies;
    });
    return sum;
}

/// The work of a pass: how many rows flow where. Counts, not bytes. `outputs_zero` takes it in place of a context.
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
/// rows that each layer works on. `rows` is the number of rows that flow in; layers that change it update it.
template <expression E>
[[nodiscard]] constexpr double flops(E, work const& w, double& rows);

namespace detail {
template <class E>
concept counts_flops = requires(work const& w, double& rows) {
    E::flops(w, rows);
};

template <class E, class... Parts, std::size_t... I>
constexpr double flops_of_parts(work const& w, double& rows, part_list<Parts...>, std::index_sequence<I...>) {
    double sum = 0;
    auto const add = [&]<class Part>(Part part, std::size_t copies) {
        if (!body<Part>::is_identity(w)) sum += static_cast<double>(copies) * llamavision::flops(part, w, rows);
    };
    if constexpr (E::is_stack)
        (add(Parts{}, E::copies[I]), ...);
    else
        (add(Parts{}, 1), ...);
    return sum;
}
template <class E>
constexpr double flops_of(work const& w, double& rows) {
    if constexpr (counts_flops<E>)
        return E::flops(w, rows);
    else
        return flops_of_parts<E>(w, rows, typename E::parts{}, std::make_index_sequence<E::parts::size>{});
}
} // namespace detail

template <expression E>
constexpr double flops(E, work const& w, double& rows) {
    return detail::flops_of<body<E>>(w, rows);
}

} // namespace llamavision
