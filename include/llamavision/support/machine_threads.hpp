// SPDX-License-Identifier: Apache-2.0
// How many threads this process may run at a time, as far as the system says.
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <cerrno>
#include <sched.h>
#endif

#include <llamavision/support/control_groups.hpp>

namespace llamavision {

namespace detail {

/// Cores that the process' affinity mask allows (taskset, a container's cpuset); nothing if the system does not say.
inline std::optional<std::size_t> cores_in_affinity_mask() {
#if defined(__linux__)
    for (int cores = 1024; cores <= 1 << 20; cores *= 2) { // a mask that is too short is refused
        std::vector<cpu_set_t> mask((CPU_ALLOC_SIZE(cores) + sizeof(cpu_set_t) - 1) / sizeof(cpu_set_t));
        std::size_t const bytes = mask.size() * sizeof(cpu_set_t);
        if (::sched_getaffinity(0, bytes, mask.data()) == 0)
            return static_cast<std::size_t>(CPU_COUNT_S(bytes, mask.data()));
        if (errno != EINVAL) break;
    }
#endif
    return std::nullopt;
}

/// Cores' worth of time that one control group of either version may use: quota divided by period, rounded up.
inline std::optional<std::size_t> cores_of_group(std::filesystem::path const& group) {
    std::size_t quota = 0, period = 0;
    if (std::ifstream both(group / "cpu.max"); both) { // version 2: "quota period", or "max period"
        if (!(both >> quota >> period)) return std::nullopt;
    } else { // version 1: -1 is no quota
        quota = kernel_number(group / "cpu.cfs_quota_us").value_or(0);
        std::ifstream sign(group / "cpu.cfs_quota_us");
        if (sign.peek() == '-') return std::nullopt;
        period = kernel_number(group / "cpu.cfs_period_us").value_or(0);
    }
    if (quota == 0 || period == 0) return std::nullopt;
    return quota / period + (quota % period != 0 ? 1 : 0);
}

/// The least of that for all groups that a process is in, those above included; see for_each_control_group.
inline std::optional<std::size_t> cores_in_groups(std::filesystem::path const& list,
                                                  std::filesystem::path const& mounts) {
    std::optional<std::size_t> least;
    for_each_control_group(list, mounts, "cpu", [&](std::filesystem::path const& group) {
        auto const cores = cores_of_group(group);
        if (cores && (!least || *cores < *least)) least = cores;
    });
    return least;
}

} // namespace detail

/// Threads that this process may run at a time, at least 1: the cores of its affinity mask, and no more than the CPU
/// quotas of its control groups pay for. A quota of 2.5 cores is 3 threads: they use the whole quota, and the system
/// stops them all for the rest of each period; 2 threads would leave a fifth of it unused. (Go, the JVM and .NET round
/// in the same way.)
/// Source: Linux' sched_getaffinity; cpu.max, or cpu.cfs_quota_us and cpu.cfs_period_us.
[[nodiscard]] inline std::size_t available_threads() {
    std::size_t const machine = std::max(1u, std::thread::hardware_concurrency());
    std::size_t const cores = detail::cores_in_affinity_mask().value_or(machine);
    std::size_t const paid = detail::cores_in_groups("/proc/self/cgroup", "/sys/fs/cgroup").value_or(cores);
    return std::max<std::size_t>(1, std::min(cores, paid));
}

} // namespace llamavision
