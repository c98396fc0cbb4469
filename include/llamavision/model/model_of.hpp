// SPDX-License-Identifier: Apache-2.0
// A model is an expression that reads text (`reader`: ids to logits) and perhaps one that encodes pictures (`encoder`:
// tiles to features). Here: which model belongs to a configuration, and
// readings of a whole model.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <llamavision/expression/bind.hpp>
#include <llamavision/expression/describe.hpp>
#include <llamavision/model/llama.hpp>
#include <llamavision/model/mllama.hpp>

namespace llamavision {

namespace detail {
template <configuration C>
struct model_of {
    using type = llama_of<C>;
};
template <configuration C>
requires has_vision<C>
struct model_of<C> {
    using type = mllama_of<C>;
};
} // namespace detail

/// The model whose numbers C has.
template <configuration C>
using model_of = typename detail::model_of<C>::type;

/// A model made of an optional encoder and a reader, with the configuration that it is made from.
template <class M>
concept network_model = expression<std::remove_const_t<decltype(M::reader)>> && configuration<typename M::configured>;

/// Whether the model has an encoder.
template <class M>
concept encodes = network_model<M> && expression<std::remove_const_t<decltype(M::encoder)>>;

/// Calls f(expression) for the encoder, if the model has one and `sees`, and for the reader.
template <network_model M, class F>
constexpr void for_each_half(bool sees, F&& f) {
    if constexpr (encodes<M>)
        if (sees) f(M::encoder);
    f(M::reader);
}

/// Every weight of the model, the encoder's first.
/// @param sees false: the reader's alone
template <network_model M>
[[nodiscard]] std::vector<weight_facts> all_weights(bool sees = true) {
    std::vector<weight_facts> all;
    for_each_half<M>(sees, [&](auto half) {
        for (weight_facts& w : all_weights(half)) all.push_back(std::move(w));
    });
    return all;
}

/// Tensors and parameters of the whole model.
template <network_model M>
[[nodiscard]] constexpr totals count_of() {
    totals sum;
    for_each_half<M>(true, [&](auto half) { sum += count(half); });
    return sum;
}

/// The whole model, printed.
template <network_model M>
[[nodiscard]] std::string describe_of() {
    std::string text;
    for_each_half<M>(true, [&](auto half) { text += describe(half); });
    return text;
}

} // namespace llamavision
