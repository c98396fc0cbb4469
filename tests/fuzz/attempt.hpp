// SPDX-License-Identifier: Apache-2.0
// What a hostile file may do at most.
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
