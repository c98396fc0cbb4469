// SPDX-License-Identifier: Apache-2.0
// What the system says about cores: the affinity mask, and the quotas of control groups.
#pragma once

#include <algorithm>
#include <optional>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <cerrno>
#include <sched.h>
#endif

#include <llamavision/support/control_groups.hpp>
#include <llamavision/support/machine_threads.hpp>

namespace llamavision {

namespace detail {

LLAMAVISION_INLINE std::optional<std::size_t> cores_in_affinity_mask() {
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

} // namespace detail

LLAMAVISION_INLINE std::size_t available_threads() {
    std::size_t const machine = std::max(1u, std::thread::hardware_concurrency());
    std::size_t const cores = detail::cores_in_affinity_mask().value_or(machine);
    std::size_t const paid = detail::cores_in_groups("/proc/self/cgroup", "/sys/fs/cgroup").value_or(cores);
    return std::max<std::size_t>(1, std::min(cores, paid));
}

} // namespace llamavision
