// SPDX-License-Identifier: Apache-2.0
// What the system refuses is reported as every other fault is: as a memory_error that says what was being done.
#pragma once

#include <new>
#include <string>

#include <llamavision/support/error.hpp>

namespace llamavision {

/// Calls `f`, which may allocate much through the standard library.
/// @param doing for the message, "reading text"
/// @throws memory_error where `f` throws std::bad_alloc; else what `f` throws
template <class F>
decltype(auto) naming_refused_memory(char const* doing, F const& f) {
    try {
        return f();
    } catch (std::bad_alloc const&) {
        throw memory_error(std::string(doing) + ": the system gives this process no more memory");
    }
}

} // namespace llamavision
