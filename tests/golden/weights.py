# SPDX-License-Identifier: Apache-2.0
"""Random weights in which nothing is trivial, the same model under both references' names, and its Hugging Face folder."""
import json
import os
import re

import numpy as np
import torch
from safetensors.torch import save_file

from shapes import CHANNELS, EXTRA, RATIOS, TILES, patches


def bf16(array):
    """To float32 values that bfloat16 holds exactly, so that files of every precision are the same model."""
    return torch.from_numpy(np.asarray(array, np.float32)).to(torch.bfloat16).float()


class Draw:
    """Distributions under which every term of the model shows in its output."""

    def __init__(self, seed):
        self.random = np.random.default_rng(seed)

    def linear(self, rows, columns, gain=1.0):
        return bf16(self.random.standard_normal((rows, columns)) * gain / np.sqrt(columns))

    def bias(self, *shape, gain=0.2):
        return bf16(self.random.standard_normal(shape) * gain)

    def norm(self, width):
        return bf16(1 + 0.2 * self.random.standard_normal(width))

    def gate(self):
        return bf16(self.random.uniform(0.3, 1.2, 1) * self.random.choice([-1, 1]))


def per_id(table, width):
    """Meta's [row][column] table as rows per aspect ratio: id 0 and the slots of padded tiles are zero."""
    out = torch.zeros(len(RATIOS) + 1, TILES, *table.shape[2:])
    for i, (h, w) in enumerate(RATIOS):
        out[i + 1, : h * w] = table[:h, :w].reshape(h * w, *table.shape[2:])
    return out.reshape(len(RATIOS) + 1, -1)


