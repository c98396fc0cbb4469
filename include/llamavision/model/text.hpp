// SPDX-License-Identifier: Apache-2.0
// The language model: Llama 3.1's blocks, and among them blocks that look at the image. C is a text configuration.
#pragma once

#include <cstddef>

#include <llamavision/config/configuration.hpp>
#include <llamavision/layers/activation.hpp>
#include <llamavision/layers/attention.hpp>
#include <llamavision/layers/embedding.hpp>
#include <llamavision/layers/gate.hpp>
#include <llamavision/layers/image_visibility.hpp>
#include <llamavision/layers/linear.hpp>
#include <llamavision/layers/norm.hpp>
#include <llamavision/layers/rope.hpp>

namespace llamavision {

/// Width of the keys, and of the values: kv_heads · head_dim.
template <class C>
inline constexpr std::size_t kv_width = C::kv_heads*(C::width / C::heads);

// The modules are formatted by hand.
// clang-format off

template <class C>
struct swiglu : module {
    static constexpr auto is = (linear<"gate_proj", C::width, C::mlp> | silu) * linear<"up_proj", C::width, C::mlp>
                             | linear<"down_proj", C::mlp, C::width>;
};

template <class C>
struct self_attention : module {
    static constexpr auto is = attend_past<C::heads>(linear<"q_proj", C::width, C::width> | rope<C>,
                                                     linear<"k_proj", C::width, kv_width<C>> | rope<C>,
                                                     linear<"v_proj", C::width, kv_width<C>>)
                             | linear<"o_proj", C::width, C::width>;
};

template <class C>
struct cross_attention : module {
    static constexpr auto is = attend_image<C::heads>(linear<"q_proj", C::width, C::width> | head_norm<"q_norm", C, C::heads>,
                                   from_image(linear<"k_proj", C::width, kv_width<C>> | head_norm<"k_norm", C, C::kv_heads>,
                                              linear<"v_proj", C::width, kv_width<C>>))
                             | linear<"o_proj", C::width, C::width>;
};

template <class C>
struct text_block : module {
    static constexpr model_part part = model_part::self;
    static constexpr auto is = residual(rms_norm<"input_layernorm", C> | scope<"self_attn">(self_attention<C>{}))
                             | residual(rms_norm<"post_attention_layernorm", C> | scope<"mlp">(swiglu<C>{}));
};

template <class C>
struct cross_block : module {
    static constexpr model_part part = model_part::cross;
    static constexpr auto is = residual(rms_norm<"input_layernorm", C> | scope<"cross_attn">(cross_attention<C>{})
                                            | rows_seeing_image<masked::attention>, tanh_gate<"cross_attn_attn_gate">)
                             | residual(rms_norm<"post_attention_layernorm", C> | scope<"mlp">(swiglu<C>{})
                                            | rows_seeing_image<masked::mlp>, tanh_gate<"cross_attn_mlp_gate">);
};

/// Which of the layers are cross-attention blocks.
template <class C>
struct cross_layers {
    static constexpr auto layers = C::cross_layers;
};

template <class C, std::size_t Rows>
struct token_embedding : module {
    static constexpr model_part part = model_part::embedding;
    static constexpr auto is = embedding<"embed_tokens", Rows, C::width>;
};

template <class C>
struct output_head : module {
    static constexpr model_part part = model_part::head;
    static constexpr auto is = linear<"lm_head", C::width, C::vocabulary>;
};

template <class C>
struct language_model : module {
    static constexpr auto is = scope<"language_model">(
          scope<"model">(
              token_embedding<C, C::vocabulary + config::extra_tokens>{}
            | scope<"layers">(interleave<C::layers, cross_layers<C>>(text_block<C>{}, cross_block<C>{}))
            | wanted_rows
            | rms_norm<"norm", C>)
        | output_head<C>{});
};

// clang-format on

} // namespace llamavision
