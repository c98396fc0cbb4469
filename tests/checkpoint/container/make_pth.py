#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Small files as torch.save writes them: make_pth.py [OUT]. tests/data/pth: every way in which tensors lie in a file.
tests/data/meta: one random model in Meta's form, whole in one file, some of it in 2 and 8, and under transformers' names. Needs torch, safetensors."""
import collections
import json
import os
import sys

import torch
from safetensors.torch import save_file

TILES, RATIOS = 4, [(1, 1), (1, 2), (1, 3), (1, 4), (2, 1), (2, 2), (3, 1), (4, 1)]
TOWER, POSITIONS, PATCH, TAPS = 16, 5, 7, 1
DIM, HEADS, FFN, VOCABULARY, EXTRA = 16, 8, 48, 264, 8
PARAMS = dict(dim=DIM, n_layers=2, n_heads=HEADS, n_kv_heads=HEADS, vocab_size=VOCABULARY, multiple_of=16, ffn_dim_multiplier=1.1,
              norm_eps=1e-5, rope_theta=500000.0, use_scaled_rope=True, vision_chunk_size=2 * PATCH,
              vision_max_num_chunks=TILES, vision_num_cross_attention_layers=1)


def write_views(out):
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6).bfloat16()
    views = collections.OrderedDict(
        whole=base, transposed=base.t(), rows=base[1:3], columns=base[:, 1::2], repeated=base[:1].expand(4, 6),
        parameter=torch.nn.Parameter(torch.ones(3)), scalar=torch.tensor(7.0), empty=torch.zeros(0, 3),
        half=torch.arange(4).half(), long=torch.arange(4), step=5, name="x", nothing=None, list=[1, 2])
    torch.save(views, os.path.join(out, "views.pth"))
    torch.save({"model": views, "epoch": 1.5, "large": 2**40, "negative": -3}, os.path.join(out, "nested.pth"), pickle_protocol=4)
    torch.save(torch.nn.Linear(2, 2).state_dict(), os.path.join(out, "metadata.pth"))
    torch.save({"u": torch.arange(3).to(torch.uint16), "f": torch.ones(2, dtype=torch.float8_e4m3fn)}, os.path.join(out, "typed.pth"))
    torch.save({"a": base}, os.path.join(out, "before_1_6.pth"), _use_new_zipfile_serialization=False)


def draw(*shape):
    return torch.randn(*shape).bfloat16()


def meta_model():
    """Names, tensors, and the axis along which Meta's model-parallel layers divide each (None: every rank has it)."""
    t = {}
    v = "vision_model.vision_encoder."
    t[v + "conv1._linear.weight"] = draw(TOWER, 3 * PATCH * PATCH), 0
    for name, shape in (("class_embedding", (TOWER,)), ("positional_embedding", (POSITIONS, TOWER)),
                        ("gated_positional_embedding", (TILES, TILES, POSITIONS, TOWER)), ("gated_positional_embedding_gate", (1,)),
                        ("pre_tile_pos_embed.embedding", (TILES, TILES, 1, TOWER)), ("pre_tile_pos_embed.gate", (1,)),
                        ("post_tile_pos_embed.embedding", (TILES, TILES, 1, TOWER)), ("post_tile_pos_embed.gate", (1,)),
                        ("ln_pre.weight", (TOWER,)), ("ln_pre.bias", (TOWER,)), ("ln_post.weight", (TOWER,)), ("ln_post.bias", (TOWER,))):
        t[v + name] = draw(*shape), None
    for stack in ("transformer", "global_transformer"):
        b = f"{v}{stack}.resblocks.0."
        for n in "qkv":
            t[f"{b}attn.w{n}.weight"] = draw(TOWER, TOWER), 0
        t[b + "attn.wo.weight"] = draw(TOWER, TOWER), 1
        t[b + "mlp.c_fc.weight"], t[b + "mlp.c_fc.bias"] = (draw(4 * TOWER, TOWER), 0), (draw(4 * TOWER), 0)
        t[b + "mlp.c_proj.weight"], t[b + "mlp.c_proj.bias"] = (draw(TOWER, 4 * TOWER), 1), (draw(TOWER), None)
        for n in ("ln_1.weight", "ln_1.bias", "ln_2.weight", "ln_2.bias"):
            t[b + n] = draw(TOWER), None
        if stack == "global_transformer":
            t[b + "gate_attn"], t[b + "gate_ffn"] = (draw(1), None), (draw(1), None)
    t["vision_model.vision_projection.weight"] = draw(DIM, TOWER * (1 + TAPS)), 0
    t["vision_model.vision_projection.bias"] = draw(DIM), 0
    t["text_model.tok_embeddings.weight"] = draw(VOCABULARY, DIM), 0
    t["text_model.learnable_embedding.weight"] = draw(EXTRA, DIM), 0
    t["text_model.norm.weight"] = draw(DIM), None
    t["text_model.output.weight"] = draw(VOCABULARY, DIM), 0
    t["text_model.rope.freqs"] = torch.rand(DIM // HEADS // 2), None
    for b in ("text_model.layers.0.", "text_model.layers.1.", "text_model.cross_attention_layers.0."):
        for n in "qkv":
            t[f"{b}attention.w{n}.weight"] = draw(DIM, DIM), 0
        t[b + "attention.wo.weight"] = draw(DIM, DIM), 1
        t[b + "feed_forward.w1.weight"], t[b + "feed_forward.w3.weight"] = (draw(FFN, DIM), 0), (draw(FFN, DIM), 0)
        t[b + "feed_forward.w2.weight"] = draw(DIM, FFN), 1
        t[b + "attention_norm.weight"], t[b + "ffn_norm.weight"] = (draw(DIM), None), (draw(DIM), None)
        if "cross" in b:
            t[b + "attention.q_norm.weight"], t[b + "attention.k_norm.weight"] = (draw(DIM // HEADS), None), (draw(DIM // HEADS), None)
            t[b + "gate_attn"], t[b + "gate_ffwd"] = (draw(1), None), (draw(1), None)
    return t


def transformers_model(t):
    """The same under transformers' names, written down by hand for this one shape: merged layers self, cross, self."""
    h = {}

    def table(x):
        rows = torch.zeros(len(RATIOS) + 1, TILES, *x.shape[2:], dtype=x.dtype)
        for i, (r, c) in enumerate(RATIOS):
            rows[i + 1, : r * c] = x[:r, :c].flatten(0, 1)
        return rows.flatten(1)

    def rope(w):
        return w.view(HEADS, DIM // HEADS // 2, 2, DIM).transpose(1, 2).reshape(DIM, DIM)

    v, p = "vision_model.vision_encoder.", "vision_model."
    h[p + "patch_embedding.weight"] = t[v + "conv1._linear.weight"].view(TOWER, 3, PATCH, PATCH)
    h[p + "class_embedding"] = t[v + "class_embedding"]
    h[p + "gated_positional_embedding.embedding"] = t[v + "positional_embedding"]
    h[p + "gated_positional_embedding.gate"] = t[v + "gated_positional_embedding_gate"]
    h[p + "gated_positional_embedding.tile_embedding.weight"] = table(t[v + "gated_positional_embedding"])
    for n in ("pre", "post"):
        h[f"{p}{n}_tile_positional_embedding.embedding.weight"] = table(t[f"{v}{n}_tile_pos_embed.embedding"])
        h[f"{p}{n}_tile_positional_embedding.gate"] = t[f"{v}{n}_tile_pos_embed.gate"]
        for k in ("weight", "bias"):
            h[f"{p}layernorm_{n}.{k}"] = t[f"{v}ln_{n}.{k}"]
    for stack in ("transformer", "global_transformer"):
        a, b = f"{v}{stack}.resblocks.0.", f"{p}{stack}.layers.0."
        for n in "qkvo":
            h[f"{b}self_attn.{n}_proj.weight"] = t[f"{a}attn.w{n}.weight"]
        for k in ("weight", "bias"):
            h[f"{b}mlp.fc1.{k}"], h[f"{b}mlp.fc2.{k}"] = t[f"{a}mlp.c_fc.{k}"], t[f"{a}mlp.c_proj.{k}"]
            h[f"{b}input_layernorm.{k}"], h[f"{b}post_attention_layernorm.{k}"] = t[f"{a}ln_1.{k}"], t[f"{a}ln_2.{k}"]
        if stack == "global_transformer":
            h[b + "gate_attn"], h[b + "gate_ffn"] = t[a + "gate_attn"], t[a + "gate_ffn"]
    for k in ("weight", "bias"):
        h[f"multi_modal_projector.{k}"] = t[f"vision_model.vision_projection.{k}"]
    m = "language_model.model."
    h[m + "embed_tokens.weight"] = torch.cat([t["text_model.tok_embeddings.weight"], t["text_model.learnable_embedding.weight"]])
    h[m + "norm.weight"] = t["text_model.norm.weight"]
    h["language_model.lm_head.weight"] = t["text_model.output.weight"]
    for i, a in enumerate(("text_model.layers.0.", "text_model.cross_attention_layers.0.", "text_model.layers.1.")):
        b, kind = f"{m}layers.{i}.", "cross_attn" if "cross" in a else "self_attn"
        for n in "qkvo":
            w = t[f"{a}attention.w{n}.weight"]
            h[f"{b}{kind}.{n}_proj.weight"] = rope(w) if kind == "self_attn" and n in "qk" else w
        for ours, theirs in (("w1", "gate"), ("w2", "down"), ("w3", "up")):
            h[f"{b}mlp.{theirs}_proj.weight"] = t[f"{a}feed_forward.{ours}.weight"]
        h[b + "input_layernorm.weight"], h[b + "post_attention_layernorm.weight"] = t[a + "attention_norm.weight"], t[a + "ffn_norm.weight"]
        if kind == "cross_attn":
            for n in "qk":
                h[f"{b}cross_attn.{n}_norm.weight"] = t[f"{a}attention.{n}_norm.weight"]
            h[b + "cross_attn_attn_gate"], h[b + "cross_attn_mlp_gate"] = t[a + "gate_attn"], t[a + "gate_ffwd"]
    return {k: x.contiguous().clone() for k, x in h.items()}


SOME = ("conv1._linear.weight", "transformer.resblocks.0.mlp.c_fc.bias", "transformer.resblocks.0.mlp.c_proj.weight",
        "transformer.resblocks.0.mlp.c_proj.bias", "vision_projection.bias", "learnable_embedding.weight", "text_model.output.weight",
        "rope.freqs", "layers.1.attention.wq.weight", "layers.1.attention.wo.weight", "layers.1.feed_forward.w2.weight",
        "layers.1.attention_norm.weight", "cross_attention_layers.0.attention.wk.weight", "cross_attention_layers.0.gate_attn")


def write_meta(out):
    torch.manual_seed(5)
    model = meta_model()
    for count in (1, 2, 8):  # of several files, tensors for every rule of division
        folder = os.path.join(out, str(count))
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "params.json"), "w") as f:
            json.dump(PARAMS, f, indent=2)
        for rank in range(count):
            shard = {}
            for name, (x, axis) in model.items():
                if count == 1:
                    shard[name] = x
                elif name.endswith(SOME):
                    shard[name] = x if axis is None else x.chunk(count, axis)[rank].clone()
            torch.save(shard, os.path.join(folder, "consolidated.pth" if count == 1 else f"consolidated.{rank:02d}.pth"))
    save_file(transformers_model({k: x for k, (x, _) in model.items()}), os.path.join(out, "transformers.safetensors"))


if __name__ == "__main__":
    out = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "data")
    for name, write in (("pth", write_views), ("meta", write_meta)):
        os.makedirs(os.path.join(out, name), exist_ok=True)
        write(os.path.join(out, name))
