// SPDX-License-Identifier: Apache-2.0
// Kernels that choose a token, and CUB, compiled once.
#include <llamavision/backend/cuda/choosing.hpp>
#include <llamavision/backend/cuda/cub.cuh>
#include <llamavision/backend/cuda/kernels.cuh>

LLAMAVISION_CUDA_CHOOSING(LLAMAVISION_CUDA_KERNEL)
