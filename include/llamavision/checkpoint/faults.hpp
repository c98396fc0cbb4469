// SPDX-License-Identifier: Apache-2.0
// What to do about faults of a checkpoint: stop at the first one, or collect the messages of all.
#pragma once

#include <llamavision/support/error.hpp>

#include <string>
#include <vector>

namespace llamavision::checkpoint {

/// `thrown`: the first fault is thrown. `collected`: messages are added to a list, and reading continues (for
/// `inspect`).
enum class faults { thrown, collected };

/// Runs `step`. With faults::collected, the message of an error that it throws is added to `problems`.
template <class Step>
void attempt(faults mode, std::vector<std::string>& problems, Step const& step) {
    if (mode == faults::thrown) return step();
    try {
        step();
    } catch (error const& fault) { problems.emplace_back(fault.what()); }
}

} // namespace llamavision::checkpoint
