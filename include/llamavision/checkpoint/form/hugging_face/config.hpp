// SPDX-License-Identifier: Apache-2.0
// Reads a Hugging Face `config.json` of this architecture, in every spelling that transformers has written since 4.45.
#pragma once

#include <llamavision/checkpoint/form/hugging_face/token_ids.hpp>
#include <llamavision/checkpoint/form/hugging_face/version.hpp>
#include <llamavision/checkpoint/model_config.hpp>
#include <llamavision/config/check.hpp>
#include <llamavision/config/configuration.hpp>
#include <llamavision/config/differences.hpp>
#include <llamavision/config/numbers.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/json.hpp>
#include <llamavision/support/json_view.hpp>
#include <llamavision/support/listed.hpp>
#include <llamavision/support/quoted.hpp>

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

/// The positive integer under `key`, at most `limit`; `otherwise` if it is absent.
[[nodiscard]] inline std::size_t extent_or(json_view const& object, std::string_view key, std::size_t otherwise,
                                           std::uint64_t limit = config::extent_limit) {
    auto const value = object.find(key);
    return value ? value->positive(limit) : otherwise;
}

/// The list of indices under `key`; `otherwise` if it is absent.
[[nodiscard]] inline std::vector<std::size_t> indices_or(json_view const& object, std::string_view key,
                                                         std::vector<std::size_t> otherwise) {
    auto const value = object.find(key);
    if (!value) return otherwise;
    std::vector<std::size_t> result;
    for (auto const& item : value->items()) result.push_back(item.natural(config::extent_limit));
    return result;
}

/// A norm's epsilon under `key`; 1e-5 if it is absent.
[[nodiscard]] inline double epsilon_or_usual(json_view const& object, std::string_view key) {
    auto const value = object.find(key);
    return value ? value->number_between(config::least_epsilon, config::largest_epsilon) : 1e-5;
}

/// One object that describes the scaling: `rope_scaling` (4.x), or `rope_parameters` (5.x), which holds theta as well.
/// Older files say `type` for `rope_type`. Kinds other than "default" and "llama3" go to `unsupported`.
[[nodiscard]] inline config::rope_numbers read_scaling(json_view const& object, double theta,
                                                       std::vector<std::string>& unsupported) {
    config::rope_numbers result;
    result.theta = theta;
    if (auto const value = object.find("rope_theta")) result.theta = value->positive_number();
    auto kind = object.find("rope_type");
    if (!kind) kind = object.find("type");
    result.scaled = kind && kind->text() != "default";
    if (!result.scaled) return result;
    if (kind->text() != "llama3") {
        unsupported.push_back(kind->path() + " " + in_quotes(kind->text()) + " is not supported, \"llama3\" is");
        return result;
    }
    result.factor = object.at("factor").positive_number();
    result.low_freq_factor = object.at("low_freq_factor").positive_number();
    result.high_freq_factor = object.at("high_freq_factor").positive_number();
    result.original_context = object.at("original_max_position_embeddings").positive(INT32_MAX);
    return result;
}

[[nodiscard]] inline config::rope_numbers read_rope(json_view const& text, std::vector<std::string>& unsupported) {
    double theta = 500000.0;
    if (auto const value = text.find("rope_theta")) theta = value->positive_number();
    auto const older = text.find("rope_scaling"), newer = text.find("rope_parameters");
    config::rope_numbers plain;
    plain.theta = theta;
    plain.scaled = false;
    config::rope_numbers const result = newer   ? read_scaling(*newer, theta, unsupported)
                                        : older ? read_scaling(*older, theta, unsupported)
                                                : plain;
    if (newer && older && !(read_scaling(*older, theta, unsupported) == result))
        throw format_error(newer->place() + "contradicts rope_scaling");
    return result;
}

