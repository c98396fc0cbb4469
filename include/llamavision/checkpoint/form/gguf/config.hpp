// SPDX-License-Identifier: Apache-2.0
// Reads and writes the model's numbers as GGUF's keys: `mllama.*` (ollama) or `llama.*` (llama.cpp).
#pragma once

#include <llamavision/checkpoint/container/gguf.hpp>
#include <llamavision/checkpoint/form/gguf/rope.hpp>
#include <llamavision/checkpoint/model_config.hpp>
#include <llamavision/checkpoint/tensor.hpp>
#include <llamavision/checkpoint/tied_head.hpp>
#include <llamavision/checkpoint/write/gguf.hpp>
#include <llamavision/config/arrangements.hpp>
#include <llamavision/config/check.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/listed.hpp>
#include <llamavision/support/print_number.hpp>
#include <llamavision/support/quoted.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace llamavision::checkpoint {

namespace detail {

/// The keys of a model file and, if there are two files, of its projector.
class gguf_key_reader {
  public:
    gguf_key_reader(gguf_content const& model, gguf_content const* projector, std::string file)
        : model_(model), projector_(projector), file_(std::move(file)) {}

    [[nodiscard]] gguf_value const* find(std::string_view key) const {
        auto const* const value = model_.find(key);
        return value || !projector_ ? value : projector_->find(key);
    }
    [[nodiscard]] gguf_value const& at(std::string_view key) const {
        if (auto const* const value = find(key)) return *value;
        throw format_error(file_ + ": the key \"" + std::string(key) + "\" is missing");
    }
    [[nodiscard]] std::size_t extent(std::string_view key) const {
        return static_cast<std::size_t>(at(key).positive(config::extent_limit));
    }
    [[nodiscard]] std::size_t extent(std::string_view key, std::size_t otherwise) const {
        return find(key) ? extent(key) : otherwise;
    }
    [[nodiscard]] double positive(std::string_view key, double otherwise) const {
        auto const* const value = find(key);
        if (!value) return otherwise;
        double const number = value->number();
        if (!(number > 0)) value->fail("a positive number");
        return number;
    }
    [[nodiscard]] double epsilon(std::string_view key) const {
        double const number = positive(key, 1e-5);
        if (!(number >= config::least_epsilon && number <= config::largest_epsilon))
            find(key)->fail("a number from 1e-30 to 0.1, found " + print_number(number));
        return number;
    }

