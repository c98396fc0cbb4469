// SPDX-License-Identifier: Apache-2.0
// The golden models on the cuda backend: its kernels on the host, and on a GPU where there is one.
#include "../cuda/emulation/device.hpp"
#include <llamavision/support/error.hpp>

#include "open.hpp"

#if defined(LLAMAVISION_CUDA)
#include <llamavision/backend/cuda/cuda.hpp>
#endif

namespace lv = llamavision;

namespace {

template <class C>
golden::network_ptr open_on_cuda(std::filesystem::path const& folder, golden::kernels which) {
    auto const on = [&](auto backend) {
        return std::make_shared<lv::network_of<C, decltype(backend)>>(golden::tensors_of<C>(folder), backend);
    };
    if (which == golden::kernels::emulated)
        return on(lv::gpu::device_backend<lv::gpu::emulated_device>(lv::gpu::emulated_device()));
#if defined(LLAMAVISION_CUDA)
    return on(lv::cuda());
#else
    throw lv::device_error("this was built without the cuda backend");
#endif
}

} // namespace

golden::network_ptr golden::open_p1_on_cuda(std::filesystem::path const& folder, kernels which) {
    return open_on_cuda<lv::golden::p1>(folder, which);
}
golden::network_ptr golden::open_g1_on_cuda(std::filesystem::path const& folder, kernels which) {
    return open_on_cuda<lv::golden::g1>(folder, which);
}
golden::network_ptr golden::open_g2_on_cuda(std::filesystem::path const& folder, kernels which) {
    return open_on_cuda<lv::golden::g2>(folder, which);
}
bool golden::has_gpu() {
#if defined(LLAMAVISION_CUDA)
    return lv::cuda::devices() > 0;
#else
    return false;
#endif
}
