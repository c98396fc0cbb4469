// SPDX-License-Identifier: Apache-2.0
// What a checkpoint says about its model's configuration: in config.json, params.json, or the keys of a GGUF.
#pragma once

#include <llamavision/config/numbers.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace llamavision::checkpoint {

/// The quantization_config of a config.json. Its keys are each library's own.
struct quantisation_settings {
    std::string method;    ///< quant_method; "mlx" for MLX's, which has none
    std::string text;      ///< the JSON object
    std::string file, key; ///< where it stands: "FILE", "quantization_config"
};

/// A model's numbers, and what the same file says beside them.
struct model_config {
    config::numbers values;
    std::int32_t image_token = 128256; ///< image_token_index: the input id that stands for an image; of a model without
                                       ///< vision, an id that no text has
    std::vector<std::int32_t> stop_ids; ///< eos_token_id, an integer or a list
    std::optional<std::int32_t> bos, pad;
    std::string dtype;                ///< torch_dtype or dtype, "bfloat16"; empty if the file does not say
    std::string transformers_version; ///< the release that wrote the file; empty if the file does not say
    /// True if transformers 4.56 or later wrote the file. These releases collect the tower's state after layer i
    /// instead of before it. Weights that were fine-tuned with them need that, weights that were only saved with them
    /// do not, and the file does not tell which.
    bool taps_after_layer_suspected = false;
    /// True if the file describes a model without a vision tower: the text half of Llama 3.2 Vision (transformers:
    /// MllamaForCausalLM), or a text model (LlamaForCausalLM).
    bool text_alone = false;
    /// Numbers that the file does not say, by the names that config::differences has for them.
    std::vector<std::string> unstated;
    std::optional<quantisation_settings> quantisation; ///< empty if the file does not say that weights are quantised
    std::vector<std::string> warnings;
};

} // namespace llamavision::checkpoint
