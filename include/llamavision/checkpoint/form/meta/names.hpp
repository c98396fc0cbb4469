// SPDX-License-Identifier: Apache-2.0
// The table of Meta's tensors and Hugging Face's: their names, how Meta divides a tensor among files, and how its
// layout changes between the forms. The same table serves both directions (Meta: multimodal/model.py and model.py;
// transformers: convert_mllama_weights_to_hf.py).
#pragma once

#include <llamavision/config/numbers.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace llamavision::checkpoint {

/// How a tensor is divided among the files of a model-parallel checkpoint.
enum class division {
    none,   ///< every file has all of it
    rows,   ///< along the first axis (Meta: ColumnParallelLinear, whose weight is (out, in))
    columns ///< along the second axis (Meta: RowParallelLinear)
};

/// How the layout of a tensor changes between the two forms.
enum class conversion {
    same,
    rotary,  ///< rows of a head that rotate together: (2i, 2i + 1) in Meta's form, (i, i + d/2) in Hugging Face's
    patches, ///< (width, channels · p · p) in Meta's form, (width, channels, p, p) in Hugging Face's: the same bytes
    table,   ///< (tiles, tiles, tokens, width) in Meta's form, a row for each arrangement of tiles in Hugging Face's
    embedding,       ///< the first rows of Hugging Face's embedding
    extra_embedding, ///< its last rows
    dropped          ///< not read: every program computes it
};

/// One tensor of a stack. Its names follow the stack's.
struct meta_rule {
    std::string_view meta, hugging_face;
    division across = division::none;
    conversion how = conversion::same;
};

/// Tensors whose names have the same beginning. In a numbered stack, a layer's number follows it, and every layer has
/// all of them.
struct meta_stack {
    std::string_view meta, hugging_face;
    bool numbered;
    std::span<meta_rule const> rules;
    config::family kind = config::family::mllama;
};

