// SPDX-License-Identifier: Apache-2.0
// Models on an NVIDIA GPU, `--device cuda`; or an error, if this program was built without the cuda backend.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include <llamavision/runtime/load.hpp>

#include "limits.hpp"
#include "models.hpp"

namespace program {

/// Whether the value of --device names a GPU: "cuda" or "cuda:1"; otherwise it is "cpu".
[[nodiscard]] inline bool is_cuda(std::string const& device) { return device.starts_with("cuda"); }

/// As llamavision::load_any, on the device that the settings name.
/// Throws device_error if there is none, or if this program has no cuda backend.
[[nodiscard]] llamavision::model load_on_cuda(model_settings const& settings, std::filesystem::path const& path,
                                              llamavision::load_options const& options);

/// A device, for `bench`.
struct cuda_bench {
    std::string name; ///< "NVIDIA H200"
    std::function<limits()> measure;
    std::function<std::size_t()> available;
    /// As built_in::bind, of the configuration of that name.
    std::function<std::shared_ptr<llamavision::network const>(std::string_view configuration,
                                                              llamavision::checkpoint::named_tensors tensors,
                                                              llamavision::network_options const& how)>
        bind;
};
/// Throws as `load_on_cuda`.
[[nodiscard]] cuda_bench open_cuda_bench(model_settings const& settings);

} // namespace program
