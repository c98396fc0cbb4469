// SPDX-License-Identifier: Apache-2.0
// What CUB computes for the device: the largest of many numbers, their sorted order, and their prefix sums. All are
// 64-bit integers, so that sums and maxima do not depend on the order.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include <cub/device/device_radix_sort.cuh>
#include <cub/device/device_reduce.cuh>
#include <cub/device/device_scan.cuh>
#include <cuda_runtime_api.h>

#include <llamavision/backend/cuda/device/device.hpp>

namespace llamavision::gpu {

namespace detail {
/// Sorts by the upper half, the score of a ranked token (kernels/choosing.hpp). The ids in the lower half come in their
/// order, and the sort is stable, so it need not compare them.
inline constexpr int score_begins = 32, score_ends = 64;

using numbers = std::uint64_t const*;
inline cudaError_t largest(void* room, std::size_t& bytes, numbers of, int n, std::uint64_t* to, cudaStream_t queue) {
    return cub::DeviceReduce::Max(room, bytes, of, to, n, queue);
}
inline cudaError_t sort(void* room, std::size_t& bytes, numbers of, int n, std::uint64_t* to, cudaStream_t queue) {
    return cub::DeviceRadixSort::SortKeysDescending(room, bytes, of, to, n, score_begins, score_ends, queue);
}
inline cudaError_t add_up(void* room, std::size_t& bytes, numbers of, int n, std::uint64_t* to, cudaStream_t queue) {
    return cub::DeviceScan::InclusiveSum(room, bytes, of, to, n, queue);
}
} // namespace detail

std::size_t cuda_device::library_bytes(std::size_t count) const {
    std::size_t most = 0;
    for (auto const f : {detail::largest, detail::sort, detail::add_up}) {
        std::size_t bytes = 0;
        check(f(nullptr, bytes, nullptr, static_cast<int>(count), nullptr, nullptr), "asking CUB for its room");
        most = std::max(most, bytes);
    }
    return most;
}
void cuda_device::largest(std::uint64_t const* of, std::size_t count, std::uint64_t* to,
                          std::span<std::byte> room) const {
    std::size_t bytes = room.size();
    check(detail::largest(room.data(), bytes, of, static_cast<int>(count), to, static_cast<cudaStream_t>(stream())),
          "finding the largest");
}
void cuda_device::sort_by_score(std::uint64_t const* of, std::size_t count, std::uint64_t* to,
                                std::span<std::byte> room) const {
    std::size_t bytes = room.size();
    check(detail::sort(room.data(), bytes, of, static_cast<int>(count), to, static_cast<cudaStream_t>(stream())),
          "sorting");
}
void cuda_device::add_up(std::uint64_t const* of, std::size_t count, std::uint64_t* to,
                         std::span<std::byte> room) const {
    std::size_t bytes = room.size();
    check(detail::add_up(room.data(), bytes, of, static_cast<int>(count), to, static_cast<cudaStream_t>(stream())),
          "adding up");
}

} // namespace llamavision::gpu
