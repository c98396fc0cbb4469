// SPDX-License-Identifier: Apache-2.0
// The device, and the backend on it, compiled once.
#include <llamavision/backend/cuda/device/device.ipp>
#include <llamavision/backend/cuda/dispatch/device_backend.ipp>

template class llamavision::gpu::device_backend<llamavision::gpu::cuda_device>;
