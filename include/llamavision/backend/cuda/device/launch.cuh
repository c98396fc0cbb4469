// SPDX-License-Identifier: Apache-2.0
// How a kernel is launched. The translation units of separate/cuda/ instantiate this for every kernel in kernels.cuh.
#pragma once

#include <cuda_runtime_api.h>

#include <llamavision/backend/cuda/device/block.cuh>
#include <llamavision/backend/cuda/device/device.hpp>

namespace llamavision::gpu {

template <class Kernel>
__global__ void __launch_bounds__(Kernel::threads) run_kernel(Kernel const kernel) {
    __shared__ typename Kernel::shared shared;
    device_block<Kernel::threads> block;
    kernel(block, shared);
}

template <class Kernel>
void cuda_device::launch(Kernel const& kernel, grid blocks) const {
    static_assert(fits_a_launch<Kernel>);
    dim3 const size(static_cast<unsigned>(blocks.x), static_cast<unsigned>(blocks.y), static_cast<unsigned>(blocks.z));
    run_kernel<<<size, Kernel::threads, 0, static_cast<cudaStream_t>(stream())>>>(kernel);
    check_launch();
}

} // namespace llamavision::gpu

/// Instantiates the launch of a kernel.
#define LLAMAVISION_CUDA_KERNEL(...)                                                                                   \
    template void llamavision::gpu::cuda_device::launch(__VA_ARGS__ const&, llamavision::gpu::grid) const;
