#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""gguf_files.py OUT: one small random model in Hugging Face's form and as gguf's own Python package writes ollama's
dialects (convert_mllama.go, convert_llama.go; for the pair, llama/mllama.cpp), and a file of every block type."""
import hashlib
import json
import os
import sys

import numpy as np
from gguf import GGMLQuantizationType as types
from gguf import GGUFWriter
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import dequantize
from safetensors.numpy import save_file

random = np.random.default_rng(20261124)
OUT = sys.argv[1]
V = dict(width=8, mlp=16, heads=2, layers=2, global_layers=2, tile=28, patch=14, taps=[0, 1])
T = dict(width=16, mlp=24, heads=4, kv_heads=2, layers=3, cross=[1], vocabulary=512, context=131072)
SPECIALS = ["begin_of_text", "end_of_text", "reserved_special_token_0", "reserved_special_token_1", "finetune_right_pad_id",
            "step_id", "start_header_id", "end_header_id", "eom_id", "eot_id", "python_tag"]
SPECIALS += [f"reserved_special_token_{i}" for i in range(2, 2 + 256 - len(SPECIALS))] + ["image"]


def bf16(x):
    """The nearest bfloat16, as float32."""
    n = np.asarray(x, np.float32).view(np.uint32)
    return ((n + 0x7FFF + ((n >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)


def model():
    """Hugging Face's names to float32 arrays that bfloat16 holds."""
    t = {}

    def add(name, *shape):
        t[name] = bf16(random.standard_normal(shape) * 0.3)

    lm, vm = "language_model.model.", "vision_model."
    add(lm + "embed_tokens.weight", T["vocabulary"] + 8, T["width"])
    add(lm + "norm.weight", T["width"])
    add("language_model.lm_head.weight", T["vocabulary"], T["width"])
    head = T["width"] // T["heads"]
    for i in range(T["layers"]):
        p = f"{lm}layers.{i}."
        a = p + ("cross_attn." if i in T["cross"] else "self_attn.")
        for n, rows in (("q", T["width"]), ("k", head * T["kv_heads"]), ("v", head * T["kv_heads"]), ("o", T["width"])):
            add(f"{a}{n}_proj.weight", rows, T["width"])
        if i in T["cross"]:
            for n in ("cross_attn.q_norm.weight", "cross_attn.k_norm.weight"):
                add(p + n, head)
            t[p + "cross_attn_attn_gate"], t[p + "cross_attn_mlp_gate"] = bf16([1.5]), bf16([-0.25])
        add(p + "mlp.gate_proj.weight", T["mlp"], T["width"])
        add(p + "mlp.up_proj.weight", T["mlp"], T["width"])
        add(p + "mlp.down_proj.weight", T["width"], T["mlp"])
        add(p + "input_layernorm.weight", T["width"])
        add(p + "post_attention_layernorm.weight", T["width"])
    patches, w = (V["tile"] // V["patch"]) ** 2 + 1, V["width"]
    add(vm + "class_embedding", w)
    add(vm + "patch_embedding.weight", w, 3, V["patch"], V["patch"])
    add(vm + "gated_positional_embedding.embedding", patches, w)
    add(vm + "gated_positional_embedding.tile_embedding.weight", 9, 4 * patches * w)
    gates = iter([0.7, -0.004, 4.0, 1.25, -0.3, 0.02, -2.5])
    t[vm + "gated_positional_embedding.gate"] = bf16([next(gates)])
    for n in ("pre", "post"):
        add(f"{vm}{n}_tile_positional_embedding.embedding.weight", 9, 4 * w)
        t[f"{vm}{n}_tile_positional_embedding.gate"] = bf16([next(gates)])
        add(f"{vm}layernorm_{n}.weight", w)
        add(f"{vm}layernorm_{n}.bias", w)
    for stack, count in (("transformer", V["layers"]), ("global_transformer", V["global_layers"])):
        for i in range(count):
            p = f"{vm}{stack}.layers.{i}."
            for n in "qkvo":
                add(f"{p}self_attn.{n}_proj.weight", w, w)
            add(p + "mlp.fc1.weight", V["mlp"], w)
            add(p + "mlp.fc1.bias", V["mlp"])
            add(p + "mlp.fc2.weight", w, V["mlp"])
            add(p + "mlp.fc2.bias", w)
            for n in ("input_layernorm", "post_attention_layernorm"):
                add(f"{p}{n}.weight", w)
                add(f"{p}{n}.bias", w)
            if stack == "global_transformer":
                t[p + "gate_attn"], t[p + "gate_ffn"] = bf16([next(gates)]), bf16([next(gates)])
    add("multi_modal_projector.weight", T["width"], w * (1 + len(V["taps"])))
    add("multi_modal_projector.bias", T["width"])
    return t


def hugging_face(t, folder):
    os.makedirs(folder, exist_ok=True)
    config = dict(
        architectures=["MllamaForConditionalGeneration"], image_token_index=T["vocabulary"], model_type="mllama",
        text_config=dict(
            bos_token_id=256, eos_token_id=[257, 264, 265], cross_attention_layers=T["cross"], hidden_size=T["width"],
            intermediate_size=T["mlp"], max_position_embeddings=T["context"], num_attention_heads=T["heads"],
            num_hidden_layers=T["layers"], num_key_value_heads=T["kv_heads"], pad_token_id=260, rms_norm_eps=1e-5,
            rope_theta=500000.0, vocab_size=T["vocabulary"], rope_scaling=dict(
                factor=8.0, high_freq_factor=4.0, low_freq_factor=1.0, original_max_position_embeddings=8192, rope_type="llama3")),
        vision_config=dict(
            attention_heads=V["heads"], hidden_size=V["width"], image_size=V["tile"], intermediate_layers_indices=V["taps"],
            intermediate_size=V["mlp"], max_num_tiles=4, norm_eps=1e-5, num_global_layers=V["global_layers"],
            num_hidden_layers=V["layers"], patch_size=V["patch"]))
    with open(os.path.join(folder, "config.json"), "w") as f:
        json.dump(config, f, indent=1)
    # safetensors' own writer for numpy knows no bfloat16: the header says so afterwards
    path = os.path.join(folder, "model.safetensors")
    save_file({n: (x.view(np.uint32) >> 16).astype(np.uint16) for n, x in t.items()}, path)
    data = open(path, "rb").read()
    open(path, "wb").write(bf16_header(data))


def bf16_header(data):
    n = int.from_bytes(data[:8], "little")
    header = data[8:8 + n].rstrip().replace(b'"U16"', b'"BF16"')
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + data[8 + n:]


TEXT = [("self_attn.q_proj", "attn_q"), ("self_attn.k_proj", "attn_k"), ("self_attn.v_proj", "attn_v"),
        ("self_attn.o_proj", "attn_output"), ("cross_attn.", "cross_attn_"), ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"), ("mlp.down_proj", "ffn_down"), ("input_layernorm", "attn_norm"),
        ("post_attention_layernorm", "ffn_norm"), ("language_model.lm_head", "output"),
        ("language_model.model.embed_tokens", "token_embd"), ("language_model.model.norm", "output_norm"),
        ("language_model.model.layers", "blk")]
SHARED = [("vision_model", "v"), ("class_embedding", "class_embd"), ("patch_embedding", "patch_embd"),
          ("gated_positional_embedding.tile_embedding", "tile_position_embd"),
          ("gated_positional_embedding.embedding", "position_embd.weight"), ("gated_positional_embedding", "position_embd"),
          ("tile_positional_embedding.embedding", "tile_position_embd"), ("tile_positional_embedding", "tile_position_embd"),
          ("layernorm_pre", "pre_ln"), ("layernorm_post", "post_ln"), ("global_transformer.layers", "global.blk"),
          ("transformer.layers", "blk"), ("gate_attn", "attn_gate"), ("gate_ffn", "ffn_gate"),
          ("multi_modal_projector", "mm.0")]
ONE = [("self_attn.q_proj", "attn_q"), ("self_attn.k_proj", "attn_k"), ("self_attn.v_proj", "attn_v"),
       ("self_attn.o_proj", "attn_output"), ("mlp.fc1", "ffn_up"), ("mlp.fc2", "ffn_down"),
       ("input_layernorm", "attn_norm"), ("post_attention_layernorm", "ffn_norm")]
TWO = [("self_attn.q_proj", "attn_q"), ("self_attn.k_proj", "attn_k"), ("self_attn.v_proj", "attn_v"),
       ("self_attn.o_proj", "attn_out"), ("mlp.fc1", "ffn_down"), ("mlp.fc2", "ffn_up"),
       ("input_layernorm", "ln1"), ("post_attention_layernorm", "ln2")]


def renamed(name, tower):
    for old, new in TEXT if name.startswith("language_model") else tower + SHARED:
        name = name.replace(old, new)
    return name


def paired(x, heads):
    return x.reshape(heads, 2, -1, x.shape[1]).transpose(0, 2, 1, 3).reshape(x.shape)


def dialect(t, name):
    """GGUF's names to arrays: one of ollama, ollama-0.7.0, pair, pair-permuted."""
    out = {}
    for n, x in t.items():
        text, cross = n.startswith("language_model"), "cross_attn." in n
        if n.endswith(("q_proj.weight", "k_proj.weight")):
            heads = (T["heads"] if "q_proj" in n else T["kv_heads"]) if text else V["heads"]
            if (cross and name != "pair") or (text and not cross) or (not text and name == "ollama"):
                x = paired(x, heads)
        new = renamed(n, TWO if name.startswith("pair") else ONE)
        if not text and n.endswith((".gate", "gate_attn", "gate_ffn")):
            raw = name == "ollama-0.7.0" and not n.endswith(".gate")
            x = x if raw else np.tanh(x)
        if new == "v.position_embd.gate":
            out["v.tile_position_embd.gate"] = x
            x = np.float32(1) - x
        out[new] = x
    factors, d = [], T["width"] // T["heads"]
    for i in range(0, d, 2):
        wavelength = 2 * np.pi * 500000.0 ** (i / d)
        smooth = (8192 / wavelength - 1) / 3
        factors.append(1 if wavelength < 2048 else 8 if wavelength > 8192 else 1 / ((1 - smooth) / 8 + smooth))
    out["rope_freqs.weight"] = np.array(factors, np.float32)
    return out


def characters():
    """GPT-2's alphabet: the character of each byte."""
    prints = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(b) if b in prints else chr(next(others)) for b in range(256)]


