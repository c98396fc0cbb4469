// SPDX-License-Identifier: Apache-2.0
// Reads Meta's `params.json` (Meta: models/llama3/args.py). It says less than a `config.json`: of the vision tower only
// the tile's size, and nothing of a text model's head. The rest stands in Meta's code, and here.
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

/// Width of SwiGLU's hidden layer (Meta: FeedForward.__init__, called with hidden_dim = 4 · dim): two thirds of that,
/// times the multiplier, rounded up to a multiple. Both products lose what stands behind the point. Nothing if the
/// result is no reasonable number.
[[nodiscard]] inline std::optional<std::size_t> feed_forward_width(std::size_t dim, std::size_t multiple_of,
                                                                   std::optional<double> multiplier) {
    double width = std::trunc(8.0 * static_cast<double>(dim) / 3.0);
    if (multiplier) width = std::trunc(*multiplier * width);
    if (!(width >= 1) || width > static_cast<double>(config::extent_limit)) return std::nullopt;
    auto const whole = static_cast<std::size_t>(width);
    return round_up(whole, multiple_of);
}

/// Merged indices of `cross` layers that are spread over `self` ones (Meta: CrossAttentionTransformerText,
/// _init_fusion_schedule): they precede every k-th self layer, counted from the last one, k = ceil(self / cross).
/// Nothing if there are not so many places.
[[nodiscard]] inline std::optional<std::vector<std::size_t>> spread_cross_layers(std::size_t self, std::size_t cross) {
    std::vector<std::size_t> result;
    if (cross == 0) return result;
    std::size_t const k = ceil_div(self, cross);
    if (self == 0 || (cross - 1) * k >= self) return std::nullopt;
    for (std::size_t j = 0; j < cross; ++j) result.push_back(self - 1 - (cross - 1 - j) * k + j);
    return result;
}

namespace detail {

/// Number of cross-attention layers: a key of its own, or (older) within the adapter's object. Nothing if neither is
/// there, or -1 as Meta's own default is.
[[nodiscard]] inline std::optional<std::size_t> read_cross_count(json_view const& root) {
    if (auto const value = root.find("vision_num_cross_attention_layers"); value && value->json() != -1)
        return value->positive(10000);
    auto const vision = root.find("vision_model");
    auto const adapter = vision ? vision->find("cross_attention_adapter") : std::nullopt;
    auto const value = adapter ? adapter->find("num_layers") : std::nullopt;
    return value ? std::optional(value->positive(10000)) : std::nullopt;
}

/// What the params.json of a text model and of a model that sees have in common. `layers` are those of self-attention.
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
    t.rope.scaled = scaled && scaled->boolean(); // Meta: apply_scaling, whose numbers are those of rope_numbers

    std::size_t const multiple = extent_or(root, "multiple_of", 256);
    std::optional<double> multiplier;
    if (auto const value = root.find("ffn_dim_multiplier")) multiplier = value->positive_number();
    auto const mlp = feed_forward_width(t.width, multiple, multiplier);
    if (!mlp) throw format_error(root.place() + "dim, multiple_of and ffn_dim_multiplier make no feed-forward width");
    t.mlp = *mlp;
    return t;
}

/// Puts `cross` layers of cross-attention among those of self-attention.
inline void add_cross_layers(config::text_numbers& t, std::size_t cross, json_view const& root) {
    auto const spread = spread_cross_layers(t.layers, cross);
    if (!spread)
        throw format_error(root.place() + std::to_string(cross) + " cross-attention layers cannot be spread over "
                           + std::to_string(t.layers) + " layers of self-attention as Meta's code does");
    t.layers += cross;
    t.cross_layers = *spread;
}

/// The factor that scales the rotary frequencies of a published text model, which params.json does not say: Meta's code
/// has always 8, but the config.json of Llama 3.2 1B and 3B says 32 (transformers: convert_llama_weights). Nothing for
/// a model of another size.
[[nodiscard]] inline std::optional<double> published_rope_factor(config::text_numbers const& t) {
    auto const is = [&t](std::size_t width, std::size_t layers) { return t.width == width && t.layers == layers; };
    if (is(2048, 16) || is(3072, 28)) return 32.0;
    if (is(4096, 32) || is(8192, 80) || is(16384, 126)) return 8.0;
    return std::nullopt;
}

/// What contradicts itself, in the words of `params.json`.
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

/// Meta: multimodal/model.py, VisionEncoder, where every published model has the same tower.
[[nodiscard]] inline config::vision_numbers published_tower(std::size_t tile, std::size_t tiles) {
    return {1280, 5120, 16, 32, 8, tile, 14, 3, tiles, {3, 7, 15, 23, 30}, config::all_arrangements(tiles), 1e-5};
}

} // namespace detail

/// Reads `document`, called `file` in errors: of a model that sees if it names cross-attention layers, else of a text
/// model. The tower is that of the published models, whatever the file's own is, and the head of a text model is one of
/// its own: fit_to_tensors puts both right. Special tokens are where Meta's tokenizer puts them, in the last 256 places
/// of the vocabulary, and answers end where Instruct's end.
/// @throws format_error for wrong types and numbers that contradict each other, mismatch_error for quantised weights
/// and
///         for a model that takes pictures without cross-attention
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
    config::numbers known = values; // the tower's own patches are not known yet
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

/// Reads the file `path`. Throws as above, and file_error.
[[nodiscard]] inline model_config read_params(std::filesystem::path const& path) {
    return read_params(read_json(path, {.bytes = std::size_t{1} << 20}), path.string());
}

} // namespace llamavision::checkpoint
