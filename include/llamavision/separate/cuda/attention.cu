// SPDX-License-Identifier: Apache-2.0
// Kernels of attention, compiled once.
#include <llamavision/backend/cuda/attention.hpp>
#include <llamavision/backend/cuda/flash.hpp>
#include <llamavision/backend/cuda/kernels.cuh>
#include <llamavision/backend/cuda/tiles.hpp>

LLAMAVISION_CUDA_ATTENTION(LLAMAVISION_CUDA_KERNEL)
