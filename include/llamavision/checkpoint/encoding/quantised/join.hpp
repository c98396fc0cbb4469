// SPDX-License-Identifier: Apache-2.0
// Finds the quantised modules of a checkpoint: the stored tensors of each become one logical tensor, whichever library
// wrote them.
#pragma once

#include <llamavision/checkpoint/faults.hpp>
#include <llamavision/checkpoint/model_config.hpp>
#include <llamavision/checkpoint/tensor.hpp>
#include <llamavision/support/separate.hpp>

#include <string>
#include <vector>

namespace llamavision::checkpoint {

/// The tensors, which have canonical names, with one tensor `X.weight` in place of all that module X stores for it. It
/// is made when its bytes are asked for; tensor::stored says what the file holds. Scales are read when the weight is
/// made.
/// @param model what config.json says; null if it is not known
/// @param file the checkpoint's name in errors
/// @throws format_error for stored tensors that do not fit together, mismatch_error where config.json contradicts them;
///         with faults::collected, the messages of the first five are added to `problems`, and how many there are more;
///         the modules' tensors stay as they are
[[nodiscard]] LLAMAVISION_INLINE named_tensors join_quantised(named_tensors source, model_config const* model,
                                                              std::string const& file, faults mode,
                                                              std::vector<std::string>& problems);

} // namespace llamavision::checkpoint

#if !defined(LLAMAVISION_SEPARATE)
#include <llamavision/checkpoint/encoding/quantised/join.ipp>
#endif
