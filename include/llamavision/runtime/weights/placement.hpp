// SPDX-License-Identifier: Apache-2.0
// In which memory a weight lies, and in which layout. The plan adds it up (measure.hpp) and loading does it
// (repacking.hpp): one decision for both.
#pragma once

#include <cstddef>

#include <llamavision/backend/concept.hpp>
#include <llamavision/expression/bind.hpp>
#include <llamavision/support/ceil_div.hpp>
#include <llamavision/weights/formats.hpp>

namespace llamavision {

struct weight_placement {
    home where;
    bool repacked;     ///< in the backend's layout; otherwise as it is stored
    bool moves;        ///< into a packed file, or memory taken for it; otherwise it stays where it is found or made
    std::size_t bytes; ///< that its values take

    /// Bytes up to where the next one may begin.
    [[nodiscard]] constexpr std::size_t padded_bytes() const {
        constexpr std::size_t line = 256; // of a GPU's caches
        return where == home::device ? round_up(bytes, line) : bytes;
    }
};

/// The backend whose kernels read what lies in the host's memory.
template <backend B>
[[nodiscard]] constexpr auto const& host_backend(B const& backend) {
    if constexpr (divides<B>)
        return backend.host();
    else
        return backend;
}

/// Matrices stay in the checkpoint's files if kernels read them as they are there. All else goes into memory or into
/// a packed file. To a backend with memory of its own goes everything but single numbers, which kernels take as such,
/// and what it leaves to a second backend.
template <backend B>
[[nodiscard]] weight_placement placement_of(B const& backend, stored_weight const& w, weight_format format,
                                            bool packed) {
    if constexpr (divides<B>) {
        bool const of_text = w.facts.part == model_part::self || w.facts.part == model_part::cross;
        if (w.facts.kind.is_product() && of_text && w.facts.layer && *w.facts.layer >= backend.layers())
            return placement_of(backend.host(), w, format, packed);
    }
    std::size_t repacked = 0;
    if constexpr (repacks_weights<B>)
        if (w.facts.kind.is_product() && format != weight_format::stored)
            repacked = backend.repacked_bytes(w.extents, format);
    std::size_t const bytes = repacked > 0 ? repacked : bytes_of(w.extents.type, w.extents.size());
    if constexpr (owns_memory<B>) {
        bool const number = w.extents.size() == 1;
        return {number ? home::memory : home::device, repacked > 0, !number, bytes};
    } else {
        bool const stays = repacked == 0 && !w.made;
        return {stays || packed ? home::file : home::memory, repacked > 0, !stays && (repacked > 0 || packed), bytes};
    }
}

} // namespace llamavision
