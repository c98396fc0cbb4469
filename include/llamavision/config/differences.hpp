// SPDX-License-Identifier: Apache-2.0
// Compares a file's numbers with those that a program was built for.
#pragma once

#include <string>
#include <vector>

#include <llamavision/config/numbers.hpp>
#include <llamavision/support/separate.hpp>

namespace llamavision::config {

/// The names that `differences` has for the numbers of the vision tower.
[[nodiscard]] LLAMAVISION_INLINE std::vector<std::string> vision_names();

/// One sentence for each number in which `file` and `compiled` differ; only one sentence if their families differ; none
/// if the program fits the file. Real numbers are compared as float, the precision in which the model uses them.
/// Numbers named in `unstated`, which the file does not say (checkpoint::model_config), are not compared, nor is the
/// context: it is a limit, and another one makes no other model. A file may say a larger vocabulary, since fine-tuning
/// adds tokens; whether the tables have those rows, `binder::check` tells.
[[nodiscard]] LLAMAVISION_INLINE std::vector<std::string> differences(numbers const& file, numbers const& compiled,
                                                                      std::vector<std::string> const& unstated = {});

} // namespace llamavision::config

#if !defined(LLAMAVISION_SEPARATE)
#include <llamavision/config/differences.ipp>
#endif
