// SPDX-License-Identifier: Apache-2.0
// The vision model: tiles become rows, the rows of all four tiles look at each other in 32 blocks, then in 8 gated
// ones; the inputs of five of the first blocks are kept beside the output of the last one. C is a vision configuration.
#pragma once

#include <llamavision/config/configuration.hpp>
#include <llamavision/layers/activation.hpp>
#include <llamavision/layers/attention.hpp>
#include <llamavision/layers/gate.hpp>
#include <llamavision/layers/linear.hpp>
#include <llamavision/layers/norm.hpp>
#include <llamavision/layers/patches.hpp>
#include <llamavision/layers/position.hpp>

namespace llamavision {

// The modules are formatted by hand.
// clang-format off

template <class C>
struct tile_attention : module {
    static constexpr auto is = attend_tiles<C::heads>(linear<"q_proj", C::width, C::width>,
                                                      linear<"k_proj", C::width, C::width>,
                                                      linear<"v_proj", C::width, C::width>)
                             | linear<"o_proj", C::width, C::width>;
};

template <class C>
struct gelu_mlp : module {
    static constexpr auto is = linear_with_bias<"fc1", C::width, C::mlp> | gelu | linear_with_bias<"fc2", C::mlp, C::width>;
};

template <class C>
struct vision_block : module {
    static constexpr auto is = residual(layer_norm<"input_layernorm", C> | scope<"self_attn">(tile_attention<C>{}))
                             | residual(layer_norm<"post_attention_layernorm", C> | scope<"mlp">(gelu_mlp<C>{}));
};

template <class C>
struct gated_vision_block : module {
    static constexpr auto is = residual(layer_norm<"input_layernorm", C> | scope<"self_attn">(tile_attention<C>{}),
                                        tanh_gate<"gate_attn">)
                             | residual(layer_norm<"post_attention_layernorm", C> | scope<"mlp">(gelu_mlp<C>{}),
                                        tanh_gate<"gate_ffn">);
};

template <class C>
struct patchify : module {
    static constexpr auto is = unfold<C> | patch_projection<"patch_embedding", C>;
};

/// The layers whose inputs are kept.
template <class C>
struct tapped_layers {
    static constexpr auto layers = C::taps;
};

template <class C>
struct vision_model : module {
    static constexpr model_part part = model_part::vision;
    static constexpr auto is = scope<"vision_model">(
          patchify<C>{}
        | tile_position<"pre_tile_positional_embedding", C>
        | class_token<"class_embedding", C>
        | gated_position<"gated_positional_embedding", C>
        | layer_norm_1e_5<"layernorm_pre", C>
        | pad_rows
        | scope<"transformer">(scope<"layers">(repeat<C::layers>(vision_block<C>{}, tapped_layers<C>{})))
        | layer_norm_1e_5<"layernorm_post", C>
        | tile_position<"post_tile_positional_embedding", C>
        | scope<"global_transformer">(scope<"layers">(repeat<C::global_layers>(gated_vision_block<C>{})))
        | concat_taps<C>);
};

// clang-format on

} // namespace llamavision
