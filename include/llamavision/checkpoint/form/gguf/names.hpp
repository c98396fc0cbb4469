// SPDX-License-Identifier: Apache-2.0
// The table of GGUF's names of tensors and Hugging Face's. It serves both directions.
#pragma once

#include <llamavision/config/numbers.hpp>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace llamavision::checkpoint {

namespace detail {

struct name_pair {
    std::string_view gguf, hugging_face;
};

/// Names outside of layers. Source: ollama, convert_mllama.go and convert_llama.go, Replacements().
inline constexpr name_pair gguf_whole_names[] = {
    {"token_embd.weight", "language_model.model.embed_tokens.weight"},
    {"output_norm.weight", "language_model.model.norm.weight"},
    {"output.weight", "language_model.lm_head.weight"},
    {"mm.0.weight", "multi_modal_projector.weight"},
    {"mm.0.bias", "multi_modal_projector.bias"},
    {"v.class_embd", "vision_model.class_embedding"},
    {"v.patch_embd.weight", "vision_model.patch_embedding.weight"},
    {"v.position_embd.weight", "vision_model.gated_positional_embedding.embedding"},
    {"v.position_embd.gate", "vision_model.gated_positional_embedding.gate"},
    {"v.tile_position_embd.weight", "vision_model.gated_positional_embedding.tile_embedding.weight"},
    {"v.pre_tile_position_embd.weight", "vision_model.pre_tile_positional_embedding.embedding.weight"},
    {"v.pre_tile_position_embd.gate", "vision_model.pre_tile_positional_embedding.gate"},
    {"v.post_tile_position_embd.weight", "vision_model.post_tile_positional_embedding.embedding.weight"},
    {"v.post_tile_position_embd.gate", "vision_model.post_tile_positional_embedding.gate"},
    {"v.pre_ln.weight", "vision_model.layernorm_pre.weight"},
    {"v.pre_ln.bias", "vision_model.layernorm_pre.bias"},
    {"v.post_ln.weight", "vision_model.layernorm_post.weight"},
    {"v.post_ln.bias", "vision_model.layernorm_post.bias"},
};

inline constexpr std::string_view text_prefix = "language_model.";
inline constexpr name_pair gguf_text_layers = {"blk.", "language_model.model.layers."};
inline constexpr name_pair gguf_text_names[] = {
    {"attn_q.weight", "self_attn.q_proj.weight"},
    {"attn_k.weight", "self_attn.k_proj.weight"},
    {"attn_v.weight", "self_attn.v_proj.weight"},
    {"attn_output.weight", "self_attn.o_proj.weight"},
    {"cross_attn_q_proj.weight", "cross_attn.q_proj.weight"},
    {"cross_attn_k_proj.weight", "cross_attn.k_proj.weight"},
    {"cross_attn_v_proj.weight", "cross_attn.v_proj.weight"},
    {"cross_attn_o_proj.weight", "cross_attn.o_proj.weight"},
    {"cross_attn_q_norm.weight", "cross_attn.q_norm.weight"},
    {"cross_attn_k_norm.weight", "cross_attn.k_norm.weight"},
    {"cross_attn_attn_gate", "cross_attn_attn_gate"},
    {"cross_attn_mlp_gate", "cross_attn_mlp_gate"},
    {"attn_norm.weight", "input_layernorm.weight"},
    {"ffn_norm.weight", "post_attention_layernorm.weight"},
    {"ffn_gate.weight", "mlp.gate_proj.weight"},
    {"ffn_up.weight", "mlp.up_proj.weight"},
    {"ffn_down.weight", "mlp.down_proj.weight"},
};

inline constexpr name_pair gguf_tower_layers[] = {{"v.blk.", "vision_model.transformer.layers."},
                                                  {"v.global.blk.", "vision_model.global_transformer.layers."}};
inline constexpr name_pair gguf_tower_names[] = {
    {"attn_q.weight", "self_attn.q_proj.weight"},
    {"attn_k.weight", "self_attn.k_proj.weight"},
    {"attn_v.weight", "self_attn.v_proj.weight"},
    {"attn_output.weight", "self_attn.o_proj.weight"},
    {"attn_norm.weight", "input_layernorm.weight"},
    {"attn_norm.bias", "input_layernorm.bias"},
    {"ffn_norm.weight", "post_attention_layernorm.weight"},
    {"ffn_norm.bias", "post_attention_layernorm.bias"},
    {"ffn_up.weight", "mlp.fc1.weight"},
    {"ffn_up.bias", "mlp.fc1.bias"},
    {"ffn_down.weight", "mlp.fc2.weight"},
    {"ffn_down.bias", "mlp.fc2.bias"},
    {"attn_gate", "gate_attn"},
    {"ffn_gate", "gate_ffn"},
};
/// The tower's names in projector files, where "down" is the first product of the MLP (ollama 0.4: llama/mllama.cpp).
inline constexpr name_pair gguf_projector_names[] = {
    {"attn_q.weight", "self_attn.q_proj.weight"},
    {"attn_k.weight", "self_attn.k_proj.weight"},
    {"attn_v.weight", "self_attn.v_proj.weight"},
    {"attn_out.weight", "self_attn.o_proj.weight"},
    {"ln1.weight", "input_layernorm.weight"},
    {"ln1.bias", "input_layernorm.bias"},
    {"ln2.weight", "post_attention_layernorm.weight"},
    {"ln2.bias", "post_attention_layernorm.bias"},
    {"ffn_down.weight", "mlp.fc1.weight"},
    {"ffn_down.bias", "mlp.fc1.bias"},
    {"ffn_up.weight", "mlp.fc2.weight"},
    {"ffn_up.bias", "mlp.fc2.bias"},
    {"attn_gate", "gate_attn"},
    {"ffn_gate", "gate_ffn"},
};

/// The name beside `name`, which is in the column `from`; empty if it is in no table.
[[nodiscard]] inline std::optional<std::string> renamed(std::string_view name, std::string_view name_pair::*from,
                                                        bool projector) {
    auto const to = from == &name_pair::gguf ? &name_pair::hugging_face : &name_pair::gguf;
    auto const look_up = [&](std::span<name_pair const> table, std::string_view what) -> std::string_view {
        auto const at = std::find_if(table.begin(), table.end(), [&](name_pair const& p) { return p.*from == what; });
        return at == table.end() ? std::string_view() : (*at).*to;
    };
    if (auto const whole = look_up(gguf_whole_names, name); !whole.empty()) return std::string(whole);
    auto const in_layers = [&](name_pair const& layers,
                               std::span<name_pair const> table) -> std::optional<std::string> {
        if (!name.starts_with(layers.*from)) return std::nullopt;
        auto const rest = name.substr((layers.*from).size());
        std::size_t const dot = std::min(rest.find('.'), rest.size());
        auto const number = rest.substr(0, dot);
        if (number.empty() || number.find_first_not_of("0123456789") != std::string_view::npos) return std::nullopt;
        auto const found = look_up(table, rest.substr(std::min(dot + 1, rest.size())));
        if (found.empty()) return std::nullopt;
        return std::string(layers.*to) + std::string(number) + "." + std::string(found);
    };
    if (auto result = in_layers(gguf_text_layers, gguf_text_names)) return result;
    std::span<name_pair const> const tower =
        projector ? std::span<name_pair const>(gguf_projector_names) : std::span<name_pair const>(gguf_tower_names);
    for (name_pair const& layers : gguf_tower_layers)
        if (auto result = in_layers(layers, tower)) return result;
    return std::nullopt;
}

} // namespace detail

/// Hugging Face's name of a GGUF tensor; empty if it has none, like `rope_freqs.weight` and
/// `v.tile_position_embd.gate`.
/// @param projector true for files of ollama 0.4 to 0.6, which have other names for the tower's tensors
/// @param kind for a text model, Hugging Face's names have no "language_model." at the beginning
[[nodiscard]] inline std::optional<std::string>
hugging_face_name_of_gguf(std::string_view name, bool projector = false, config::family kind = config::family::mllama) {
    auto found = detail::renamed(name, &detail::name_pair::gguf, projector);
    if (kind == config::family::mllama || !found) return found;
    if (!found->starts_with(detail::text_prefix)) return std::nullopt;
    return found->substr(detail::text_prefix.size());
}

/// GGUF's name of a tensor with that name of Hugging Face's; empty if the model has no such tensor.
[[nodiscard]] inline std::optional<std::string>
gguf_name_of_hugging_face(std::string_view name, bool projector = false, config::family kind = config::family::mllama) {
    std::string const whole =
        (kind == config::family::llama ? std::string(detail::text_prefix) : "") + std::string(name);
    return detail::renamed(whole, &detail::name_pair::hugging_face, projector);
}

} // namespace llamavision::checkpoint
