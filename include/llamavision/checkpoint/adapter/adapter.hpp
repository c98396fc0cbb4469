// SPDX-License-Identifier: Apache-2.0
// LoRA adapters (PEFT), merged into a model's tensors: W + scale · B · A, computed when the tensor is asked for.
#pragma once

#include <llamavision/checkpoint/adapter/config.hpp>
#include <llamavision/checkpoint/tensor.hpp>
#include <llamavision/support/separate.hpp>

#include <filesystem>

namespace llamavision::checkpoint {

/// An adapter's folder, read.
struct adapter {
    std::filesystem::path path; ///< for errors
    adapter_config config;
    named_tensors tensors; ///< as the file names them
};

/// Reads a folder of adapter_config.json and adapter_model.safetensors. Throws file_error, format_error and
/// mismatch_error.
[[nodiscard]] LLAMAVISION_INLINE adapter open_adapter(std::filesystem::path const& path);

/// `model`, under canonical names, with the adapter's changes, which are computed when a tensor is asked for. Throws
/// mismatch_error that lists every tensor of the adapter that does not fit.
[[nodiscard]] LLAMAVISION_INLINE named_tensors merge_adapter(named_tensors model, adapter const& with);

} // namespace llamavision::checkpoint

#if !defined(LLAMAVISION_SEPARATE)
#include <llamavision/checkpoint/adapter/adapter.ipp>
#endif
