// SPDX-License-Identifier: Apache-2.0
// The model's numbers as GGUF's keys, `mllama.*`, and back.
#pragma once

#include <llamavision/checkpoint/container/gguf.hpp>
#include <llamavision/checkpoint/form/hugging_face/config.hpp>
#include <llamavision/checkpoint/tensor.hpp>
#include <llamavision/checkpoint/write/gguf.hpp>
#include <llamavision/config/check.hpp>
#include <llamavision/config/configuration.hpp>
#include <llamavision/config/rope.hpp>
#include <llamavision/support/error.hpp>
#include <llamavision/support/listed.hpp>
#include <llamavision/support/quoted.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace llamavision::checkpoint {

/// By what each of the head_dim / 2 frequencies is divided: what `rope_freqs.weight` holds (ollama: ropeFactors).
[[nodiscard]] inline std::vector<float> rope_factors(config::rope_numbers rope, std::size_t head_dim) {
    auto const scaled = config::rope_frequencies<double>(rope, head_dim);
    rope.scaled = false;
    auto const plain = config::rope_frequencies<double>(rope, head_dim);
    std::vector<float> factors;
    for (std::size_t i = 0; i < scaled.size(); ++i) factors.push_back(static_cast<float>(plain[i] / scaled[i]));
    return factors;
}

namespace detail {

/// Keys of a model file and, if there are two, of its projector.
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

[[nodiscard]] inline config::text_numbers read_gguf_text(gguf_key_reader const& keys, named_tensors const& tensors) {
    config::text_numbers t;
    std::string const at = "mllama.";
    t.width = keys.extent(at + "embedding_length");
    t.mlp = keys.extent(at + "feed_forward_length");
    t.heads = keys.extent(at + "attention.head_count");
    t.kv_heads = keys.extent(at + "attention.head_count_kv", t.heads);
    t.layers = keys.extent(at + "block_count");
    t.cross_layers = keys.at(at + "attention.cross_attention_layers").naturals(config::extent_limit);
    t.context = static_cast<std::size_t>(keys.at(at + "context_length").positive(INT32_MAX));
    t.norm_eps = keys.epsilon(at + "attention.layer_norm_rms_epsilon");
    t.rope.theta = keys.positive(at + "rope.freq_base", 500000.0);
    auto const head = tensors.tensors.find("output.weight");
    if (head != tensors.tensors.end() && !head->second.shape.empty()) // later files have no key, older ones a wrong one
        t.vocabulary = head->second.shape.front();
    else
        t.vocabulary = keys.extent(at + "vocab_size");
    return t;
}

/// GGUF has no key for the scaling of rotary frequencies but the factors themselves. Those of the published models are
/// recognised; others are refused. Throws mismatch_error.
inline void read_gguf_rope(config::text_numbers& t, named_tensors const& tensors, std::string const& file) {
    auto const found = tensors.tensors.find("rope_freqs.weight");
    t.rope.scaled = found != tensors.tensors.end();
    if (!t.rope.scaled) return;
    tensor const& stored = found->second;
    auto const expected = rope_factors(t.rope, t.width / t.heads);
    std::string const place = file + ": the tensor \"rope_freqs.weight\" ";
    if (stored.type != dtype::f32 || values_of(stored) != expected.size())
        throw mismatch_error(place + "is not " + std::to_string(expected.size()) + " values of F32, one for each pair");
    for (std::size_t i = 0; i < expected.size(); ++i) {
        float factor = 0;
        std::memcpy(&factor, stored.bytes.data() + i * sizeof factor, sizeof factor);
        if (!(std::abs(factor - expected[i]) <= 1e-3f * expected[i]))
            throw mismatch_error(
                place + "divides frequency " + std::to_string(i) + " by " + std::to_string(factor)
                + ", but the scaling of Llama 3.2 (factor 8, from 1 to 4, of 8192 positions) divides it by "
                + std::to_string(expected[i]));
    }
}

} // namespace detail

/// The numbers of a model file and, if there are two, its projector. Throws format_error for keys that are missing, of
/// another type or contradict each other, mismatch_error for another architecture.
[[nodiscard]] inline model_config read_gguf_config(gguf_content const& model, gguf_content const* projector,
                                                   std::string const& file) {
    detail::gguf_key_reader const keys(model, projector, file);
    if (auto const architecture = keys.at("general.architecture").text(); architecture != "mllama")
        throw mismatch_error(file + ": is a model of the architecture " + in_quotes(architecture)
                             + ", but this library runs \"mllama\" (Llama 3.2 Vision)");
    model_config result;
    result.values.vision = detail::read_gguf_vision(keys);
    result.values.text = detail::read_gguf_text(keys, model.content);
    if (auto const found = config::contradictions(result.values); !found.empty())
        throw format_error(file + ": " + joined(found));
    detail::read_gguf_rope(result.values.text, model.content, file);
    result.image_token = static_cast<std::int32_t>(result.values.text.vocabulary);

    auto const id = [&](std::string_view key) -> std::optional<std::int32_t> {
        auto const* const value = keys.find(key);
        if (!value) return std::nullopt;
        return static_cast<std::int32_t>(value->natural(INT32_MAX));
    };
    if (auto const* const ids = keys.find("tokenizer.ggml.eos_token_ids"))
        for (std::size_t const stop : ids->naturals(INT32_MAX))
            result.stop_ids.push_back(static_cast<std::int32_t>(stop));
    if (auto const stop = id("tokenizer.ggml.eos_token_id");
        stop && std::find(result.stop_ids.begin(), result.stop_ids.end(), *stop) == result.stop_ids.end())
        result.stop_ids.push_back(*stop);
    result.bos = id("tokenizer.ggml.bos_token_id");
    result.pad = id("tokenizer.ggml.padding_token_id");
    return result;
}

/// The keys that read_gguf_config reads, with `general.architecture` first.
inline void add_gguf_config(gguf_to_write& file, model_config const& model) {
    auto const add = [&](std::string_view key, gguf_value_to_write value) {
        file.keys.emplace_back("mllama." + std::string(key), std::move(value));
    };
    auto const whole = [](std::size_t number) { return static_cast<std::uint32_t>(number); };
    auto const indices = [](std::vector<std::size_t> const& from) {
        return std::vector<std::int32_t>(from.begin(), from.end());
    };
    auto const& t = model.values.text;
    auto const& v = model.values.vision;
    file.keys.emplace_back("general.architecture", std::string("mllama"));
    add("block_count", whole(t.layers));
    add("context_length", whole(t.context));
    add("embedding_length", whole(t.width));
    add("feed_forward_length", whole(t.mlp));
    add("attention.head_count", whole(t.heads));
    add("attention.head_count_kv", whole(t.kv_heads));
    add("attention.layer_norm_rms_epsilon", static_cast<float>(t.norm_eps));
    add("attention.cross_attention_layers", indices(t.cross_layers));
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
