// SPDX-License-Identifier: Apache-2.0
// The content of adapter_config.json.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace llamavision::checkpoint {

/// The numbers that merging a LoRA adapter needs.
struct adapter_config {
    std::size_t rank = 8;
    double alpha = 8;
    bool by_root = false; ///< use_rslora: alpha is divided by the square root of the rank, not by the rank
    std::vector<std::pair<std::string, std::size_t>> ranks; ///< rank_pattern: the ranks of single modules
    std::vector<std::pair<std::string, double>> alphas;     ///< alpha_pattern: their alphas
    std::string base;                                       ///< base_model_name_or_path; empty if the file does not say
    std::vector<std::string> warnings;                      ///< what is not known, and may change answers
};

} // namespace llamavision::checkpoint
