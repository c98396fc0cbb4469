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
#include <llamavision/weights/formats.hpp>
#include <llamavision/weights/memory.hpp>

namespace llamavision {

namespace detail {

/// Bytes that a weight takes in the backend's own layout; 0 if it has none for it.
template <backend B>
std::size_t laid_out_bytes([[maybe_unused]] B const& backend, [[maybe_unused]] matrix const& w,
                           [[maybe_unused]] parameter const& p, [[maybe_unused]] weight_format chosen) {
    if constexpr (lays_out_weights<B>)
        if (p.is_product && chosen != weight_format::stored) return backend.laid_out_bytes(w, chosen);
    return 0;
}

/// Bytes of a backend's own memory that such a weight takes, in whole lines of its caches.
constexpr std::size_t in_lines(std::size_t bytes) { return (bytes + 255) / 256 * 256; }

/// Whether the weight of that name stays in the host's memory, for a second backend.
template <backend B>
bool stays([[maybe_unused]] B const& backend, [[maybe_unused]] std::string const& name,
           [[maybe_unused]] parameter const& p) {
    if constexpr (divides<B>)
        if (p.is_product)
            if (auto const layer = weight_formats::text_layer(name)) return *layer >= backend.layers();
    return false;
}

/// How `bind` settles one tensor, in bytes.
template <backend B>
weight_memory memory_of(B const& backend, std::string const& name, checkpoint::tensor const& t, parameter const& p,
                        weight_format chosen) {
    if constexpr (divides<B>)
        if (stays(backend, name, p)) {
            weight_memory m = memory_of(backend.here(), name, t, p, chosen);
            m.beside = std::exchange(m.own, 0);
            return m;
        }
    weight_memory m;
    std::size_t const stored = p.is_matrix ? checkpoint::size_in_bytes(t) : p.count() * sizeof(float);
    std::size_t const laid_out =
        laid_out_bytes(backend, {nullptr, binder::format_of(t.type), p.shape[0], p.count() / p.shape[0]}, p, chosen);
    if (owns_memory<B>)
        m.own = in_lines(laid_out > 0 ? laid_out : stored);
    else if (laid_out > 0)
        m.own = laid_out;
    else if (t.make || !p.is_matrix || binder::is_misaligned(t))
        m.own = stored;
    else
        m.mapped = stored;
    m.decoded = p.is_product ? m.own + m.mapped : 0;
    return m;
}

} // namespace detail

/// @param tensors under Hugging Face's names; those that are absent count as nothing
template <configuration C, backend B>
[[nodiscard]] weight_memory weigh(B const& backend, checkpoint::named_tensors const& tensors,
                                  weight_formats const& formats) {
    auto const of_node = [&](auto node, std::string const& path) {
        weight_memory sum;
        for (parameter const& p : node.parameters) {
            auto const at = tensors.tensors.find(path + std::string(p.suffix));
            if (at != tensors.tensors.end())
                sum +=
                    detail::memory_of(backend, at->first, at->second, p, formats.of(at->first, C::text::cross_layers));
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
