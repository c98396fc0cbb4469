// SPDX-License-Identifier: Apache-2.0
// Reads a Hugging Face `config.json` of this architecture, in every spelling that transformers has written since 4.45.
#pragma once

#include <llamavision/checkpoint/form/hugging_face/token_ids.hpp>
#include <llamavision/checkpoint/form/hugging_face/version.hpp>
#include <llamavision/checkpoint/model_numbers.hpp>
#include <llamavision/config/check.hpp>
#include <llamavision/config/configuration.hpp>
#include <llamavision/config/differences.hpp>
#include <llamavision/config/numbers.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/json.hpp>
#include <llamavision/support/json_view.hpp>
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

namespace llamavision::config {

namespace detail {

/// Larger extents exist in no model, and products of three such still fit 64 bits.
inline constexpr std::uint64_t extent_limit = std::uint64_t{1} << 21;

[[nodiscard]] inline std::size_t extent(json_view const& object, std::string_view key, std::size_t otherwise,
                                        std::uint64_t limit = extent_limit) {
    auto const value = object.find(key);
    return value ? value->positive(limit) : otherwise;
}

[[nodiscard]] inline std::vector<std::size_t> indices(json_view const& object, std::string_view key,
                                                      std::vector<std::size_t> otherwise) {
    auto const value = object.find(key);
    if (!value) return otherwise;
    std::vector<std::size_t> result;
    for (auto const& item : value->items()) result.push_back(item.natural(extent_limit));
    return result;
}

/// What keeps a norm from dividing by zero: a positive float, far below the squares that it is added to.
inline constexpr double least_epsilon = 1e-30, largest_epsilon = 0.1;

[[nodiscard]] inline double epsilon(json_view const& object, std::string_view key) {
    auto const value = object.find(key);
    return value ? value->number_between(least_epsilon, largest_epsilon) : 1e-5;
}

/// One object that describes the scaling: `rope_scaling` (4.x), or `rope_parameters` (5.x), which holds theta as well.
/// Older files say `type` for `rope_type`. Kinds other than "default" and "llama3" go to `unsupported`.
[[nodiscard]] inline rope_numbers read_scaling(json_view const& object, double theta,
                                               std::vector<std::string>& unsupported) {
    rope_numbers result;
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

[[nodiscard]] inline rope_numbers read_rope(json_view const& text, std::vector<std::string>& unsupported) {
    double theta = 500000.0;
    if (auto const value = text.find("rope_theta")) theta = value->positive_number();
    auto const older = text.find("rope_scaling"), newer = text.find("rope_parameters");
    rope_numbers plain;
    plain.theta = theta;
    plain.scaled = false;
    rope_numbers const result = newer   ? read_scaling(*newer, theta, unsupported)
                                : older ? read_scaling(*older, theta, unsupported)
                                        : plain;
    if (newer && older && !(read_scaling(*older, theta, unsupported) == result))
        throw format_error(newer->place() + "contradicts rope_scaling");
    return result;
}

[[nodiscard]] inline text_numbers read_text(json_view const& text, std::vector<std::string>& unsupported) {
    text_numbers result; // absent keys: the defaults of transformers' MllamaTextConfig
    result.width = extent(text, "hidden_size", 4096);
    result.mlp = extent(text, "intermediate_size", 14336);
    result.heads = extent(text, "num_attention_heads", 32);
    result.kv_heads = extent(text, "num_key_value_heads", 8);
    result.layers = extent(text, "num_hidden_layers", 40, 10000);
    result.cross_layers = indices(text, "cross_attention_layers", {3, 8, 13, 18, 23, 28, 33, 38});
    std::sort(result.cross_layers.begin(), result.cross_layers.end()); // transformers only asks for membership
    result.vocabulary = extent(text, "vocab_size", 128256, std::uint64_t{1} << 24);
    result.context = extent(text, "max_position_embeddings", 131072, INT32_MAX);
    result.norm_eps = epsilon(text, "rms_norm_eps");
    result.rope = read_rope(text, unsupported);
    return result;
}

[[nodiscard]] inline vision_numbers read_vision(json_view const& vision) {
    vision_numbers result; // absent keys: the defaults of transformers' MllamaVisionConfig
    result.width = extent(vision, "hidden_size", 1280);
    result.mlp = extent(vision, "intermediate_size", 5120);
    auto const heads = vision.find("attention_heads") ? "attention_heads" : "num_attention_heads";
    result.heads = extent(vision, heads, 16);
    result.layers = extent(vision, "num_hidden_layers", 32, 10000);
    result.global_layers = extent(vision, "num_global_layers", 8, 10000);
    result.tile = extent(vision, "image_size", 448, 16384);
    result.patch = extent(vision, "patch_size", 14, 16384);
    result.channels = extent(vision, "num_channels", 3, 16);
    result.tiles = extent(vision, "max_num_tiles", 4, 64);
    result.taps = indices(vision, "intermediate_layers_indices", {3, 7, 15, 23, 30});
    result.norm_eps = epsilon(vision, "norm_eps");
    result.aspect_ratios = all_arrangements(result.tiles);
    if (auto const list = vision.find("supported_aspect_ratios")) {
        result.aspect_ratios.clear();
        for (auto const& pair : list->items()) {
            auto const sides = pair.items();
            if (sides.size() != 2) pair.fail("two numbers, rows and columns");
            result.aspect_ratios.emplace_back(sides[0].positive(64), sides[1].positive(64));
        }
    }
    return result;
}

/// What a valid file may ask for and this library does not do.
inline void refuse(json_view const& root, json_view const& text, std::optional<json_view> const& vision,
                   numbers const& values, std::vector<std::string>& unsupported) {
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
    if (values.vision.aspect_ratios != all_arrangements(values.vision.tiles))
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

inline void read_version(json_view const& root, read_result& result) {
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

[[nodiscard]] inline std::string joined(std::vector<std::string> const& sentences) {
    std::string result;
    for (auto const& sentence : sentences) result += (result.empty() ? "" : "; ") + sentence;
    return result;
}

} // namespace detail

/// Reads `document`, called `file` in errors. Throws format_error for wrong types and numbers that contradict each
/// other, mismatch_error for what this library does not support; both name the keys, all of them where several are at
/// fault.
[[nodiscard]] inline read_result read(nlohmann::json const& document, std::string const& file) {
    json_view const root(document, file);
    read_result result;
    result.text_alone = detail::describes_text_alone(root);
    auto const text = result.text_alone ? root : root.at("text_config");
    auto const vision = result.text_alone ? std::nullopt : std::optional(root.at("vision_config"));

    std::vector<std::string> unsupported;
    result.values.text = detail::read_text(text, unsupported);
    auto const nothing = nlohmann::json::object();
    result.values.vision = detail::read_vision(vision ? *vision : json_view(nothing, file));
    if (!vision) result.unstated = vision_names();
    detail::refuse(root, text, vision, result.values, unsupported);
    if (!unsupported.empty()) throw mismatch_error(root.place() + detail::joined(unsupported));

    auto found = contradictions(result.values);
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
    std::size_t const rows = result.values.text.vocabulary + extra_tokens;
    if (static_cast<std::size_t>(result.image_token) >= rows)
        found.push_back((image_key ? std::string(image_key) + " " : "image_token_index is absent, which means ")
                        + std::to_string(result.image_token) + (image_key ? " is" : ",") + " beyond the embedding's "
                        + std::to_string(rows) + " rows");
    if (!found.empty()) throw format_error(root.place() + detail::joined(found));

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
[[nodiscard]] inline read_result read(std::filesystem::path const& path) {
    return read(read_json(path, {.bytes = std::size_t{4} << 20}), path.string());
}

} // namespace llamavision::config
