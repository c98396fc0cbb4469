// SPDX-License-Identifier: Apache-2.0
// Kernels that choose a token, and CUB, compiled once.
#include <llamavision/backend/cuda/device/cub.cuh>
#include <llamavision/backend/cuda/device/kernels.cuh>
#include <llamavision/backend/cuda/kernels/choosing.hpp>

LLAMAVISION_CUDA_CHOOSING(LLAMAVISION_CUDA_KERNEL)
