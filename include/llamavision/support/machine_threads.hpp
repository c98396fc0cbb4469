// SPDX-License-Identifier: Apache-2.0
// How many threads this process may run at a time, as far as the system says.
#pragma once

#include <cstddef>
#include <optional>

#include <llamavision/support/separate.hpp>

namespace llamavision {

namespace detail {
/// Cores that the process' affinity mask allows (taskset, a container's cpuset); nothing if the system does not say.
[[nodiscard]] LLAMAVISION_INLINE std::optional<std::size_t> cores_in_affinity_mask();
} // namespace detail

/// Threads that this process may run at a time, at least 1: the cores of its affinity mask, and no more than the CPU
/// quotas of its control groups pay for. A quota of 2.5 cores is 3 threads: they use the whole quota, and the system
/// stops them all for the rest of each period; 2 threads would leave a fifth of it unused. (Go, the JVM and .NET round
/// in the same way.)
/// Source: Linux' sched_getaffinity; cpu.max, or cpu.cfs_quota_us and cpu.cfs_period_us.
[[nodiscard]] LLAMAVISION_INLINE std::size_t available_threads();

} // namespace llamavision

#if !defined(LLAMAVISION_SEPARATE)
#include <llamavision/support/machine_threads.ipp>
#endif
