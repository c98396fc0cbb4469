// SPDX-License-Identifier: Apache-2.0
// What the file adapter_config.json says.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace llamavision::checkpoint {

/// What merging a LoRA adapter needs beside its tensors.
struct adapter_config {
    std::size_t rank = 8;
    double alpha = 8;
    bool by_root = false;                                   ///< use_rslora: divides alpha by the rank's square root
    std::vector<std::pair<std::string, std::size_t>> ranks; ///< rank_pattern: modules with ranks of their own
    std::vector<std::pair<std::string, double>> alphas;     ///< alpha_pattern
    std::string base;                                       ///< base_model_name_or_path; empty if the file names none
};

} // namespace llamavision::checkpoint
