// SPDX-License-Identifier: Apache-2.0
// The instruction sets that this machine can run, one after the other.
#pragma once

#include <concepts>
#include <string>

#include "backends.hpp"

namespace backends {

/// f(tier), or f(the backend on it, with two threads).
template <class F>
void on_every_tier(F const& f) {
    for (lv::tier const level : lv::all_tiers)
        if (lv::available(level)) {
            CAPTURE(std::string(lv::name_of(level)));
            if constexpr (std::invocable<F const&, lv::tier>)
                f(level);
            else
                f(lv::simd(lv::simd_options{2, level, nullptr}));
        }
}

} // namespace backends
