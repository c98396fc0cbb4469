// SPDX-License-Identifier: Apache-2.0
// Kernels that multiply, compiled once.
#include <llamavision/backend/cuda/device/kernels.cuh>
#include <llamavision/backend/cuda/kernels/products.hpp>

LLAMAVISION_CUDA_PRODUCTS(LLAMAVISION_CUDA_KERNEL)
