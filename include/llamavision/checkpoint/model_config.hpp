// SPDX-License-Identifier: Apache-2.0
// What a checkpoint says of its model's configuration, in whichever file of whichever form.
#pragma once

#include <llamavision/config/numbers.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace llamavision::checkpoint {

/// What a `config.json` says. Token ids are those of the library: std::int32_t.
struct model_config {
    config::numbers values;
    std::int32_t image_token = 128256;  ///< image_token_index: the id that stands for an image at the model's input
    std::vector<std::int32_t> stop_ids; ///< eos_token_id, an integer or a list
    std::optional<std::int32_t> bos, pad;
    std::string dtype;                ///< torch_dtype or dtype, "bfloat16"; empty if the file says none
    std::string transformers_version; ///< the release that wrote the file; empty if the file says none
    /// Written by transformers 4.56 or later, which taps the tower after layer i instead of before it: weights that
    /// were *fine-tuned* with it expect that, weights that were only saved again do not. The file cannot tell which.
    bool taps_after_layer_suspected = false;
    /// The file describes the text model without the tower (transformers: MllamaForCausalLM).
    bool text_alone = false;
    /// Numbers on which the file is silent, by the names that `differences` has for them.
    std::vector<std::string> unstated;
    std::vector<std::string> warnings;
};

} // namespace llamavision::checkpoint