  private:
    gguf_content const& model_;
    gguf_content const* projector_;
    std::string file_;
};

[[nodiscard]] inline config::vision_numbers read_gguf_vision(gguf_key_reader const& keys) {
    config::vision_numbers v;
    std::string const at = "mllama.vision.";
    v.width = keys.extent(at + "embedding_length");
    v.mlp = keys.extent(at + "feed_forward_length");
    v.heads = keys.extent(at + "attention.head_count");
    v.layers = keys.extent(at + "block_count");
    v.global_layers = keys.extent(at + "global.block_count");
    v.tile = keys.extent(at + "image_size");
    v.patch = keys.extent(at + "patch_size");
    v.channels = keys.extent(at + "num_channels", 3);
    v.tiles = static_cast<std::size_t>(keys.at(at + "max_num_tiles").positive(64));
    v.taps = keys.at(at + "intermediate_layers_indices").naturals(config::extent_limit);
    v.aspect_ratios = config::all_arrangements(v.tiles);
    v.norm_eps = keys.epsilon(at + "attention.layer_norm_epsilon");
    return v;
}

/// Reads the keys that both architectures have.
/// @param at "mllama." or "llama."
/// @param theta the default, for a file without rope.freq_base
[[nodiscard]] inline config::text_numbers read_gguf_text(gguf_key_reader const& keys, std::string const& at,
                                                         double theta) {
    config::text_numbers t;
    t.width = keys.extent(at + "embedding_length");
    t.mlp = keys.extent(at + "feed_forward_length");
    t.heads = keys.extent(at + "attention.head_count");
    t.kv_heads = keys.extent(at + "attention.head_count_kv", t.heads);
    t.layers = keys.extent(at + "block_count");
    t.context = static_cast<std::size_t>(keys.at(at + "context_length").positive(INT32_MAX));
    t.norm_eps = keys.epsilon(at + "attention.layer_norm_rms_epsilon");
    t.rope.theta = keys.positive(at + "rope.freq_base", theta);
    return t;
}

/// The number of rows of the tensor `name`; if there is no such tensor, the value of `key`. (Newer files lack the key,
/// and in older ones it is wrong.)
[[nodiscard]] inline std::size_t rows_or_key(named_tensors const& tensors, std::string_view name,
                                             gguf_key_reader const& keys, std::string const& key) {
    auto const at = tensors.tensors.find(name);
    return at != tensors.tensors.end() && !at->second.shape.empty() ? at->second.shape.front() : keys.extent(key);
}

/// Refuses what a file of the architecture "llama" may ask for and this library does not do (llama.cpp:
/// llama_model::load_hparams).
/// @throws mismatch_error
inline void refuse_other_llamas(gguf_key_reader const& keys, config::text_numbers const& t, std::string const& file) {
    std::vector<std::string> unsupported;
    std::size_t const head = t.width / t.heads;
    for (char const* const key :
         {"llama.rope.dimension_count", "llama.attention.key_length", "llama.attention.value_length"})
        if (auto const* const value = keys.find(key); value && value->natural() != head)
            unsupported.push_back(std::string(key) + " " + std::to_string(value->natural())
                                  + " is not embedding_length over head_count, " + std::to_string(head));
    if (auto const* const experts = keys.find("llama.expert_count"); experts && experts->natural() != 0)
        unsupported.push_back("llama.expert_count: a mixture of experts is not supported");
    if (auto const* const type = keys.find("llama.rope.scaling.type"); type && type->text() != "none")
        unsupported.push_back("llama.rope.scaling.type " + in_quotes(type->text())
                              + " is not supported, only that of the tensor rope_freqs.weight is");
    if (keys.find("llama.rope.scale_linear"))
        unsupported.push_back("llama.rope.scale_linear: positions that are scaled linearly are not supported");
    if (!unsupported.empty()) throw mismatch_error(file + ": " + joined(unsupported));
}

[[nodiscard]] inline config::numbers read_mllama_keys(gguf_key_reader const& keys, named_tensors const& tensors) {
    config::numbers n;
    n.vision = read_gguf_vision(keys);
    n.text = read_gguf_text(keys, "mllama.", 500000.0);
    n.text.cross_layers = keys.at("mllama.attention.cross_attention_layers").naturals(config::extent_limit);
    n.text.vocabulary = rows_or_key(tensors, "output.weight", keys, "mllama.vocab_size");
    return n;
}

[[nodiscard]] inline config::numbers read_llama_keys(gguf_key_reader const& keys, named_tensors const& tensors) {
    config::numbers n;
    n.kind = config::family::llama;
    n.text = read_gguf_text(keys, "llama.", 10000.0);
    n.text.vocabulary = rows_or_key(tensors, "token_embd.weight", keys, "llama.vocab_size");
    n.text.tied_head = is_head_tied(tensors, "output.weight", "token_embd.weight");
    return n;
}

} // namespace detail

/// The family that a file's general.architecture names.
/// @throws format_error if there is no such key, mismatch_error for another architecture
[[nodiscard]] inline config::family gguf_family(gguf_content const& model, std::string const& file) {
    auto const* const key = model.find("general.architecture");
    if (!key) throw format_error(file + ": the key \"general.architecture\" is missing");
    for (auto const kind : {config::family::mllama, config::family::llama})
        if (key->text() == name_of(kind)) return kind;
    throw mismatch_error(file + ": is a model of the architecture " + in_quotes(key->text())
                         + ", but this library runs \"mllama\" (Llama 3.2 Vision) and \"llama\" (its text models)");
}

