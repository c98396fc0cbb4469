// SPDX-License-Identifier: Apache-2.0
// The cuda backend: the backend concept on an NVIDIA GPU. A program that includes this must have the backend's
// translation units, which CMake's `llamavision_add_cuda` adds; without them it does not link.
#pragma once

#include <string>

#include <llamavision/backend/concept.hpp>
#include <llamavision/backend/cuda/device/device.hpp>
#include <llamavision/backend/cuda/dispatch/device_backend.hpp>

namespace llamavision {

extern template class gpu::device_backend<gpu::cuda_device>;

/// `load<llama_3_2_11b_vision>(folder, cuda{})`. Copies share the GPU's queue and workspace.
class cuda : public gpu::device_backend<gpu::cuda_device> {
  public:
    /// @throws device_error, in one sentence: no device of that number, no driver, or one that is too old
    explicit cuda(cuda_options options = {}) : gpu::device_backend<gpu::cuda_device>(gpu::cuda_device(options)) {}

    /// How many devices this machine has; 0 also if there is no driver, or one that does not fit.
    [[nodiscard]] static int devices();
};

static_assert(
    backend<cuda> && owns_memory<cuda> && repacks_weights<cuda> && keeps_keys<cuda> && replays<cuda> && chooses<cuda>);

} // namespace llamavision
