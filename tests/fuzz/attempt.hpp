// SPDX-License-Identifier: Apache-2.0
// The only thing that a hostile file may do: cause an error of the library.
#pragma once

#include <llamavision/support/error.hpp>

/// Runs `step`, which may throw an error of the library, and nothing else.
template <class Step>
void attempt(Step const& step) {
    try {
        step();
    } catch (llamavision::error const&) {
        return; // what a hostile file is for
    }
}
