// SPDX-License-Identifier: Apache-2.0
// The keys of config.json and tokenizer_config.json: which are read elsewhere, which change nothing, and which would
// change answers and are not obeyed. A key that is in no list may be such a one.
#pragma once

#include <llamavision/checkpoint/form/hugging_face/generation_config.hpp>
#include <llamavision/checkpoint/understood.hpp>

#include <array>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

namespace llamavision::checkpoint {

/// config.json, at its root and in text_config and vision_config (transformers 4.45 to 5.23: PretrainedConfig,
/// MllamaConfig and its parts, LlamaConfig). Keys that begin with "_" are transformers' own notes.
inline constexpr std::array config_keys{
    // Read by config.hpp and token_ids.hpp, or refused there.
    known_key{"model_type"},
    known_key{"text_config"},
    known_key{"vision_config"},
    known_key{"transformers_version"},
    known_key{"hidden_size"},
    known_key{"intermediate_size"},
    known_key{"num_attention_heads"},
    known_key{"attention_heads"},
    known_key{"num_key_value_heads"},
    known_key{"num_hidden_layers"},
    known_key{"cross_attention_layers"},
    known_key{"vocab_size"},
    known_key{"max_position_embeddings"},
    known_key{"rms_norm_eps"},
    known_key{"norm_eps"},
    known_key{"rope_theta"},
    known_key{"rope_scaling"},
    known_key{"rope_parameters"},
    known_key{"tie_word_embeddings"},
    known_key{"num_global_layers"},
    known_key{"image_size"},
    known_key{"patch_size"},
    known_key{"num_channels"},
    known_key{"max_num_tiles"},
    known_key{"max_aspect_ratio_id"},
    known_key{"intermediate_layers_indices"},
    known_key{"supported_aspect_ratios"},
    known_key{"vision_output_dim"},
    known_key{"hidden_act"},
    known_key{"hidden_activation"},
    known_key{"head_dim"},
    known_key{"image_token_id"},
    known_key{"image_token_index"},
    known_key{"eos_token_id"},
    known_key{"bos_token_id"},
    known_key{"pad_token_id"},
    known_key{"dtype"},
    known_key{"torch_dtype"},
    known_key{"quantization_config"},
    known_key{"quantization"},
    known_key{"auto_map"},
    // These change nothing: how the model is trained, stored, divided or named, and what else it returns.
    known_key{"architectures"},
    known_key{"attention_dropout"},
    known_key{"dropout"},
    known_key{"initializer_range"},
    known_key{"gradient_checkpointing"},
    known_key{"use_cache"},
    known_key{"pretraining_tp"},
    known_key{"chunk_size_feed_forward"},
    known_key{"return_dict"},
    known_key{"output_attentions"},
    known_key{"output_hidden_states"},
    known_key{"torchscript"},
    known_key{"use_bfloat16"},
    known_key{"tf_legacy_loss"},
    known_key{"tie_encoder_decoder"},
    known_key{"decoder_start_token_id"},
    known_key{"sep_token_id"},
    known_key{"tokenizer_class"},
    known_key{"id2label"},
    known_key{"label2id"},
    known_key{"num_labels"},
    known_key{"problem_type"},
    known_key{"finetuning_task"},
    known_key{"return_dict_in_generate"},
    known_key{"output_scores"},
    known_key{"attn_implementation"},
    known_key{"base_model_tp_plan"},
    known_key{"base_model_pp_plan"},
    known_key{"unsloth_fixed"},
    known_key{"unsloth_version"},
    known_key{"model_name"},
    known_key{"transformers.js_config"},
    // These would change what is computed. With each the value that changes nothing.
    known_key{"attention_bias", true, "false"},
    known_key{"mlp_bias", true, "false"},
    known_key{"is_decoder", true, "false"},
    known_key{"is_encoder_decoder", true, "false"},
    known_key{"add_cross_attention", true, "false"},
    known_key{"cross_attention_hidden_size", true},
    known_key{"pruned_heads", true, "{}"},
    known_key{"task_specific_params", true},
    known_key{"prefix", true},
    known_key{"sliding_window", true},
    known_key{"partial_rotary_factor", true, "1.0"},
};

/// tokenizer_config.json (transformers 4.54.1: PreTrainedTokenizerBase).
inline constexpr std::array tokenizer_config_keys{
    // Read by chat_template.hpp.
    known_key{"chat_template"},
    known_key{"bos_token"},
    known_key{"eos_token"},
    known_key{"unk_token"},
    known_key{"sep_token"},
    known_key{"pad_token"},
    known_key{"cls_token"},
    known_key{"mask_token"},
    known_key{"image_token"},
    // tokenizer.json says these, and is obeyed.
    known_key{"added_tokens_decoder"},
    known_key{"additional_special_tokens"},
    known_key{"extra_special_tokens"},
    known_key{"model_specific_special_tokens"},
    known_key{"image_token_id"},
    // These change no ids of a prompt.
    known_key{"tokenizer_class"},
    known_key{"processor_class"},
    known_key{"backend"},
    known_key{"is_local"},
    known_key{"name_or_path"},
    known_key{"tokenizer_file"},
    known_key{"model_input_names"},
    known_key{"model_max_length"},
    known_key{"max_length"},
    known_key{"padding_side"},
    known_key{"truncation_side"},
    known_key{"padding"},
    known_key{"truncation"},
    known_key{"stride"},
    known_key{"pad_to_multiple_of"},
    known_key{"pad_token_type_id"},
    known_key{"legacy"},
    known_key{"use_fast"},
    known_key{"clean_up_tokenization_spaces"}, // MllamaProcessor decodes answers without it
    known_key{"spaces_between_special_tokens"},
    known_key{"return_token_type_ids"},
    known_key{"auto_map"},
    known_key{"unsloth_fixed"},
    // These would change a prompt's ids.
    known_key{"add_bos_token", true, "true"},
    known_key{"add_eos_token", true, "false"},
    known_key{"add_prefix_space", true, "false"},
    known_key{"do_lower_case", true, "false"},
    known_key{"split_special_tokens", true, "false"},
    known_key{"use_default_system_prompt", true, "false"},
};

/// Sampling in config.json, with the values that change nothing. They count where there is no generation_config.json,
/// and then transformers takes 50 for top_k if no file says it.
inline constexpr std::array config_sampling_keys{
    known_key{"do_sample", true, "false"},
    known_key{"temperature", true, "1.0"},
    known_key{"top_p", true, "1.0"},
    known_key{"top_k", true, "50"},
    known_key{"repetition_penalty", true, "1.0"},
};

namespace detail {

/// The keys of config.json.
/// @param samples whether sampling in this file counts
[[nodiscard]] inline std::vector<known_key> keys_of_config(bool samples) {
    std::vector<known_key> all(config_keys.begin(), config_keys.end());
    if (samples) all.insert(all.end(), config_sampling_keys.begin(), config_sampling_keys.end());
    for (known_key const& k : generation_keys) all.push_back(samples ? k : known_key{k.name});
    return all;
}

inline void add_unheeded(std::vector<std::string>& found, nlohmann::json const& object,
                         std::span<known_key const> known, std::string const& part) {
    for (std::string const& entry : unheeded(object, known))
        if (!entry.starts_with('_')) found.push_back(part + entry);
}

} // namespace detail

/// A sentence about what would change answers and is not obeyed in a config.json; empty if there is nothing.
/// @param samples whether there is no generation_config.json, so that sampling in this file counts
[[nodiscard]] inline std::string config_warning(nlohmann::json const& document, std::string const& file, bool samples) {
    auto const known = detail::keys_of_config(samples);
    std::vector<std::string> found;
    detail::add_unheeded(found, document, known, "");
    for (std::string const part : {"text_config", "vision_config"})
        if (auto const at = document.find(part); at != document.end())
            detail::add_unheeded(found, *at, known, part + ".");
    return unheeded_warning(file, found);
}

/// The same of a tokenizer_config.json.
[[nodiscard]] inline std::string tokenizer_config_warning(nlohmann::json const& document, std::string const& file) {
    return unheeded_warning(file, unheeded(document, tokenizer_config_keys));
}

} // namespace llamavision::checkpoint