namespace detail {

inline constexpr auto by_rows = division::rows;
inline constexpr auto by_columns = division::columns;

inline constexpr std::array self_rules{
    meta_rule{"attention.wq.weight", "self_attn.q_proj.weight", by_rows, conversion::rotary},
    meta_rule{"attention.wk.weight", "self_attn.k_proj.weight", by_rows, conversion::rotary},
    meta_rule{"attention.wv.weight", "self_attn.v_proj.weight", by_rows},
    meta_rule{"attention.wo.weight", "self_attn.o_proj.weight", by_columns},
    meta_rule{"attention_norm.weight", "input_layernorm.weight"},
    meta_rule{"feed_forward.w1.weight", "mlp.gate_proj.weight", by_rows},
    meta_rule{"feed_forward.w3.weight", "mlp.up_proj.weight", by_rows},
    meta_rule{"feed_forward.w2.weight", "mlp.down_proj.weight", by_columns},
    meta_rule{"ffn_norm.weight", "post_attention_layernorm.weight"},
};

inline constexpr std::array cross_rules{
    meta_rule{"attention.wq.weight", "cross_attn.q_proj.weight", by_rows},
    meta_rule{"attention.wk.weight", "cross_attn.k_proj.weight", by_rows},
    meta_rule{"attention.wv.weight", "cross_attn.v_proj.weight", by_rows},
    meta_rule{"attention.wo.weight", "cross_attn.o_proj.weight", by_columns},
    meta_rule{"attention.q_norm.weight", "cross_attn.q_norm.weight"},
    meta_rule{"attention.k_norm.weight", "cross_attn.k_norm.weight"},
    meta_rule{"attention_norm.weight", "input_layernorm.weight"},
    meta_rule{"feed_forward.w1.weight", "mlp.gate_proj.weight", by_rows},
    meta_rule{"feed_forward.w3.weight", "mlp.up_proj.weight", by_rows},
    meta_rule{"feed_forward.w2.weight", "mlp.down_proj.weight", by_columns},
    meta_rule{"ffn_norm.weight", "post_attention_layernorm.weight"},
    meta_rule{"gate_attn", "cross_attn_attn_gate"},
    meta_rule{"gate_ffwd", "cross_attn_mlp_gate"},
};

// Meta adds the bias of c_proj after the sum over ranks, so every file has all of it.
inline constexpr std::array block_rules{
    meta_rule{"attn.wq.weight", "self_attn.q_proj.weight", by_rows},
    meta_rule{"attn.wk.weight", "self_attn.k_proj.weight", by_rows},
    meta_rule{"attn.wv.weight", "self_attn.v_proj.weight", by_rows},
    meta_rule{"attn.wo.weight", "self_attn.o_proj.weight", by_columns},
    meta_rule{"mlp.c_fc.weight", "mlp.fc1.weight", by_rows},
    meta_rule{"mlp.c_fc.bias", "mlp.fc1.bias", by_rows},
    meta_rule{"mlp.c_proj.weight", "mlp.fc2.weight", by_columns},
    meta_rule{"mlp.c_proj.bias", "mlp.fc2.bias"},
    meta_rule{"ln_1.weight", "input_layernorm.weight"},
    meta_rule{"ln_1.bias", "input_layernorm.bias"},
    meta_rule{"ln_2.weight", "post_attention_layernorm.weight"},
    meta_rule{"ln_2.bias", "post_attention_layernorm.bias"},
    meta_rule{"gate_attn", "gate_attn"}, // in global blocks only
    meta_rule{"gate_ffn", "gate_ffn"},
};

inline constexpr std::array tower_rules{
    meta_rule{"conv1._linear.weight", "patch_embedding.weight", by_rows, conversion::patches},
    meta_rule{"class_embedding", "class_embedding"},
    meta_rule{"positional_embedding", "gated_positional_embedding.embedding"},
    meta_rule{"gated_positional_embedding", "gated_positional_embedding.tile_embedding.weight", division::none,
              conversion::table},
    meta_rule{"gated_positional_embedding_gate", "gated_positional_embedding.gate"},
    meta_rule{"pre_tile_pos_embed.embedding", "pre_tile_positional_embedding.embedding.weight", division::none,
              conversion::table},
    meta_rule{"pre_tile_pos_embed.gate", "pre_tile_positional_embedding.gate"},
    meta_rule{"post_tile_pos_embed.embedding", "post_tile_positional_embedding.embedding.weight", division::none,
              conversion::table},
    meta_rule{"post_tile_pos_embed.gate", "post_tile_positional_embedding.gate"},
    meta_rule{"ln_pre.weight", "layernorm_pre.weight"},
    meta_rule{"ln_pre.bias", "layernorm_pre.bias"},
    meta_rule{"ln_post.weight", "layernorm_post.weight"},
    meta_rule{"ln_post.bias", "layernorm_post.bias"},
};

inline constexpr std::array projector_rules{
    meta_rule{"weight", "weight", by_rows},
    meta_rule{"bias", "bias", by_rows},
};

inline constexpr std::array text_rules{
    meta_rule{"tok_embeddings.weight", "model.embed_tokens.weight", by_rows, conversion::embedding},
    meta_rule{"learnable_embedding.weight", "model.embed_tokens.weight", by_rows, conversion::extra_embedding},
    meta_rule{"norm.weight", "model.norm.weight"},
    meta_rule{"output.weight", "lm_head.weight", by_rows},
    meta_rule{"rope.freqs", "", division::none, conversion::dropped},
};

/// A text model's tensors outside of its layers (Meta: llama3/model.py).
inline constexpr std::array llama_rules{
    meta_rule{"tok_embeddings.weight", "model.embed_tokens.weight", by_rows},
    meta_rule{"norm.weight", "model.norm.weight"},
    meta_rule{"output.weight", "lm_head.weight", by_rows},
    meta_rule{"rope.freqs", "", division::none, conversion::dropped},
};

enum stack_index : std::size_t { self_stack, cross_stack }; // the two stacks whose layers Hugging Face numbers together

inline constexpr std::array<meta_stack, 9> meta_stacks{{
    {"text_model.layers.", "language_model.model.layers.", true, self_rules},
    {"text_model.cross_attention_layers.", "language_model.model.layers.", true, cross_rules},
    {"vision_model.vision_encoder.transformer.resblocks.", "vision_model.transformer.layers.", true, block_rules},
    {"vision_model.vision_encoder.global_transformer.resblocks.", "vision_model.global_transformer.layers.", true,
     block_rules},
    {"vision_model.vision_encoder.", "vision_model.", false, tower_rules},
    {"vision_model.vision_projection.", "multi_modal_projector.", false, projector_rules},
    {"text_model.", "language_model.", false, text_rules},
    {"layers.", "model.layers.", true, self_rules, config::family::llama},
    {"", "", false, llama_rules, config::family::llama},
}};

/// Removes "17." from the front of `text` and returns the number. Empty if `text` does not begin with a number without
/// leading zeros.
[[nodiscard]] inline std::optional<std::size_t> take_layer(std::string_view& text) {
    std::size_t const dot = text.find('.');
    if (dot == 0 || dot > 6 || (dot > 1 && text.front() == '0')) return std::nullopt;
    std::size_t layer = 0;
    for (char const c : text.substr(0, dot)) {
        if (c < '0' || c > '9') return std::nullopt;
        layer = layer * 10 + static_cast<std::size_t>(c - '0');
    }
    text.remove_prefix(dot + 1);
    return layer;
}

} // namespace detail

