// SPDX-License-Identifier: Apache-2.0
// Reads Meta's `params.json` (Meta: models/llama3/args.py). It says less than a `config.json`: of the vision tower only
// the size of a tile, and nothing about a text model's head. The other numbers are in Meta's code, and here.
#pragma once

#include <llamavision/checkpoint/form/hugging_face/config.hpp>
#include <llamavision/config/check.hpp>
#include <llamavision/config/configuration.hpp>
#include <llamavision/config/numbers.hpp>
#include <llamavision/support/ceil_div.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/json.hpp>
#include <llamavision/support/json_view.hpp>
#include <llamavision/support/listed.hpp>

#include <cmath>
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

/// Width of SwiGLU's hidden layer (Meta: FeedForward.__init__ with hidden_dim = 4 · dim): int(int(2/3 · 4 · dim) ·
/// multiplier), rounded up to a multiple of multiple_of. Empty if the result is 0 or above config::extent_limit.
[[nodiscard]] inline std::optional<std::size_t> feed_forward_width(std::size_t dim, std::size_t multiple_of,
                                                                   std::optional<double> multiplier) {
    double width = std::trunc(8.0 * static_cast<double>(dim) / 3.0);
    if (multiplier) width = std::trunc(*multiplier * width);
    if (!(width >= 1) || width > static_cast<double>(config::extent_limit)) return std::nullopt;
    auto const whole = static_cast<std::size_t>(width);
    return round_up(whole, multiple_of);
}

/// Merged indices of `cross` cross-attention layers among `self` self-attention layers (Meta:
/// CrossAttentionTransformerText, _init_fusion_schedule): each precedes every k-th self-attention layer, counted back
/// from the last one, with k = ceil(self / cross). Empty if there are not enough places.
[[nodiscard]] inline std::optional<std::vector<std::size_t>> spread_cross_layers(std::size_t self, std::size_t cross) {
    std::vector<std::size_t> result;
    if (cross == 0) return result;
    std::size_t const k = ceil_div(self, cross);
    if (self == 0 || (cross - 1) * k >= self) return std::nullopt;
    for (std::size_t j = 0; j < cross; ++j) result.push_back(self - 1 - (cross - 1 - j) * k + j);
    return result;
}

namespace detail {

/// Number of cross-attention layers: under a key of its own, or in older files within the object of the adapter. Empty
/// if there is neither, or the value is -1, which is Meta's default.
[[nodiscard]] inline std::optional<std::size_t> read_cross_count(json_view const& root) {
    if (auto const value = root.find("vision_num_cross_attention_layers"); value && value->json() != -1)
        return value->positive(10000);
    auto const vision = root.find("vision_model");
    auto const adapter = vision ? vision->find("cross_attention_adapter") : std::nullopt;
    auto const value = adapter ? adapter->find("num_layers") : std::nullopt;
    return value ? std::optional(value->positive(10000)) : std::nullopt;
}

/// Reads the keys that the params.json of both families have. The result's `layers` are those of self-attention.
[[nodiscard]] inline config::text_numbers read_params_text(json_view const& root) {
    config::text_numbers t; // absent keys: the defaults of Meta's ModelArgs
    t.width = root.at("dim").positive(config::extent_limit);
    t.layers = root.at("n_layers").positive(10000);
    t.heads = root.at("n_heads").positive(config::extent_limit);
    t.kv_heads = extent_or(root, "n_kv_heads", t.heads);
    t.vocabulary = root.at("vocab_size").positive(std::uint64_t{1} << 24);
    t.norm_eps = epsilon_or(root, "norm_eps", 1e-5);
    t.rope.theta = 500000.0;
    if (auto const value = root.find("rope_theta")) t.rope.theta = value->positive_number();
    auto const scaled = root.find("use_scaled_rope");
    t.rope.scaled =
        scaled && scaled->boolean(); // Meta: apply_scaling; its constants are the initial values of rope_numbers

    std::size_t const multiple = extent_or(root, "multiple_of", 256);
    std::optional<double> multiplier;
    if (auto const value = root.find("ffn_dim_multiplier")) multiplier = value->positive_number();
    auto const mlp = feed_forward_width(t.width, multiple, multiplier);
    if (!mlp) throw format_error(root.place() + "dim, multiple_of and ffn_dim_multiplier make no feed-forward width");
    t.mlp = *mlp;
    return t;
}

/// Adds `cross` cross-attention layers to `t`.
inline void add_cross_layers(config::text_numbers& t, std::size_t cross, json_view const& root) {
    auto const spread = spread_cross_layers(t.layers, cross);
    if (!spread)
        throw format_error(root.place() + std::to_string(cross) + " cross-attention layers cannot be spread over "
                           + std::to_string(t.layers) + " layers of self-attention as Meta's code does");
    t.layers += cross;
    t.cross_layers = *spread;
}

/// The factor that scales the rotary frequencies of a published text model, told by its size; empty for other sizes.
/// params.json does not say it. Meta's code has 8 for all models, but the config.json of Llama 3.2 1B and 3B says 32
/// (transformers: convert_llama_weights_to_hf.py).
[[nodiscard]] inline std::optional<double> published_rope_factor(config::text_numbers const& t) {
    auto const is = [&t](std::size_t width, std::size_t layers) { return t.width == width && t.layers == layers; };
    if (is(2048, 16) || is(3072, 28)) return 32.0;
    if (is(4096, 32) || is(8192, 80) || is(16384, 126)) return 8.0;
    return std::nullopt;
}

/// config::contradictions with the keys of params.json in place of those of config.json.
[[nodiscard]] inline std::vector<std::string> params_contradictions(config::numbers const& n) {
    auto found = config::contradictions(n);
    std::string const text = n.kind == config::family::mllama ? "text_config." : "";
    std::pair<std::string, std::string_view> const spellings[] = {
        {text + "hidden_size", "dim"},
        {text + "num_attention_heads", "n_heads"},
        {text + "num_key_value_heads", "n_kv_heads"},
        {"num_attention_heads", "n_heads"},
        {"vision_config.image_size", "vision_chunk_size"},
        {"vision_config.patch_size", "the size of a patch,"},
    };
    for (std::string& sentence : found)
        for (auto const& [theirs, ours] : spellings)
            for (std::size_t at; (at = sentence.find(theirs)) != std::string::npos;)
                sentence.replace(at, theirs.size(), ours);
    return found;
}

/// The tower of every published model (Meta: multimodal/model.py, VisionEncoder).
[[nodiscard]] inline config::vision_numbers published_tower(std::size_t tile, std::size_t tiles) {
    return {1280, 5120, 16, 32, 8, tile, 14, 3, tiles, {3, 7, 15, 23, 30}, config::all_arrangements(tiles), 1e-5};
}

} // namespace detail

