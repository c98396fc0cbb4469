// SPDX-License-Identifier: Apache-2.0
// Kernels that multiply, compiled once.
#include <llamavision/backend/cuda/kernels.cuh>
#include <llamavision/backend/cuda/products.hpp>

LLAMAVISION_CUDA_PRODUCTS(LLAMAVISION_CUDA_KERNEL)
