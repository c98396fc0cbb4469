// SPDX-License-Identifier: Apache-2.0
// Reads Hugging Face's `config.json`: of Llama 3.2 Vision, in every spelling that transformers has written since 4.45,
// and of text models (LlamaForCausalLM).
#pragma once

#include <llamavision/checkpoint/form/hugging_face/config_values.hpp>
#include <llamavision/checkpoint/form/hugging_face/known_keys.hpp>
#include <llamavision/checkpoint/form/hugging_face/quantisation.hpp>
#include <llamavision/checkpoint/form/hugging_face/token_ids.hpp>
#include <llamavision/checkpoint/form/hugging_face/version.hpp>
#include <llamavision/checkpoint/model_config.hpp>
#include <llamavision/config/arrangements.hpp>
#include <llamavision/config/check.hpp>
#include <llamavision/config/configuration.hpp>
#include <llamavision/config/differences.hpp>
#include <llamavision/config/numbers.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/json.hpp>
#include <llamavision/support/json_view.hpp>
#include <llamavision/support/listed.hpp>
#include <llamavision/support/quoted.hpp>
#include <llamavision/support/text_file.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace llamavision::checkpoint {

namespace detail {

[[nodiscard]] inline config::text_numbers read_text_numbers(json_view const& text,
                                                            std::vector<std::string>& unsupported) {
    config::text_numbers result; // absent keys: the defaults of transformers' MllamaTextConfig
    result.width = extent_or(text, "hidden_size", 4096);
    result.mlp = extent_or(text, "intermediate_size", 14336);
    result.heads = extent_or(text, "num_attention_heads", 32);
    result.kv_heads = extent_or(text, "num_key_value_heads", 8);
    result.layers = extent_or(text, "num_hidden_layers", 40, 10000);
    result.cross_layers = indices_or(text, "cross_attention_layers", {3, 8, 13, 18, 23, 28, 33, 38});
    std::sort(result.cross_layers.begin(), result.cross_layers.end()); // in transformers the order has no meaning
    result.vocabulary = extent_or(text, "vocab_size", 128256, std::uint64_t{1} << 24);
    result.context = extent_or(text, "max_position_embeddings", 131072, INT32_MAX);
    result.norm_eps = epsilon_or(text, "rms_norm_eps", 1e-5);
    result.rope = read_rope(text, 500000.0, unsupported);
    return result;
}

[[nodiscard]] inline config::text_numbers read_llama_numbers(json_view const& root,
                                                             std::vector<std::string>& unsupported) {
    config::text_numbers result; // absent keys: the defaults of transformers' LlamaConfig
    result.width = extent_or(root, "hidden_size", 4096);
    result.mlp = extent_or(root, "intermediate_size", 11008);
    result.heads = extent_or(root, "num_attention_heads", 32);
    result.kv_heads = extent_or(root, "num_key_value_heads", result.heads);
    result.layers = extent_or(root, "num_hidden_layers", 32, 10000);
    result.vocabulary = extent_or(root, "vocab_size", 32000, std::uint64_t{1} << 24);
    result.context = extent_or(root, "max_position_embeddings", 2048, INT32_MAX);
    result.norm_eps = epsilon_or(root, "rms_norm_eps", 1e-6);
    result.rope = read_rope(root, 10000.0, unsupported);
    if (auto const tie = root.find("tie_word_embeddings")) result.tied_head = tie->boolean();
    return result;
}

[[nodiscard]] inline config::vision_numbers read_vision_numbers(json_view const& vision) {
    config::vision_numbers result; // absent keys: the defaults of transformers' MllamaVisionConfig
    result.width = extent_or(vision, "hidden_size", 1280);
    result.mlp = extent_or(vision, "intermediate_size", 5120);
    auto const heads = vision.find("attention_heads") ? "attention_heads" : "num_attention_heads";
    result.heads = extent_or(vision, heads, 16);
    result.layers = extent_or(vision, "num_hidden_layers", 32, 10000);
    result.global_layers = extent_or(vision, "num_global_layers", 8, 10000);
    result.tile = extent_or(vision, "image_size", 448, 16384);
    result.patch = extent_or(vision, "patch_size", 14, 16384);
    result.channels = extent_or(vision, "num_channels", 3, 16);
    result.tiles = extent_or(vision, "max_num_tiles", 4, 64);
    result.taps = indices_or(vision, "intermediate_layers_indices", {3, 7, 15, 23, 30});
    result.norm_eps = epsilon_or(vision, "norm_eps", 1e-5);
    result.aspect_ratios = config::all_arrangements(result.tiles);
    if (auto const list = vision.find("supported_aspect_ratios")) {
        result.aspect_ratios.clear();
        for (auto const& pair : list->items()) {
            auto const sides = pair.items();
            if (sides.size() != 2) pair.fail("two numbers, rows and columns");
            result.aspect_ratios.push_back({sides[0].positive(64), sides[1].positive(64)});
        }
    }
    return result;
}

inline void refuse_other_activation(json_view const& object, std::string const& supported,
                                    std::vector<std::string>& unsupported) {
    if (auto const act = object.find("hidden_act"); act && act->text() != supported)
        unsupported.push_back(act->path() + " " + in_quotes(act->text()) + " is not supported, \"" + supported
                              + "\" is");
}

inline void refuse_other_head_dim(json_view const& text, config::text_numbers const& n,
                                  std::vector<std::string>& unsupported) {
    if (auto const width = text.find("head_dim"); width && width->positive(config::extent_limit) * n.heads != n.width)
        unsupported.push_back(width->path() + ": " + std::to_string(width->positive())
                              + " is not hidden_size over num_attention_heads");
}

/// Adds to `unsupported` what a valid file of Llama 3.2 Vision may ask for and this library does not do.
inline void refuse_of_mllama(json_view const& text, std::optional<json_view> const& vision,
                             config::numbers const& values, std::vector<std::string>& unsupported) {
    refuse_other_activation(text, "silu", unsupported);
    if (vision) refuse_other_activation(*vision, "gelu", unsupported);
    if (auto const tie = text.find("tie_word_embeddings"); tie && tie->boolean())
        unsupported.push_back(tie->path() + ": true is not supported, the head has its own weights");
    refuse_other_head_dim(text, values.text, unsupported);
    if (values.vision.aspect_ratios != config::all_arrangements(values.vision.tiles))
        unsupported.push_back("vision_config.supported_aspect_ratios: other than all arrangements of at most "
                              + std::to_string(values.vision.tiles) + " tiles, rows first, is not supported");
}

/// Adds to `unsupported` what a valid file of a text model may ask for and this library does not do.
inline void refuse_of_llama(json_view const& root, config::text_numbers const& n,
                            std::vector<std::string>& unsupported) {
    refuse_other_activation(root, "silu", unsupported);
    refuse_other_head_dim(root, n, unsupported);
    for (char const* const key : {"attention_bias", "mlp_bias"})
        if (auto const bias = root.find(key); bias && bias->boolean())
            unsupported.push_back(bias->path() + ": true is not supported, the projections have no biases");
}

/// The model_type; "mllama" if the file lacks it but has a text_config.
/// @throws mismatch_error for another architecture, format_error if the file is not a model's configuration
[[nodiscard]] inline std::string model_type(json_view const& root) {
    auto const type = root.find("model_type");
    if (!type && !root.find("text_config"))
        throw format_error(root.place() + "has neither model_type nor text_config; not a configuration of this model");
    std::string name = type ? type->text() : "mllama";
    if (name != "mllama" && name != "mllama_text_model" && name != "llama")
        throw mismatch_error(root.place() + "model_type is " + in_quotes(name)
                             + ", but this library runs \"mllama\" (Llama 3.2 Vision) and \"llama\" (its text models)");
    return name;
}

inline void read_version(json_view const& root, model_config& result) {
    auto const value = root.find("transformers_version");
    if (!value) return;
    result.transformers_version = value->text();
    auto const written_by = parse_version(result.transformers_version);
    if (!written_by) {
        result.warnings.push_back(value->path() + ": " + in_quotes(value->text()) + " is not a version number");
        return;
    }
    result.taps_after_layer_suspected = *written_by >= version{4, 56};
    if (result.taps_after_layer_suspected)
        result.warnings.push_back("written by transformers " + result.transformers_version
                                  + ", which taps the vision tower one layer later than Meta's code: if these weights "
                                    "were fine-tuned with it, run them with the taps after the layer");
    else if (*written_by >= version{4, 55})
        result.warnings.push_back("written by transformers " + result.transformers_version
                                  + ", which hands the projector five copies of the tower's last state: weights that "
                                    "were fine-tuned with it cannot be run faithfully");
}

/// Reads token ids and the type of the weights, which are beside the text's numbers or at the root.
inline void read_tokens_and_type(json_view const& root, json_view const& text, model_config& result) {
    result.stop_ids = token_ids(text.find("eos_token_id") ? text : root, "eos_token_id");
    result.bos = token_id(text.find("bos_token_id") ? text : root, "bos_token_id");
    result.pad = token_id(text.find("pad_token_id") ? text : root, "pad_token_id");
    for (json_view const& object : {text, root})
        for (char const* const key : {"dtype", "torch_dtype"})
            if (auto const type = object.find(key)) result.dtype = type->text();
    if (result.dtype.starts_with("torch.")) result.dtype.erase(0, 6);
}

/// Reads image_token_index or its newer spelling. If it is wrong, adds a sentence to `found`.
inline void read_image_token(json_view const& root, model_config& result, std::vector<std::string>& found) {
    if (result.text_alone) result.image_token = static_cast<std::int32_t>(result.values.text.vocabulary);
    char const* image_key = nullptr;
    for (char const* const key : {"image_token_id", "image_token_index"})
        if (auto const id = root.find(key)) {
            result.image_token = static_cast<std::int32_t>(id->natural(INT32_MAX));
            image_key = key;
        }
    std::size_t const rows = result.values.text.vocabulary + config::extra_tokens;
    if (static_cast<std::size_t>(result.image_token) >= rows)
        found.push_back((image_key ? std::string(image_key) + " " : "image_token_index is absent, which means ")
                        + std::to_string(result.image_token) + (image_key ? " is" : ",") + " beyond the embedding's "
                        + std::to_string(rows) + " rows");
}

/// Reads a file of Llama 3.2 Vision.
/// @param text_alone whether the file is that of the text half alone: then the root holds its numbers
[[nodiscard]] inline model_config read_mllama(json_view const& root, bool text_alone) {
    model_config result;
    result.text_alone = text_alone;
    auto const text = text_alone ? root : root.at("text_config");
    auto const vision = text_alone ? std::nullopt : std::optional(root.at("vision_config"));

    std::vector<std::string> unsupported;
    result.values.text = read_text_numbers(text, unsupported);
    auto const nothing = nlohmann::json::object();
    result.values.vision = read_vision_numbers(vision ? *vision : json_view(nothing, root.file()));
    if (!vision) result.unstated = config::vision_names();
    refuse_of_mllama(text, vision, result.values, unsupported);
    if (!unsupported.empty()) throw mismatch_error(root.place() + joined(unsupported));

    auto found = config::contradictions(result.values);
    if (auto const width = vision ? vision->find("vision_output_dim") : std::nullopt) {
        std::size_t const expected = result.values.vision.width * (1 + result.values.vision.taps.size());
        if (width->positive() != expected)
            found.push_back(width->path() + " is " + std::to_string(width->positive())
                            + ", but hidden_size and the number of intermediate layers make it "
                            + std::to_string(expected));
    }
    read_image_token(root, result, found);
    if (!found.empty()) throw format_error(root.place() + joined(found));
    read_tokens_and_type(root, text, result);
    for (json_view const& object : {root, text}) read_quantisation(object, result);
    read_version(root, result);
    return result;
}

[[nodiscard]] inline model_config read_llama(json_view const& root) {
    model_config result;
    result.values.kind = config::family::llama;
    result.text_alone = true;
    std::vector<std::string> unsupported;
    result.values.text = read_llama_numbers(root, unsupported);
    refuse_of_llama(root, result.values.text, unsupported);
    if (!unsupported.empty()) throw mismatch_error(root.place() + joined(unsupported));
    if (auto const found = config::contradictions(result.values); !found.empty())
        throw format_error(root.place() + joined(found));
    result.image_token = static_cast<std::int32_t>(result.values.text.vocabulary);
    read_tokens_and_type(root, root, result);
    read_quantisation(root, result);
    if (auto const version = root.find("transformers_version")) result.transformers_version = version->text();
    if (root.find("auto_map"))
        result.warnings.push_back(root.place()
                                  + "names Python code of its own (auto_map), which may compute something else than "
                                    "LlamaForCausalLM, as which the model is run");
    return result;
}

} // namespace detail

/// Reads the content of a config.json, which is called `file` in errors.
/// @throws format_error for values of a wrong type and for numbers that contradict each other; mismatch_error for what
///         this library does not support. Both name all keys that are wrong
/// @param samples whether there is no generation_config.json, so that sampling in this file counts
[[nodiscard]] inline model_config read_config(nlohmann::json const& document, std::string const& file,
                                              bool samples = false) {
    json_view const root(document, file);
    auto const type = detail::model_type(root);
    auto result = type == "llama" ? detail::read_llama(root) : detail::read_mllama(root, type == "mllama_text_model");
    if (auto what = config_warning(document, file, samples); !what.empty()) result.warnings.push_back(std::move(what));
    return result;
}

/// Reads the file `path`.
/// @throws as above, and file_error
[[nodiscard]] inline model_config read_config(std::filesystem::path const& path) {
    bool const samples = !has_entry(path.parent_path() / "generation_config.json");
    return read_config(read_json(path, {.bytes = std::size_t{4} << 20}), path.string(), samples);
}

} // namespace llamavision::checkpoint
