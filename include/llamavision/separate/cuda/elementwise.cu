// SPDX-License-Identifier: Apache-2.0
// Kernels of single values and norms, compiled once.
#include <llamavision/backend/cuda/device/kernels.cuh>
#include <llamavision/backend/cuda/kernels/elementwise.hpp>
#include <llamavision/backend/cuda/kernels/norms.hpp>

LLAMAVISION_CUDA_ELEMENTWISE(LLAMAVISION_CUDA_KERNEL)

/// As one kernel is, all are. Where the driver compiles PTX of a lesser capability, instructions of later ones are not
/// in it.
int llamavision::gpu::cuda_device::compiled_for() {
    cudaFuncAttributes of{};
    check(cudaFuncGetAttributes(&of, run_kernel<set_numbers>), "asking what the program was compiled for");
    return of.ptxVersion;
}
