// SPDX-License-Identifier: Apache-2.0
// Kernels of attention, compiled once.
#include <llamavision/backend/cuda/device/kernels.cuh>
#include <llamavision/backend/cuda/kernels/attention.hpp>
#include <llamavision/backend/cuda/kernels/flash.hpp>
#include <llamavision/backend/cuda/kernels/tiles.hpp>

LLAMAVISION_CUDA_ATTENTION(LLAMAVISION_CUDA_KERNEL)
