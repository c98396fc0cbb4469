// SPDX-License-Identifier: Apache-2.0
// Kernels that multiply a batch of rows, compiled once.
#include <llamavision/backend/cuda/device/kernels.cuh>
#include <llamavision/backend/cuda/kernels/batch_products.hpp>

LLAMAVISION_CUDA_BATCHES(LLAMAVISION_CUDA_KERNEL)