/// Reads the content of a params.json, which is called `file` in errors. It describes Llama 3.2 Vision if it says a
/// number of cross-attention layers, else a text model. Two parts of the result are assumptions that fit_to_tensors
/// corrects: the tower is the published one, and a text model's head is not tied. Special tokens are in the last 256
/// places of the vocabulary, as in Meta's tokenizer, and the stop ids are those of the Instruct models.
/// @throws format_error for values of a wrong type and for numbers that contradict each other; mismatch_error for
///         quantised or adapted weights, and for a model with pictures but without cross-attention
[[nodiscard]] inline model_config read_params(nlohmann::json const& document, std::string const& file) {
    json_view const outer(document, file);
    auto const inner = outer.find("model");
    json_view const root = inner && inner->json().is_object() ? *inner : outer;
    for (char const* const key : {"quantization_args", "lora_args"})
        if (root.find(key))
            throw mismatch_error(root.place() + key
                                 + ": quantised or adapted weights in Meta's form are not "
                                   "supported; use the original model");
    model_config result;
    result.unstated = {"text.context"};
    auto& values = result.values;
    values.text = detail::read_params_text(root);
    auto const cross = detail::read_cross_count(root);
    auto const chunk = root.find("vision_chunk_size");
    if (cross) {
        detail::add_cross_layers(values.text, *cross, root);
        values.vision = detail::published_tower(root.at("vision_chunk_size").positive(16384),
                                                detail::extent_or(root, "vision_max_num_chunks", 4, 64));
    } else if (chunk && chunk->json() != -1) {
        throw mismatch_error(root.place()
                             + "names the size of a picture's tiles (vision_chunk_size), but no cross-attention layers "
                               "(vision_num_cross_attention_layers)");
    } else {
        values.kind = config::family::llama;
        result.text_alone = true;
        auto const factor = detail::published_rope_factor(values.text);
        values.text.rope.factor = factor.value_or(config::rope_numbers{}.factor);
        result.unstated.push_back("text.rope.factor");
        if (values.text.rope.scaled && !factor)
            result.warnings.push_back(root.place()
                                      + "does not say by what factor the rotary frequencies are scaled, and the model "
                                        "has the size of no published one; 8 is taken, which Meta's code has, unless "
                                        "the program's configuration says otherwise");
    }
    config::numbers known = values; // without the patches of the tower, which only tensors tell
    known.vision.tile = known.vision.patch;
    if (auto const found = detail::params_contradictions(known); !found.empty())
        throw format_error(root.place() + joined(found));
    auto const vocabulary = static_cast<std::int32_t>(values.text.vocabulary);
    result.image_token = vocabulary;
    if (vocabulary > 256) {
        std::int32_t const first = vocabulary - 256; // <|begin_of_text|>
        result.bos = first;
        result.pad = first + 4;                              // <|finetune_right_pad_id|>
        result.stop_ids = {first + 1, first + 8, first + 9}; // <|end_of_text|>, <|eom_id|>, <|eot_id|>
    }
    result.dtype = "bfloat16";
    return result;
}

/// Reads the file `path`.
/// @throws as above, and file_error
[[nodiscard]] inline model_config read_params(std::filesystem::path const& path) {
    return read_params(read_json(path, {.bytes = std::size_t{1} << 20}), path.string());
}

} // namespace llamavision::checkpoint
