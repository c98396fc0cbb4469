// SPDX-License-Identifier: Apache-2.0
// How much memory the machine has, and how much of it this process may still take, as far as the system says.
#pragma once

#include <cstddef>

#include <llamavision/support/separate.hpp>

namespace llamavision {

/// Bytes of memory in the machine; 0 if the system does not say.
[[nodiscard]] LLAMAVISION_INLINE std::size_t machine_memory();

/// Bytes that a process may still take before the machine swaps or kills it: what is free or easily freed, and no more
/// than the limits of its control groups leave. 0 if the system does not say.
/// Source: Linux' /proc/meminfo (MemAvailable) and control groups of both versions.
[[nodiscard]] LLAMAVISION_INLINE std::size_t available_memory();

} // namespace llamavision

#if !defined(LLAMAVISION_SEPARATE)
#include <llamavision/support/machine_memory.ipp>
#endif
