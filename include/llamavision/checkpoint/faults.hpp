// SPDX-License-Identifier: Apache-2.0
// Two ways to meet what is wrong with a checkpoint: stop at the first fault, or note every one and go on.
#pragma once

#include <llamavision/support/error.hpp>

#include <string>
#include <vector>

namespace llamavision::checkpoint {

/// `thrown`: the first fault leaves as an exception. `collected`: its message joins a list, for `inspect`.
enum class faults { thrown, collected };

/// Runs `step`. With faults::collected, an error of the library goes to `problems` instead of to the caller.
template <class Step>
void attempt(faults mode, std::vector<std::string>& problems, Step const& step) {
    if (mode == faults::thrown) return step();
    try {
        step();
    } catch (error const& fault) { problems.emplace_back(fault.what()); }
}

} // namespace llamavision::checkpoint
