// SPDX-License-Identifier: Apache-2.0
// Merges LoRA adapters (PEFT) into a model's tensors: W + scale · B · A, computed when a tensor's bytes are asked for.
#pragma once

#include <llamavision/checkpoint/adapter/config.hpp>
#include <llamavision/checkpoint/tensor.hpp>
#include <llamavision/support/separate.hpp>

#include <filesystem>
#include <string>

namespace llamavision::checkpoint {

/// What an adapter's folder holds.
struct adapter {
    std::filesystem::path path; ///< for errors
    adapter_config config;
    named_tensors tensors; ///< under the names of the file
};

/// Reads a folder of adapter_config.json and adapter_model.safetensors.
/// @throws file_error, format_error and mismatch_error
[[nodiscard]] LLAMAVISION_INLINE adapter open_adapter(std::filesystem::path const& path);

/// A sentence if the adapter names a base model of another kind: an Instruct model, and it is to be merged into a base
/// model, or the reverse. Both have the same shapes. Empty if they fit, or if the name does not tell.
/// @param base whether the model that it is merged into is a base model, which continues texts
[[nodiscard]] LLAMAVISION_INLINE std::string other_base_warning(adapter const& with, bool base);

/// The tensors of `model`, which has canonical names, with the adapter merged.
/// @throws mismatch_error that lists every tensor of the adapter that does not fit
[[nodiscard]] LLAMAVISION_INLINE named_tensors merge_adapter(named_tensors model, adapter const& with);

} // namespace llamavision::checkpoint

#if !defined(LLAMAVISION_SEPARATE)
#include <llamavision/checkpoint/adapter/adapter.ipp>
#endif
