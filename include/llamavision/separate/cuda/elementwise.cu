// SPDX-License-Identifier: Apache-2.0
// Kernels of single values and norms, compiled once.
#include <llamavision/backend/cuda/elementwise.hpp>
#include <llamavision/backend/cuda/kernels.cuh>
#include <llamavision/backend/cuda/norms.hpp>

LLAMAVISION_CUDA_ELEMENTWISE(LLAMAVISION_CUDA_KERNEL)
