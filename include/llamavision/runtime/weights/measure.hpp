// SPDX-License-Identifier: Apache-2.0
// What weights take in memory, known before any of them is read: from the names and types in a checkpoint, the formats
// that were chosen, and the layouts of the backend.
#pragma once

#include <llamavision/backend/concept.hpp>
#include <llamavision/checkpoint/tensor.hpp>
#include <llamavision/model/model_of.hpp>
#include <llamavision/runtime/weights/placement.hpp>
#include <llamavision/weights/formats.hpp>
#include <llamavision/weights/memory.hpp>

namespace llamavision {

/// @param all the model's weights (all_weights); those that the checkpoint lacks count as nothing
/// @param tensors under the names of those weights
/// @param packed whether what does not stay in the checkpoint's files goes into a packed file, not into memory
template <backend B>
[[nodiscard]] weight_memory measure_weights(B const& backend, std::span<weight_facts const> all,
                                            checkpoint::named_tensors const& tensors, weight_formats const& formats,
                                            bool packed) {
    weight_memory sum;
    for (weight_facts const& facts : all) {
        auto const at = tensors.tensors.find(facts.name);
        if (at == tensors.tensors.end()) continue;
        stored_weight const w = binder::stored(facts, at->second);
        weight_placement const to = placement_of(backend, w, formats.of(facts.part), packed);
        bool const on_host = owns_memory<B> && to.where == home::memory;
        (to.where == home::file ? sum.mapped : on_host ? sum.host : sum.own) += to.padded_bytes();
        if (facts.kind.is_product() && !facts.of_image) sum.decoded += to.bytes;
    }
    return sum;
}

} // namespace llamavision
