// SPDX-License-Identifier: Apache-2.0
// The accuracy that a format loses: how much weights change, and the logits of an answer.
#pragma once

#include <filesystem>

#include <llamavision/checkpoint/tensor.hpp>

#include "commands.hpp"

namespace program {

/// Prints the errors of every converted tensor and every layer, and how much the logits of a question about a picture
/// change when the model at `path` is loaded in the formats of the options.
void report(quantize_options const& options, llamavision::checkpoint::named_tensors const& stored,
            llamavision::checkpoint::named_tensors const& converted);

} // namespace program
