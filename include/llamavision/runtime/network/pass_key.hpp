// SPDX-License-Identifier: Apache-2.0
// What a recorded pass depends on beside its positions: a pass with another key is recorded again.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <vector>

#include <llamavision/expression/context.hpp>

namespace llamavision {

/// Fills the tape's key and positions for a pass over `now`; `also` are further addresses that it depends on.
inline void set_key(pass_tape& tape, text_rows const& now, std::initializer_list<void const*> also) {
    auto const address = [](void const* p) { return static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(p)); };
    std::vector<std::uint64_t>& key = tape.key;
    key.assign({now.segments.size()});
    tape.positions.clear();
    for (void const* p : also) key.push_back(address(p));
    for (segment const& s : now.segments) {
        key.insert(key.end(), {address(s.cache.data), s.cache.capacity, s.logit_rows});
        tape.positions.push_back(s.position);
    }
    for (image_visibility const& s : now.visibility) {
        key.insert(key.end(), {s.rows, 2 * s.images.size() + (s.leak ? 1 : 0)});
        for (image_memory const* image : s.images)
            for (image_memory::layer const& l : image->layers)
                key.insert(key.end(), {address(l.keys), image->rows, image->padded_rows});
    }
}

} // namespace llamavision