def draw(shape):
    """(tensors under the names that transformers has in memory, Meta's two-dimensional tables or None)."""
    d, v, t = Draw(shape["seed"]), shape["vision"], shape["text"]
    out = {}

    def tower_layer(p, gated):
        w, m = v["width"], v["mlp"]
        for n in ("q", "k"):
            out[f"{p}.self_attn.{n}_proj.weight"] = d.linear(w, w, 1.5)
        for n in ("v", "o"):
            out[f"{p}.self_attn.{n}_proj.weight"] = d.linear(w, w)
        out[f"{p}.mlp.fc1.weight"], out[f"{p}.mlp.fc1.bias"] = d.linear(m, w), d.bias(m)
        out[f"{p}.mlp.fc2.weight"], out[f"{p}.mlp.fc2.bias"] = d.linear(w, m), d.bias(w)
        for n in ("input_layernorm", "post_attention_layernorm"):
            out[f"{p}.{n}.weight"], out[f"{p}.{n}.bias"] = d.norm(w), d.bias(w)
        if gated:
            out[f"{p}.gate_attn"], out[f"{p}.gate_ffn"] = d.gate(), d.gate()

    def text_layer(p, cross):
        w, m, head = t["width"], t["mlp"], t["width"] // t["heads"]
        a = f"{p}.cross_attn" if cross else f"{p}.self_attn"
        out[f"{a}.q_proj.weight"] = d.linear(w, w, 1.5)
        out[f"{a}.k_proj.weight"] = d.linear(t["kv_heads"] * head, w, 1.5)
        out[f"{a}.v_proj.weight"] = d.linear(t["kv_heads"] * head, w)
        out[f"{a}.o_proj.weight"] = d.linear(w, w)
        if cross:
            out[f"{a}.q_norm.weight"], out[f"{a}.k_norm.weight"] = d.norm(head), d.norm(head)
            out[f"{p}.cross_attn_attn_gate"], out[f"{p}.cross_attn_mlp_gate"] = d.gate(), d.gate()
        out[f"{p}.mlp.gate_proj.weight"] = d.linear(m, w)
        out[f"{p}.mlp.up_proj.weight"] = d.linear(m, w)
        out[f"{p}.mlp.down_proj.weight"] = d.linear(w, m)
        out[f"{p}.input_layernorm.weight"] = d.norm(w)
        out[f"{p}.post_attention_layernorm.weight"] = d.norm(w)

    p, w, n = "model.vision_model", v["width"], patches(v) + 1
    out[f"{p}.patch_embedding.weight"] = d.linear(w, CHANNELS * v["patch"] ** 2).reshape(w, CHANNELS, v["patch"], v["patch"])
    out[f"{p}.class_embedding"] = d.bias(w, gain=0.7)
    tables = {
        "pre_tile_positional_embedding.embedding": d.bias(TILES, TILES, 1, w, gain=0.7),
        "post_tile_positional_embedding.embedding": d.bias(TILES, TILES, 1, w, gain=0.7),
        "gated_positional_embedding.tile_embedding": d.bias(TILES, TILES, n, w, gain=0.7),
    }
    for name, table in tables.items():
        rows = per_id(table, w)
        out[f"{p}.{name}.weight"] = d.bias(*rows.shape, gain=0.7) if shape["ids"] else rows
    for name in ("pre_tile_positional_embedding", "post_tile_positional_embedding", "gated_positional_embedding"):
        out[f"{p}.{name}.gate"] = d.gate()
    out[f"{p}.gated_positional_embedding.embedding"] = d.bias(n, w, gain=0.7)
    for name in ("layernorm_pre", "layernorm_post"):
        out[f"{p}.{name}.weight"], out[f"{p}.{name}.bias"] = d.norm(w), d.bias(w)
    for i in range(v["layers"]):
        tower_layer(f"{p}.transformer.layers.{i}", False)
    for i in range(v["global_layers"]):
        tower_layer(f"{p}.global_transformer.layers.{i}", True)

    features = w * (1 + len(v["taps"]))
    out["model.multi_modal_projector.weight"] = d.linear(t["width"], features)
    out["model.multi_modal_projector.bias"] = d.bias(t["width"])
    out["model.language_model.embed_tokens.weight"] = d.bias(t["vocabulary"] + EXTRA, t["width"], gain=1.0)
    for i in range(t["layers"]):
        text_layer(f"model.language_model.layers.{i}", i in t["cross_layers"])
    out["model.language_model.norm.weight"] = d.norm(t["width"])
    head = d.linear(t["vocabulary"], t["width"], 3.0)
    head[:6] *= 0.25  # the ids of generation_config.json: greedy text must not run into a stop id
    out["lm_head.weight"] = head
    return out, None if shape["ids"] else tables


def hub_name(name):
    """The spelling of published files for the in-memory name of transformers >= 4.52."""
    name = re.sub(r"^model\.language_model\.", "language_model.model.", name)
    name = re.sub(r"^lm_head\.", "language_model.lm_head.", name)
    return re.sub(r"^model\.(vision_model|multi_modal_projector)", r"\1", name)