def write(path, tensors, matrices, text=True, vision=True):
    w = GGUFWriter(path, "mllama")
    if text:
        w.add_block_count(T["layers"])
        w.add_context_length(T["context"])
        w.add_embedding_length(T["width"])
        w.add_feed_forward_length(T["mlp"])
        w.add_head_count(T["heads"])
        w.add_head_count_kv(T["kv_heads"])
        w.add_layer_norm_rms_eps(1e-5)
        w.add_array("mllama.attention.cross_attention_layers", T["cross"])
        w.add_rope_dimension_count(T["width"] // T["heads"])
        w.add_rope_freq_base(500000.0)
        w.add_vocab_size(T["vocabulary"])
        w.add_tokenizer_model("gpt2")
        w.add_tokenizer_pre("llama-bpe")
        w.add_token_list(characters() + [f"<|{n}|>" for n in SPECIALS])
        w.add_token_types([1] * 256 + [3] * len(SPECIALS))
        w.add_bos_token_id(256)
        w.add_eos_token_id(265)
        w.add_array("tokenizer.ggml.eos_token_ids", [257, 264, 265])
    if vision:
        for key, value in (("block_count", V["layers"]), ("global.block_count", V["global_layers"]),
                           ("embedding_length", V["width"]), ("feed_forward_length", V["mlp"]),
                           ("attention.head_count", V["heads"]), ("image_size", V["tile"]), ("patch_size", V["patch"]),
                           ("max_num_tiles", 4), ("num_channels", 3)):
            w.add_uint32("mllama.vision." + key, value)
        w.add_array("mllama.vision.intermediate_layers_indices", V["taps"])
        w.add_float32("mllama.vision.attention.layer_norm_epsilon", 1e-5)
        if not text:
            w.add_uint32("mllama.vision.projection_dim", T["width"])
    for name, x in tensors.items():
        x = np.ascontiguousarray(x, np.float32)
        if not (vision if name.startswith(("v.", "mm.")) else text):
            continue
        if x.ndim == 1 or "position_embd.weight" in name:
            w.add_tensor(name, x)
        elif matrices == types.BF16:
            w.add_tensor(name, (x.view(np.uint32) >> 16).astype(np.uint16).view(np.uint8), raw_dtype=types.BF16)
        else:
            w.add_tensor(name, x.astype(np.float16))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def block_types(path):
    """A tensor of every block type, q of a self-attention layer each, and the hashes of its values in Hugging Face's rows."""
    w, hashes = GGUFWriter(path, "mllama"), {}
    halves = {"Q4_1": [0, 2], "Q5_1": [0, 2], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}
    for i, name in enumerate(["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K"]):
        values, size = GGML_QUANT_SIZES[types[name]]
        rows = random.integers(0, 256, (8, 256 // values, size), dtype=np.uint8)
        for at in halves.get(name, [0]):
            half = random.standard_normal((8, 256 // values)).astype(np.float16)
            rows[:, :, at:at + 2] = half.view(np.uint8).reshape(8, -1, 2)
        rows = rows.reshape(8, -1)
        hashes[f"language_model.model.layers.{i}.self_attn.q_proj.weight"] = hashlib.sha256(dequantize(rows, types[name]).tobytes()).hexdigest()
        w.add_tensor(f"blk.{i}.attn_q.weight", rows.reshape(2, 2, 2, -1).transpose(0, 2, 1, 3).reshape(rows.shape), raw_dtype=types[name])
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    with open(path + ".json", "w") as f:
        json.dump(hashes, f, indent=1)


os.makedirs(os.path.join(OUT, "pair"), exist_ok=True)
weights = model()
hugging_face(weights, os.path.join(OUT, "hf"))
write(os.path.join(OUT, "ollama.gguf"), dialect(weights, "ollama"), types.BF16)
for half, (text, vision) in dict(model=(True, False), projector=(False, True)).items():
    write(os.path.join(OUT, "pair", half + ".gguf"), dialect(weights, "pair"), types.F16, text, vision)
block_types(os.path.join(OUT, "blocks.gguf"))
