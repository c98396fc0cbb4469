// SPDX-License-Identifier: Apache-2.0
// The two functions that compile a model's kernels. Where LLAMAVISION_PUBLISHED is defined (CMake:
// llamavision::separate), those of the published models and of `tiny` are compiled elsewhere, once
// (separate/published.cpp).
#pragma once

#include <cstddef>
#include <memory>
#include <utility>

#include <llamavision/backend/concept.hpp>
#include <llamavision/backend/simd/simd.hpp>
#include <llamavision/checkpoint/tensor.hpp>
#include <llamavision/config/llama_3.hpp>
#include <llamavision/config/tiny.hpp>
#include <llamavision/runtime/network/compiled_network.hpp>
#include <llamavision/runtime/network/network.hpp>
#include <llamavision/runtime/network/options.hpp>

namespace llamavision {

/// @throws as compiled_network's constructor
template <configuration C, backend B>
[[nodiscard]] std::shared_ptr<network const> make_network(checkpoint::named_tensors tensors, B kernels,
                                                          network_options const& options) {
    return std::make_shared<network_of<C, B> const>(std::move(tensors), std::move(kernels), options);
}

/// What the model would take in memory; reads no weight. @throws as compiled_network::planned
template <configuration C, backend B>
[[nodiscard]] memory_plan plan_network(checkpoint::named_tensors tensors, B kernels, std::size_t rows) {
    return network_of<C, B>::planned(std::move(tensors), std::move(kernels), rows);
}

// NOLINTBEGIN(bugprone-macro-parentheses): EXTERN is a keyword or nothing

/// Declares or defines both for one configuration, on the CPU.
#define LLAMAVISION_NETWORK(EXTERN, C)                                                                                 \
    EXTERN template std::shared_ptr<network const> make_network<C, simd>(checkpoint::named_tensors, simd,              \
                                                                         network_options const&);                      \
    EXTERN template memory_plan plan_network<C, simd>(checkpoint::named_tensors, simd, std::size_t);
#define LLAMAVISION_NETWORKS(EXTERN)                                                                                   \
    LLAMAVISION_NETWORK(EXTERN, tiny)                                                                                  \
    LLAMAVISION_NETWORK(EXTERN, llama_3_2_11b_vision)                                                                  \
    LLAMAVISION_NETWORK(EXTERN, llama_3_2_11b_vision_448)                                                              \
    LLAMAVISION_NETWORK(EXTERN, llama_3_2_90b_vision)
#define LLAMAVISION_TEXT_NETWORKS(EXTERN)                                                                              \
    LLAMAVISION_NETWORK(EXTERN, llama_3_1_8b)                                                                          \
    LLAMAVISION_NETWORK(EXTERN, llama_3_2_3b)                                                                          \
    LLAMAVISION_NETWORK(EXTERN, llama_3_2_1b)
// NOLINTEND(bugprone-macro-parentheses)

#if defined(LLAMAVISION_PUBLISHED)
LLAMAVISION_NETWORKS(extern)
LLAMAVISION_TEXT_NETWORKS(extern)
#endif

} // namespace llamavision
