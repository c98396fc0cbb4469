// SPDX-License-Identifier: Apache-2.0
// A checkpoint of any form as one value: what its small files say, and its tensors under Hugging Face's names.
#pragma once

#include <llamavision/checkpoint/description.hpp>
#include <llamavision/checkpoint/faults.hpp>
#include <llamavision/checkpoint/form/gguf/dialect.hpp>
#include <llamavision/support/progress.hpp>
#include <llamavision/support/separate.hpp>

#include <filesystem>

namespace llamavision::checkpoint {

/// Reads what the checkpoint at `path` says of itself: a folder, or a file of weights beside its small files. Reads no
/// weights, though their files must be there: in Meta's form and in GGUF their lists of tensors are part of what it
/// says, and of a text model with a head beside the embedding, whether both are the same. Throws file_error,
/// format_error and mismatch_error, or lists their messages in `problems`.
/// @param dialect of a GGUF that does not show its own
[[nodiscard]] LLAMAVISION_INLINE description read_description(std::filesystem::path const& path,
                                                              faults mode = faults::thrown,
                                                              gguf_dialect dialect = gguf_dialect::as_marked);

/// Maps the weights of what `read_description` described, whose lists of tensors are not read again. `report` counts
/// weight files. Throws as read_description, or adds to `problems`. @param mode that of read_description
[[nodiscard]] LLAMAVISION_INLINE opened open(description said, progress const& report = {},
                                             faults mode = faults::thrown);

/// Both steps. `report` counts weight files.
[[nodiscard]] LLAMAVISION_INLINE opened open(std::filesystem::path const& path, progress const& report = {},
                                             faults mode = faults::thrown,
                                             gguf_dialect dialect = gguf_dialect::as_marked);

} // namespace llamavision::checkpoint

#if !defined(LLAMAVISION_SEPARATE)
#include <llamavision/checkpoint/open.ipp>
#endif