/// A tensor of the table: a stack, a rule, and in a numbered stack the layer in Meta's numbering.
struct meta_tensor {
    std::size_t stack; ///< index into detail::meta_stacks
    std::size_t layer;
    meta_rule rule;
};

namespace detail {

[[nodiscard]] inline std::optional<meta_tensor> find_rule(std::string_view name, std::string_view meta_stack::*prefix,
                                                          std::string_view meta_rule::*suffix) {
    for (std::size_t s = 0; s < meta_stacks.size(); ++s) {
        std::string_view rest = name;
        if (!rest.starts_with(meta_stacks[s].*prefix)) continue;
        rest.remove_prefix((meta_stacks[s].*prefix).size());
        std::optional<std::size_t> layer = 0;
        if (meta_stacks[s].numbered && !(layer = take_layer(rest))) continue;
        for (meta_rule const& rule : meta_stacks[s].rules)
            if (!rest.empty() && rule.*suffix == rest) return meta_tensor{s, *layer, rule};
    }
    return std::nullopt;
}

/// The merged index of Meta's self-attention layer `i`: that of the i-th layer that is not in `cross_layers`.
[[nodiscard]] inline std::size_t merged_index(std::size_t i, std::vector<std::size_t> const& cross_layers) {
    for (std::size_t const cross : cross_layers)
        if (cross <= i) ++i; // they ascend, so each one below the result is counted
    return i;
}

} // namespace detail

/// The table's entry for Meta's name of a tensor; empty if there is none.
[[nodiscard]] inline std::optional<meta_tensor> find_meta_tensor(std::string_view name) {
    return detail::find_rule(name, &meta_stack::meta, &meta_rule::meta);
}

/// The table's entry for a canonical name; empty if there is none. The embedding of Llama 3.2 Vision has two entries,
/// of which this is the one for its first rows.
[[nodiscard]] inline std::optional<meta_tensor> find_meta_tensor_of(std::string_view hugging_face,
                                                                    config::text_numbers const& text) {
    auto found = detail::find_rule(hugging_face, &meta_stack::hugging_face, &meta_rule::hugging_face);
    if (!found || found->stack > detail::cross_stack) return found;
    // Hugging Face numbers both stacks of text layers together, and names like input_layernorm are in both.
    auto const& cross = text.cross_layers;
    auto const at = std::lower_bound(cross.begin(), cross.end(), found->layer);
    auto const before = static_cast<std::size_t>(at - cross.begin());
    bool const is_cross = at != cross.end() && *at == found->layer;
    auto const& stack = detail::meta_stacks[is_cross ? detail::cross_stack : detail::self_stack];
    for (meta_rule const& rule : stack.rules)
        if (rule.hugging_face == found->rule.hugging_face)
            return meta_tensor{is_cross ? detail::cross_stack : detail::self_stack,
                               is_cross ? before : found->layer - before, rule};
    return std::nullopt;
}

/// The family whose models have the tensor.
[[nodiscard]] inline config::family family_of(meta_tensor const& t) { return detail::meta_stacks[t.stack].kind; }

/// The tensor's name in Meta's form.
[[nodiscard]] inline std::string meta_name(meta_tensor const& t) {
    meta_stack const& stack = detail::meta_stacks[t.stack];
    return std::string(stack.meta) + (stack.numbered ? std::to_string(t.layer) + "." : "") + std::string(t.rule.meta);
}

/// The tensor's canonical name; empty if there is no such layer.
/// @pre the rule is not `dropped`
[[nodiscard]] inline std::optional<std::string> hugging_face_name(meta_tensor const& t,
                                                                  config::text_numbers const& text) {
    meta_stack const& stack = detail::meta_stacks[t.stack];
    std::size_t layer = t.layer;
    if (t.stack == detail::cross_stack) {
        if (layer >= text.cross_layers.size()) return std::nullopt;
        layer = text.cross_layers[layer];
    } else if (t.stack == detail::self_stack) {
        layer = detail::merged_index(layer, text.cross_layers);
    }
    return std::string(stack.hugging_face) + (stack.numbered ? std::to_string(layer) + "." : "")
           + std::string(t.rule.hugging_face);
}

} // namespace llamavision::checkpoint
