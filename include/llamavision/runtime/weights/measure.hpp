// SPDX-License-Identifier: Apache-2.0
// What weights take in memory, known before any of them is read: from the names and types in a checkpoint, the formats
// that were chosen, and the layouts of the backend.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include <llamavision/backend/concept.hpp>
#include <llamavision/checkpoint/tensor.hpp>
#include <llamavision/expression/bind.hpp>
#include <llamavision/model/mllama.hpp>
#include <llamavision/runtime/weights/repacking.hpp>
#include <llamavision/weights/formats.hpp>
#include <llamavision/weights/memory.hpp>

namespace llamavision {

namespace detail {

/// How `bind` settles one tensor, in bytes.
template <backend B>
weight_memory memory_of(B const& backend, stored_weight const& w, weight_format chosen, bool packed) {
    weight_placement const to = placement_of(backend, w, chosen, packed);
    bool const beside = owns_memory<B> && to.where == home::memory;
    weight_memory m;
    (to.where == home::file ? m.mapped : beside ? m.beside : m.own) = to.padded_bytes();
    m.decoded = w.kind.is_product ? to.bytes : 0;
    return m;
}

} // namespace detail

/// @param tensors under Hugging Face's names; those that are absent count as nothing
/// @param packed whether what does not stay in the checkpoint's files goes into a packed file, not into memory
template <configuration C, backend B>
[[nodiscard]] weight_memory measure_weights(B const& backend, checkpoint::named_tensors const& tensors,
                                            weight_formats const& formats, bool packed) {
    auto const of_node = [&](auto node, std::string const& path) {
        weight_memory sum;
        for (parameter const& p : node.parameters) {
            auto const at = tensors.tensors.find(path + std::string(p.suffix));
            if (at != tensors.tensors.end())
                sum += detail::memory_of(backend, binder::stored(at->first, p, at->second),
                                         formats.of(at->first, C::text::cross_layers), packed);
        }
        return sum;
    };
    weight_memory sum;
    auto const encoder = std::make_unique<weights<image_encoder<C>>>();
    walk(mllama<C>.encoder, *encoder, "",
         [&](auto node, auto const&, std::string const& path) { sum += of_node(node, path); });
    sum.decoded = 0;
    auto const reader = std::make_unique<weights<language_model<typename C::text>>>();
    walk(mllama<C>.reader, *reader, "", [&](auto node, auto const& w, std::string const& path) {
        sum += of_node(node, path);
        if constexpr (requires { node.walk_memorised(w, path, of_node); }) // once an image, not once a token
            node.walk_memorised(w, path, [&](auto part, auto const&, std::string const& below) {
                sum.decoded -= of_node(part, below).decoded;
            });
    });
    return sum;
}

} // namespace llamavision
