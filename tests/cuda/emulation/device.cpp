// SPDX-License-Identifier: Apache-2.0
// All kernels of the cuda backend on the host, compiled once for all tests.
#include "device.hpp"

#include <llamavision/backend/cuda/dispatch/device_backend.ipp>

template class llamavision::gpu::device_backend<llamavision::gpu::emulated_device>;
