// SPDX-License-Identifier: Apache-2.0
// Kernels that multiply a batch of rows, compiled once.
#include <llamavision/backend/cuda/batch_products.hpp>
#include <llamavision/backend/cuda/kernels.cuh>

LLAMAVISION_CUDA_BATCHES(LLAMAVISION_CUDA_KERNEL)