[[nodiscard]] inline config::text_numbers read_text_numbers(json_view const& text,
                                                            std::vector<std::string>& unsupported) {
    config::text_numbers result; // absent keys: the defaults of transformers' MllamaTextConfig
    result.width = extent_or(text, "hidden_size", 4096);
    result.mlp = extent_or(text, "intermediate_size", 14336);
    result.heads = extent_or(text, "num_attention_heads", 32);
    result.kv_heads = extent_or(text, "num_key_value_heads", 8);
    result.layers = extent_or(text, "num_hidden_layers", 40, 10000);
    result.cross_layers = indices_or(text, "cross_attention_layers", {3, 8, 13, 18, 23, 28, 33, 38});
    std::sort(result.cross_layers.begin(), result.cross_layers.end()); // transformers only asks for membership
    result.vocabulary = extent_or(text, "vocab_size", 128256, std::uint64_t{1} << 24);
    result.context = extent_or(text, "max_position_embeddings", 131072, INT32_MAX);
    result.norm_eps = epsilon_or_usual(text, "rms_norm_eps");
    result.rope = read_rope(text, unsupported);
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
    result.norm_eps = epsilon_or_usual(vision, "norm_eps");
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

/// What a valid file may ask for and this library does not do.
inline void refuse(json_view const& root, json_view const& text, std::optional<json_view> const& vision,
                   config::numbers const& values, std::vector<std::string>& unsupported) {
    for (json_view const& object : {root, text})
        if (auto const quantised = object.find("quantization_config")) {
            auto const method = quantised->find("quant_method");
            unsupported.push_back(quantised->path() + ": the weights are quantised ("
                                  + (method ? method->text() : std::string("method not named"))
                                  + "), which is not supported; use the original model");
        }
    auto const expect = [&](json_view const& object, std::string const& activation) {
        if (auto const act = object.find("hidden_act"); act && act->text() != activation)
            unsupported.push_back(act->path() + " " + in_quotes(act->text()) + " is not supported, \"" + activation
                                  + "\" is");
    };
    expect(text, "silu");
    if (vision) expect(*vision, "gelu");
    if (auto const tie = text.find("tie_word_embeddings"); tie && tie->boolean())
        unsupported.push_back(tie->path() + ": true is not supported, the head has its own weights");
    if (auto const width = text.find("head_dim"); width && width->positive() * values.text.heads != values.text.width)
        unsupported.push_back(width->path() + ": " + std::to_string(width->positive())
                              + " is not hidden_size over num_attention_heads");
    if (values.vision.aspect_ratios != config::all_arrangements(values.vision.tiles))
        unsupported.push_back("vision_config.supported_aspect_ratios: other than all arrangements of at most "
                              + std::to_string(values.vision.tiles) + " tiles, rows first, is not supported");
}

/// Whether the file describes the text model alone. Throws unless it says that it describes this architecture.
[[nodiscard]] inline bool describes_text_alone(json_view const& root) {
    auto const type = root.find("model_type");
    if (type && type->text() == "mllama_text_model") return true;
    if (type && type->text() != "mllama")
        throw mismatch_error(root.place() + "model_type is " + in_quotes(type->text())
                             + ", but this library runs \"mllama\" (Llama 3.2 Vision)");
    if (!type && !root.find("text_config"))
        throw format_error(root.place() + "has neither model_type nor text_config; not a configuration of this model");
    return false;
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

} // namespace detail

/// Reads `document`, called `file` in errors. Throws format_error for wrong types and numbers that contradict each
/// other, mismatch_error for what this library does not support; both name the keys, all of them where several are at
/// fault.
[[nodiscard]] inline model_config read_config(nlohmann::json const& document, std::string const& file) {
    json_view const root(document, file);
    model_config result;
    result.text_alone = detail::describes_text_alone(root);
    auto const text = result.text_alone ? root : root.at("text_config");
    auto const vision = result.text_alone ? std::nullopt : std::optional(root.at("vision_config"));

    std::vector<std::string> unsupported;
    result.values.text = detail::read_text_numbers(text, unsupported);
    auto const nothing = nlohmann::json::object();
    result.values.vision = detail::read_vision_numbers(vision ? *vision : json_view(nothing, file));
    if (!vision) result.unstated = config::vision_names();
    detail::refuse(root, text, vision, result.values, unsupported);
    if (!unsupported.empty()) throw mismatch_error(root.place() + joined(unsupported));

    auto found = config::contradictions(result.values);
    if (auto const width = vision ? vision->find("vision_output_dim") : std::nullopt) {
        std::size_t const expected = result.values.vision.width * (1 + result.values.vision.taps.size());
        if (width->positive() != expected)
            found.push_back(width->path() + " is " + std::to_string(width->positive())
                            + ", but hidden_size and the number of " + "intermediate layers make it "
                            + std::to_string(expected));
    }
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
    if (!found.empty()) throw format_error(root.place() + joined(found));

    result.stop_ids = token_ids(text.find("eos_token_id") ? text : root, "eos_token_id");
    result.bos = token_id(text.find("bos_token_id") ? text : root, "bos_token_id");
    result.pad = token_id(text.find("pad_token_id") ? text : root, "pad_token_id");
    for (json_view const& object : {text, root})
        for (char const* const key : {"dtype", "torch_dtype"})
            if (auto const type = object.find(key)) result.dtype = type->text();
    if (result.dtype.starts_with("torch.")) result.dtype.erase(0, 6);
    detail::read_version(root, result);
    return result;
}

/// Reads the file `path`. Throws as above, and file_error.
[[nodiscard]] inline model_config read_config(std::filesystem::path const& path) {
    return read_config(read_json(path, {.bytes = std::size_t{4} << 20}), path.string());
}

} // namespace llamavision::checkpoint
