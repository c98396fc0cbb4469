// SPDX-License-Identifier: Apache-2.0
// Makes the texts of the small files of Hugging Face's form: config.json, generation_config.json,
// preprocessor_config.json.
#pragma once

#include <llamavision/checkpoint/form/hugging_face/config.hpp>
#include <llamavision/checkpoint/form/hugging_face/generation_config.hpp>
#include <llamavision/checkpoint/form/hugging_face/preprocessor_config.hpp>
#include <llamavision/checkpoint/tensor.hpp>
#include <llamavision/config/numbers.hpp>

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace llamavision::checkpoint {

namespace detail {

using json_text = nlohmann::ordered_json;

[[nodiscard]] inline json_text ids(std::vector<std::int32_t> const& stop) {
    if (stop.empty()) return nullptr;
    return stop.size() == 1 ? json_text(stop.front()) : json_text(stop);
}

[[nodiscard]] inline json_text id(std::optional<std::int32_t> value) { return value ? json_text(*value) : nullptr; }

[[nodiscard]] inline json_text rope_json(config::rope_numbers const& rope) {
    if (!rope.scaled) return {{"rope_type", "default"}}; // null is valid, but transformers 4.5x does not load it
    return {{"rope_type", "llama3"},
            {"factor", rope.factor},
            {"low_freq_factor", rope.low_freq_factor},
            {"high_freq_factor", rope.high_freq_factor},
            {"original_max_position_embeddings", rope.original_context}};
}

/// The keys that a text model's config.json and the text_config of Llama 3.2 Vision have in common.
[[nodiscard]] inline json_text text_json(config::text_numbers const& n, generation_defaults const& g,
                                         std::string const& type) {
    return {{"vocab_size", n.vocabulary},
            {"hidden_size", n.width},
            {"intermediate_size", n.mlp},
            {"num_hidden_layers", n.layers},
            {"num_attention_heads", n.heads},
            {"num_key_value_heads", n.kv_heads},
            {"max_position_embeddings", n.context},
            {"rms_norm_eps", n.norm_eps},
            {"rope_theta", n.rope.theta},
            {"rope_scaling", rope_json(n.rope)},
            {"hidden_act", "silu"},
            {"tie_word_embeddings", n.tied_head},
            {"use_cache", true},
            {"bos_token_id", id(g.bos)},
            {"eos_token_id", ids(g.stop_ids)},
            {"pad_token_id", id(g.pad)},
            {"torch_dtype", type}};
}

[[nodiscard]] inline json_text vision_json(config::vision_numbers const& n, std::string const& type) {
    auto ratios = json_text::array();
    for (config::arrangement const& a : n.aspect_ratios) ratios.push_back({a.rows, a.columns});
    return {{"model_type", "mllama_vision_model"},
            {"hidden_size", n.width},
            {"intermediate_size", n.mlp},
            {"attention_heads", n.heads},
            {"num_hidden_layers", n.layers},
            {"num_global_layers", n.global_layers},
            {"intermediate_layers_indices", n.taps},
            {"vision_output_dim", n.width * (1 + n.taps.size())},
            {"image_size", n.tile},
            {"patch_size", n.patch},
            {"num_channels", n.channels},
            {"max_num_tiles", n.tiles},
            {"supported_aspect_ratios", ratios},
            {"norm_eps", n.norm_eps},
            {"hidden_act", "gelu"},
            {"torch_dtype", type}};
}

} // namespace detail

/// "bfloat16", "float16" or "float32".
[[nodiscard]] inline std::string torch_name(dtype type) {
    return type == dtype::f32 ? "float32" : type == dtype::f16 ? "float16" : "bfloat16";
}

/// The text of a config.json in the spelling of transformers 4.45 to 4.55, which every release reads.
[[nodiscard]] inline std::string config_text(model_config const& model, generation_defaults const& generation,
                                             dtype type) {
    std::string const name = torch_name(type);
    auto const numbers = detail::text_json(model.values.text, generation, name);
    detail::json_text document;
    if (model.values.kind == config::family::llama) {
        document["architectures"] = {"LlamaForCausalLM"};
        document["model_type"] = "llama";
        document["head_dim"] = model.values.text.width / model.values.text.heads;
        document["attention_bias"] = false;
        document["mlp_bias"] = false;
        document.update(numbers);
    } else {
        detail::json_text text{{"model_type", "mllama_text_model"}};
        text.update(numbers);
        text["cross_attention_layers"] = model.values.text.cross_layers;
        document["architectures"] = {"MllamaForConditionalGeneration"};
        document["model_type"] = "mllama";
        document["image_token_index"] = model.image_token;
        document["text_config"] = text;
        document["vision_config"] = detail::vision_json(model.values.vision, name);
        document["tie_word_embeddings"] = false;
        document["torch_dtype"] = name;
    }
    return document.dump(2) + "\n";
}

/// The config.json `text` with every torch_dtype and dtype replaced by `type`.
/// @pre read_config reads it without an error
[[nodiscard]] inline std::string config_with_type(std::string const& text, dtype type) {
    auto document = detail::json_text::parse(text);
    auto const change = [&](detail::json_text& object) {
        for (char const* const key : {"torch_dtype", "dtype"})
            if (object.contains(key)) object[key] = torch_name(type);
    };
    change(document);
    for (char const* const part : {"text_config", "vision_config"})
        if (document.contains(part)) change(document[part]);
    return document.dump(2) + "\n";
}

/// The config.json `text` without the settings of quantised weights, for weights that were dequantised.
/// @pre read_config reads it without an error
[[nodiscard]] inline std::string config_without_quantisation(std::string const& text) {
    auto document = detail::json_text::parse(text);
    for (char const* const key : {"quantization_config", "quantization"}) {
        document.erase(key);
        if (document.contains("text_config")) document["text_config"].erase(key);
    }
    return document.dump(2) + "\n";
}

/// The text of a generation_config.json.
[[nodiscard]] inline std::string generation_text(generation_defaults const& g) {
    detail::json_text document{{"bos_token_id", detail::id(g.bos)},
                               {"eos_token_id", detail::ids(g.stop_ids)},
                               {"pad_token_id", detail::id(g.pad)},
                               {"do_sample", g.do_sample}};
    if (g.do_sample) {
        document["temperature"] = g.temperature;
        document["top_p"] = g.top_p;
        if (g.top_k) document["top_k"] = *g.top_k;
    }
    if (g.repetition_penalty != 1.0) document["repetition_penalty"] = g.repetition_penalty;
    return document.dump(2) + "\n";
}

/// The text of a preprocessor_config.json.
[[nodiscard]] inline std::string preprocessor_text(preprocessor const& p) {
    detail::json_text const document{{"image_processor_type", "MllamaImageProcessor"},
                                     {"do_convert_rgb", true},
                                     {"do_resize", true},
                                     {"do_rescale", true},
                                     {"do_normalize", true},
                                     {"do_pad", true},
                                     {"size", {{"height", p.tile}, {"width", p.tile}}},
                                     {"max_image_tiles", p.tiles},
                                     {"resample", 2},
                                     {"rescale_factor", p.rescale},
                                     {"image_mean", p.mean},
                                     {"image_std", p.deviation}};
    return document.dump(2) + "\n";
}

} // namespace llamavision::checkpoint