/// Reads the numbers of a model file and, if there are two files, of its projector. `file` is the checkpoint's name in
/// errors.
/// @throws format_error for keys that are missing, have another type or contradict each other; mismatch_error for
///         another architecture and for what this library does not support
[[nodiscard]] inline model_config read_gguf_config(gguf_content const& model, gguf_content const* projector,
                                                   std::string const& file) {
    detail::gguf_key_reader const keys(model, projector, file);
    model_config result;
    result.text_alone = gguf_family(model, file) == config::family::llama;
    result.values = result.text_alone ? detail::read_llama_keys(keys, model.content)
                                      : detail::read_mllama_keys(keys, model.content);
    if (auto const found = config::contradictions(result.values); !found.empty())
        throw format_error(file + ": " + joined(found));
    if (result.text_alone) detail::refuse_other_llamas(keys, result.values.text, file);
    read_gguf_rope(result.values.text, model.content, file);
    result.image_token = static_cast<std::int32_t>(result.values.text.vocabulary);

    auto const id = [&](std::string_view key) -> std::optional<std::int32_t> {
        auto const* const value = keys.find(key);
        if (!value) return std::nullopt;
        return static_cast<std::int32_t>(value->natural(INT32_MAX));
    };
    if (auto const* const ids = keys.find("tokenizer.ggml.eos_token_ids"))
        for (std::size_t const stop : ids->naturals(INT32_MAX))
            result.stop_ids.push_back(static_cast<std::int32_t>(stop));
    for (char const* const key :
         {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"})
        if (auto const stop = id(key);
            stop && std::find(result.stop_ids.begin(), result.stop_ids.end(), *stop) == result.stop_ids.end())
            result.stop_ids.push_back(*stop);
    result.bos = id("tokenizer.ggml.bos_token_id");
    result.pad = id("tokenizer.ggml.padding_token_id");
    return result;
}

/// Adds the keys that read_gguf_config reads, `general.architecture` first.
inline void add_gguf_config(gguf_to_write& file, model_config const& model) {
    std::string const architecture(name_of(model.values.kind));
    bool const sees = model.values.kind == config::family::mllama;
    auto const add = [&](std::string_view key, gguf_value_to_write value) {
        file.keys.emplace_back(architecture + "." + std::string(key), std::move(value));
    };
    auto const whole = [](std::size_t number) { return static_cast<std::uint32_t>(number); };
    auto const indices = [](std::vector<std::size_t> const& from) {
        return std::vector<std::int32_t>(from.begin(), from.end());
    };
    auto const& t = model.values.text;
    auto const& v = model.values.vision;
    file.keys.emplace_back("general.architecture", architecture);
    add("block_count", whole(t.layers));
    add("context_length", whole(t.context));
    add("embedding_length", whole(t.width));
    add("feed_forward_length", whole(t.mlp));
    add("attention.head_count", whole(t.heads));
    add("attention.head_count_kv", whole(t.kv_heads));
    add("attention.layer_norm_rms_epsilon", static_cast<float>(t.norm_eps));
    if (sees) add("attention.cross_attention_layers", indices(t.cross_layers));
    add("rope.dimension_count", whole(t.width / t.heads));
    add("rope.freq_base", static_cast<float>(t.rope.theta));
    add("vocab_size", whole(t.vocabulary));
    if (model.text_alone) return;
    add("vision.block_count", whole(v.layers));
    add("vision.global.block_count", whole(v.global_layers));
    add("vision.intermediate_layers_indices", indices(v.taps));
    add("vision.embedding_length", whole(v.width));
    add("vision.feed_forward_length", whole(v.mlp));
    add("vision.attention.head_count", whole(v.heads));
    add("vision.attention.layer_norm_epsilon", static_cast<float>(v.norm_eps));
    add("vision.image_size", whole(v.tile));
    add("vision.patch_size", whole(v.patch));
    add("vision.max_num_tiles", whole(v.tiles));
    add("vision.num_channels", whole(v.channels));
}

} // namespace llamavision::checkpoint