def to_meta(shape, tensors, tables):
    """The same model under Meta's names. Meta's last block is a self-attention block; where the shape ends in a cross
    block, one more self block whose two output projections are zero, the identity, is put behind it."""
    v, t = shape["vision"], shape["text"]
    out, self_index, cross_index = {}, 0, 0

    def rope_rows(weight):  # halves (i, i + d/2) -> adjacent pairs (2i, 2i + 1)
        head = t["width"] // t["heads"]
        return weight.reshape(-1, 2, head // 2, weight.shape[1]).transpose(1, 2).reshape(weight.shape)

    for i in range(t["layers"]):
        p, cross = f"model.language_model.layers.{i}", i in t["cross_layers"]
        m = f"text_model.cross_attention_layers.{cross_index}" if cross else f"text_model.layers.{self_index}"
        cross_index, self_index = cross_index + cross, self_index + (not cross)
        a = f"{p}.cross_attn" if cross else f"{p}.self_attn"
        for meta, hf in (("wq", "q_proj"), ("wk", "k_proj"), ("wv", "v_proj"), ("wo", "o_proj")):
            weight = tensors[f"{a}.{hf}.weight"]
            out[f"{m}.attention.{meta}.weight"] = rope_rows(weight) if not cross and hf in ("q_proj", "k_proj") else weight
        for meta, hf in (("w1", "gate_proj"), ("w3", "up_proj"), ("w2", "down_proj")):
            out[f"{m}.feed_forward.{meta}.weight"] = tensors[f"{p}.mlp.{hf}.weight"]
        out[f"{m}.attention_norm.weight"] = tensors[f"{p}.input_layernorm.weight"]
        out[f"{m}.ffn_norm.weight"] = tensors[f"{p}.post_attention_layernorm.weight"]
        if cross:
            for n in ("q_norm", "k_norm"):
                out[f"{m}.attention.{n}.weight"] = tensors[f"{a}.{n}.weight"]
            out[f"{m}.gate_attn"] = tensors[f"{p}.cross_attn_attn_gate"]
            out[f"{m}.gate_ffwd"] = tensors[f"{p}.cross_attn_mlp_gate"]
    if t["layers"] - 1 in t["cross_layers"]:
        for name in [n for n in out if n.startswith("text_model.layers.0.")]:
            zero = name.endswith((".wo.weight", ".w2.weight"))
            copy = name.replace(".layers.0.", f".layers.{self_index}.")
            out[copy] = torch.zeros_like(out[name]) if zero else out[name]

    embedding = tensors["model.language_model.embed_tokens.weight"]
    out["text_model.tok_embeddings.weight"] = embedding[: t["vocabulary"]]
    out["text_model.learnable_embedding.weight"] = embedding[t["vocabulary"] :]
    out["text_model.norm.weight"] = tensors["model.language_model.norm.weight"]
    out["text_model.output.weight"] = tensors["lm_head.weight"]

    p, m = "model.vision_model", "vision_model.vision_encoder"
    out[f"{m}.conv1._linear.weight"] = tensors[f"{p}.patch_embedding.weight"].reshape(v["width"], -1)
    out[f"{m}.class_embedding"] = tensors[f"{p}.class_embedding"]
    out[f"{m}.positional_embedding"] = tensors[f"{p}.gated_positional_embedding.embedding"]
    out[f"{m}.gated_positional_embedding_gate"] = tensors[f"{p}.gated_positional_embedding.gate"]
    tables = tables or {}  # rows per id have no two-dimensional form: Meta's tower is then not run, and its tables are zero
    zeros = lambda n: torch.zeros(TILES, TILES, n, v["width"])
    out[f"{m}.gated_positional_embedding"] = tables.get("gated_positional_embedding.tile_embedding", zeros(patches(v) + 1))
    for n in ("pre", "post"):
        out[f"{m}.{n}_tile_pos_embed.embedding"] = tables.get(f"{n}_tile_positional_embedding.embedding", zeros(1))
        out[f"{m}.{n}_tile_pos_embed.gate"] = tensors[f"{p}.{n}_tile_positional_embedding.gate"]
        out[f"{m}.ln_{n}.weight"] = tensors[f"{p}.layernorm_{n}.weight"]
        out[f"{m}.ln_{n}.bias"] = tensors[f"{p}.layernorm_{n}.bias"]
    for stack, count in (("transformer", v["layers"]), ("global_transformer", v["global_layers"])):
        for i in range(count):
            a, b = f"{p}.{stack}.layers.{i}", f"{m}.{stack}.resblocks.{i}"
            for n in "qkvo":
                out[f"{b}.attn.w{n}.weight"] = tensors[f"{a}.self_attn.{n}_proj.weight"]
            for n in ("weight", "bias"):
                out[f"{b}.mlp.c_fc.{n}"] = tensors[f"{a}.mlp.fc1.{n}"]
                out[f"{b}.mlp.c_proj.{n}"] = tensors[f"{a}.mlp.fc2.{n}"]
                out[f"{b}.ln_1.{n}"] = tensors[f"{a}.input_layernorm.{n}"]
                out[f"{b}.ln_2.{n}"] = tensors[f"{a}.post_attention_layernorm.{n}"]
            if stack == "global_transformer":
                out[f"{b}.gate_attn"], out[f"{b}.gate_ffn"] = tensors[f"{a}.gate_attn"], tensors[f"{a}.gate_ffn"]
    for n in ("weight", "bias"):
        out[f"vision_model.vision_projection.{n}"] = tensors[f"model.multi_modal_projector.{n}"]
    return {k: x.clone() for k, x in out.items()}


def configuration(shape):
    """config.json in the spelling the shape asks for."""
    v, t, old = shape["vision"], shape["text"], shape["config"] == "4.x"
    dtype = {"torch_dtype" if old else "dtype": "bfloat16"}
    scaling = dict(factor=8.0, high_freq_factor=4.0, low_freq_factor=1.0, original_max_position_embeddings=8192,
                   rope_type="llama3")
    if old:
        rope = dict(rope_scaling=scaling if t["rope_scaled"] else None, rope_theta=t["rope_theta"])
    else:
        rope = dict(rope_parameters=dict(scaling if t["rope_scaled"] else dict(rope_type="default"), rope_theta=t["rope_theta"]))
    text = dict(
        bos_token_id=1, cross_attention_layers=t["cross_layers"], dropout=0, eos_token_id=[2, 3, 4], hidden_act="silu",
        hidden_size=t["width"], initializer_range=0.02, intermediate_size=t["mlp"], max_position_embeddings=t["context"],
        model_type="mllama_text_model", num_attention_heads=t["heads"], num_hidden_layers=t["layers"],
        num_key_value_heads=t["kv_heads"], pad_token_id=5, rms_norm_eps=t["norm_eps"], tie_word_embeddings=False,
        use_cache=True, vocab_size=t["vocabulary"], **rope, **dtype)
    vision = dict(
        attention_heads=v["heads"], hidden_act="gelu", hidden_size=v["width"], image_size=v["tile"],
        intermediate_layers_indices=v["taps"], intermediate_size=v["mlp"], max_num_tiles=TILES,
        model_type="mllama_vision_model", norm_eps=v["norm_eps"], num_channels=CHANNELS,
        num_global_layers=v["global_layers"], num_hidden_layers=v["layers"], patch_size=v["patch"],
        supported_aspect_ratios=[list(r) for r in RATIOS], vision_output_dim=v["width"] * (1 + len(v["taps"])), **dtype)
    return dict(architectures=["MllamaForConditionalGeneration"], image_token_index=t["vocabulary"], model_type="mllama",
                text_config=text, vision_config=vision, transformers_version="4.54.1" if old else "5.23.0", **dtype)


def write_json(path, value):
    with open(path, "w") as f:
        json.dump(value, f, indent=2)
        f.write("\n")


def write_folder(shape, tensors, folder):
    """The Hugging Face folder: config, generation_config, preprocessor_config, bfloat16 weights."""
    os.makedirs(folder, exist_ok=True)
    version = configuration(shape)["transformers_version"]
    write_json(os.path.join(folder, "config.json"), dict(sorted(configuration(shape).items())))
    write_json(os.path.join(folder, "generation_config.json"), dict(
        bos_token_id=1, do_sample=True, eos_token_id=[2, 3, 4], pad_token_id=5, temperature=0.6, top_p=0.9,
        transformers_version=version))
    side = shape["vision"]["tile"]
    write_json(os.path.join(folder, "preprocessor_config.json"), dict(
        do_convert_rgb=True, do_normalize=True, do_pad=True, do_rescale=True, do_resize=True,
        image_mean=[0.48145466, 0.4578275, 0.40821073], image_processor_type="MllamaImageProcessor",
        image_std=[0.26862954, 0.26130258, 0.27577711], max_image_tiles=TILES, resample=2,
        rescale_factor=0.00392156862745098, size=dict(height=side, width=side)))
    rename = hub_name if shape["names"] == "hub" else lambda n: n
    save_file({rename(n): x.to(torch.bfloat16).contiguous() for n, x in tensors.items()},
              os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})
