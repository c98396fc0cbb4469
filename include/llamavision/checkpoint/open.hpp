// SPDX-License-Identifier: Apache-2.0
// Opens a checkpoint of any form: what its small files say, and its tensors under Hugging Face's names.
#pragma once

#include <llamavision/checkpoint/description.hpp>
#include <llamavision/checkpoint/faults.hpp>
#include <llamavision/checkpoint/form/gguf/dialect.hpp>
#include <llamavision/support/progress.hpp>
#include <llamavision/support/separate.hpp>

#include <filesystem>

namespace llamavision::checkpoint {

/// Reads what the checkpoint at `path` says about its model. `path` is a folder, or a file of weights beside the small
/// files. Weights are not read, with one exception: in Meta's form and in GGUF a text model's head is compared with its
/// embedding, up to the first difference. The files of weights must exist, since in these two forms their lists of
/// tensors say a part of the configuration.
/// @param dialect how to read a GGUF that does not tell its own dialect
/// @throws file_error, format_error and mismatch_error; with faults::collected, their messages are in `problems`
///         instead
[[nodiscard]] LLAMAVISION_INLINE description read_description(std::filesystem::path const& path,
                                                              faults mode = faults::thrown,
                                                              gguf_dialect dialect = gguf_dialect::as_marked);

/// Maps the weights of a checkpoint that `read_description` has described, without reading lists of tensors again.
/// `report` counts files of weights.
/// @param mode the one that read_description was called with
/// @throws like read_description
[[nodiscard]] LLAMAVISION_INLINE opened open(description said, progress const& report = {},
                                             faults mode = faults::thrown);

/// Describes the checkpoint at `path` and maps its weights. `report` counts files of weights.
[[nodiscard]] LLAMAVISION_INLINE opened open(std::filesystem::path const& path, progress const& report = {},
                                             faults mode = faults::thrown,
                                             gguf_dialect dialect = gguf_dialect::as_marked);

} // namespace llamavision::checkpoint

#if !defined(LLAMAVISION_SEPARATE)
#include <llamavision/checkpoint/open.ipp>
#endif
