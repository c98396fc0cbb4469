# SPDX-License-Identifier: Apache-2.0
"""The published models' files in every form, all zeros that no disk has to hold: names and shapes as released, headers and lists
as the forms have them."""
import json
import math
import pathlib
import struct

TILES, ARRANGEMENTS = 4, 8


class Size:
    def __init__(self, width, mlp, heads, layers, tile, ranks):
        self.width, self.mlp, self.heads, self.layers, self.tile, self.ranks = width, mlp, heads, layers, tile, ranks
        self.cross = list(range(3, layers, 5))
        self.kv = 8 * 128
        self.positions = (tile // 14) ** 2 + 1


SIZES = {"11b": Size(4096, 14336, 32, 40, 560, 1), "11b-448": Size(4096, 14336, 32, 40, 448, 1),
         "90b": Size(8192, 28672, 64, 100, 560, 8)}


def config(size, stop_ids):
    """config.json as transformers 4.45 wrote it, without what has defaults."""
    rope = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192}
    text = {"model_type": "mllama_text_model", "hidden_size": size.width, "intermediate_size": size.mlp,
            "num_attention_heads": size.heads, "num_key_value_heads": 8, "num_hidden_layers": size.layers,
            "cross_attention_layers": size.cross, "rope_theta": 500000.0, "rope_scaling": rope, "vocab_size": 128256,
            "eos_token_id": stop_ids, "bos_token_id": 128000, "pad_token_id": 128004}
    return {"model_type": "mllama", "architectures": ["MllamaForConditionalGeneration"], "image_token_index": 128256,
            "torch_dtype": "bfloat16", "transformers_version": "4.45.0.dev0", "text_config": text,
            "vision_config": {"model_type": "mllama_vision_model", "image_size": size.tile}}


def hugging_face(s):
    """{name: shape}"""
    t = {"vision_model.class_embedding": [1280], "vision_model.patch_embedding.weight": [1280, 3, 14, 14]}
    embedding = "vision_model.gated_positional_embedding."
    t |= {embedding + "embedding": [s.positions, 1280], embedding + "gate": [1],
          embedding + "tile_embedding.weight": [ARRANGEMENTS + 1, TILES * s.positions * 1280]}
    for side in ("pre", "post"):
        t |= {f"vision_model.{side}_tile_positional_embedding.embedding.weight": [ARRANGEMENTS + 1, TILES * 1280],
              f"vision_model.{side}_tile_positional_embedding.gate": [1]}
        t |= {f"vision_model.layernorm_{side}.{n}": [1280] for n in ("weight", "bias")}
    for stack, count in (("transformer", 32), ("global_transformer", 8)):
        for i in range(count):
            at = f"vision_model.{stack}.layers.{i}."
            t |= {at + f"self_attn.{n}_proj.weight": [1280, 1280] for n in "qkvo"}
            t |= {at + "mlp.fc1.weight": [5120, 1280], at + "mlp.fc1.bias": [5120], at + "mlp.fc2.weight": [1280, 5120],
                  at + "mlp.fc2.bias": [1280]}
            t |= {at + f"{n}_layernorm.{p}": [1280] for n in ("input", "post_attention") for p in ("weight", "bias")}
            if stack.startswith("global"):
                t |= {at + "gate_attn": [1], at + "gate_ffn": [1]}
    t |= {"multi_modal_projector.weight": [s.width, 7680], "multi_modal_projector.bias": [s.width]}
    t |= {"language_model.model.embed_tokens.weight": [128264, s.width], "language_model.model.norm.weight": [s.width],
          "language_model.lm_head.weight": [128256, s.width]}
    for i in range(s.layers):
        at = f"language_model.model.layers.{i}."
        kind = "cross_attn." if i in s.cross else "self_attn."
        t |= {at + kind + f"{n}_proj.weight": [s.width if n in "qo" else s.kv, s.width] for n in "qkvo"}
        if i in s.cross:
            t |= {at + "cross_attn.q_norm.weight": [128], at + "cross_attn.k_norm.weight": [128], at + "cross_attn_attn_gate": [1],
                  at + "cross_attn_mlp_gate": [1]}
        t |= {at + "mlp.gate_proj.weight": [s.mlp, s.width], at + "mlp.up_proj.weight": [s.mlp, s.width],
              at + "mlp.down_proj.weight": [s.width, s.mlp], at + "input_layernorm.weight": [s.width],
              at + "post_attention_layernorm.weight": [s.width]}
    return t


def newer_name(name):
    """As transformers from 4.52 on has it in memory."""
    if name.startswith("language_model.lm_head"):
        return name.removeprefix("language_model.")
    return "model." + name.replace("language_model.model.", "language_model.")


def meta(s):
    """{name: shape} of one of the files."""
    r, v, t = s.ranks, "vision_model.vision_encoder.", {}
    t |= {v + "conv1._linear.weight": [1280 // r, 588], v + "class_embedding": [1280], v + "positional_embedding": [s.positions, 1280],
          v + "gated_positional_embedding": [4, 4, s.positions, 1280], v + "gated_positional_embedding_gate": [1]}
    for side in ("pre", "post"):
        t |= {v + f"{side}_tile_pos_embed.embedding": [4, 4, 1, 1280], v + f"{side}_tile_pos_embed.gate": [1]}
        t |= {v + f"ln_{side}.{n}": [1280] for n in ("weight", "bias")}
    for stack, count in (("transformer", 32), ("global_transformer", 8)):
        for i in range(count):
            at = v + f"{stack}.resblocks.{i}."
            t |= {at + f"attn.w{n}.weight": [1280 // r, 1280] for n in "qkv"}
            t |= {at + "attn.wo.weight": [1280, 1280 // r], at + "mlp.c_fc.weight": [5120 // r, 1280], at + "mlp.c_fc.bias": [5120 // r],
                  at + "mlp.c_proj.weight": [1280, 5120 // r], at + "mlp.c_proj.bias": [1280]}
            t |= {at + f"ln_{n}.{p}": [1280] for n in (1, 2) for p in ("weight", "bias")}
            if stack.startswith("global"):
                t |= {at + "gate_attn": [1], at + "gate_ffn": [1]}
    t |= {"vision_model.vision_projection.weight": [s.width // r, 7680], "vision_model.vision_projection.bias": [s.width // r]}
    t |= {"text_model.tok_embeddings.weight": [128256 // r, s.width], "text_model.learnable_embedding.weight": [8 // r, s.width],
          "text_model.norm.weight": [s.width], "text_model.output.weight": [128256 // r, s.width], "text_model.rope.freqs": [64]}
    for stack, count in (("layers", s.layers - len(s.cross)), ("cross_attention_layers", len(s.cross))):
        for i in range(count):
            at = f"text_model.{stack}.{i}."
            t |= {at + f"attention.w{n}.weight": [(s.width if n == "q" else s.kv) // r, s.width] for n in "qkv"}
            t |= {at + "attention.wo.weight": [s.width, s.width // r], at + "feed_forward.w1.weight": [s.mlp // r, s.width],
                  at + "feed_forward.w3.weight": [s.mlp // r, s.width], at + "feed_forward.w2.weight": [s.width, s.mlp // r],
                  at + "attention_norm.weight": [s.width], at + "ffn_norm.weight": [s.width]}
            if stack.startswith("cross"):
                t |= {at + "attention.q_norm.weight": [128], at + "attention.k_norm.weight": [128], at + "gate_attn": [1],
                      at + "gate_ffwd": [1]}
    return t


def params(s):
    return {"dim": s.width, "n_layers": s.layers - len(s.cross), "n_heads": s.heads, "n_kv_heads": 8, "vocab_size": 128256,
            "ffn_dim_multiplier": 1.3, "multiple_of": 4096 if s.width > 4096 else 1024, "norm_eps": 1e-05, "rope_theta": 500000.0,
            "use_scaled_rope": True, "vision_chunk_size": s.tile, "vision_max_num_chunks": 4,
            "vision_num_cross_attention_layers": len(s.cross)}


def values(shape):
    count = 1
    for n in shape:
        count *= n
    return count


def write_safetensors(path, tensors):
    header, at = {}, 0
    for name, shape in tensors.items():
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, at + 2 * values(shape)]}
        at += 2 * values(shape)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + at)


def write_shards(folder, tensors, bytes_each=4_990_000_000):
    shards, size = [{}], 0
    for name, shape in tensors.items():
        if size + 2 * values(shape) > bytes_each:
            shards.append({})
            size = 0
        shards[-1][name] = shape
        size += 2 * values(shape)
    placed = {}
    for i, shard in enumerate(shards):
        name = f"model-{i + 1:05}-of-{len(shards):05}.safetensors"
        write_safetensors(folder / name, shard)
        placed |= {tensor: name for tensor in shard}
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {"total_size": 2 * sum(map(values, tensors.values()))}, "weight_map": placed}))
    return len(shards)


def pickle_of(tensors):
    text = lambda s: b"X" + struct.pack("<I", len(s)) + s.encode()
    number = lambda n: b"J" + struct.pack("<i", n)
    group = lambda shape: b"(" + b"".join(map(number, shape)) + b"t"
    program = b"\x80\x02}("
    for key, (name, shape) in enumerate(tensors.items()):
        strides = [values(shape[i + 1:]) for i in range(len(shape))]
        program += (text(name) + b"ctorch._utils\n_rebuild_tensor_v2\n((" + text("storage") + b"ctorch\nBFloat16Storage\n" + text(str(key))
                    + text("cpu") + number(values(shape)) + b"tQ" + number(0) + group(shape) + group(strides)
                    + b"\x89ccollections\nOrderedDict\n)RtR")
    return program + b"u."


def write_pth(path, tensors):
    """As torch.save lays it out; the checksums are not those of the zeros."""
    root, list_of = pathlib.Path(path).stem, []
    with open(path, "wb") as file:
        def member(name, size, content=None):
            at, name = file.tell(), f"{root}/{name}".encode()
            padding = -(at + 34 + len(name)) % 64
            file.write(struct.pack("<IHHHHHIIIHH", 0x04034b50, 20, 0x0808, 0, 0, 0x21, 0, 0, 0, len(name), 4 + padding) + name
                       + b"FB" + struct.pack("<H", padding) + b"Z" * padding)
            file.write(content) if content is not None else file.seek(size, 1)
            file.write(struct.pack("<IIII", 0x08074b50, 0, size, size))
            list_of.append((name, size, at))
        program = pickle_of(tensors)
        member("data.pkl", len(program), program)
        member("byteorder", 6, b"little")
        for key, shape in enumerate(tensors.values()):
            member(f"data/{key}", 2 * values(shape))
        member("version", 2, b"3\n")
        begin = file.tell()
        for name, size, at in list_of:
            extra = struct.pack("<HHQ", 1, 8, at)
            file.write(struct.pack("<IHHHHHHIIIHHHHHII", 0x02014b50, 45, 45, 0x0808, 0, 0, 0x21, 0, size, size, len(name), len(extra), 0,
                                   0, 0, 0, 0xFFFFFFFF) + name + extra)
        end = file.tell()
        file.write(struct.pack("<IQHHIIQQQQ", 0x06064b50, 44, 45, 45, 0, 0, len(list_of), len(list_of), end - begin, begin))
        file.write(struct.pack("<IIQI", 0x07064b50, 0, end, 1))
        file.write(struct.pack("<IHHHHIIH", 0x06054b50, 0, 0, len(list_of), len(list_of), end - begin, 0xFFFFFFFF, 0))


BLOCKS = {"F32": (0, 1, 4), "F16": (1, 1, 2), "Q4_K": (12, 256, 144), "Q6_K": (14, 256, 210)}


def gguf_name(name):
    whole = {"language_model.model.embed_tokens.weight": "token_embd.weight", "language_model.model.norm.weight": "output_norm.weight",
             "language_model.lm_head.weight": "output.weight", "multi_modal_projector.weight": "mm.0.weight",
             "multi_modal_projector.bias": "mm.0.bias", "vision_model.class_embedding": "v.class_embd",
             "vision_model.patch_embedding.weight": "v.patch_embd.weight",
             "vision_model.gated_positional_embedding.embedding": "v.position_embd.weight",
             "vision_model.gated_positional_embedding.gate": "v.position_embd.gate",
             "vision_model.gated_positional_embedding.tile_embedding.weight": "v.tile_position_embd.weight"}
    if name in whole:
        return whole[name]
    for old, new in (("language_model.model.layers.", "blk."), ("vision_model.global_transformer.layers.", "v.global.blk."),
                     ("vision_model.transformer.layers.", "v.blk."), ("vision_model.layernorm_pre", "v.pre_ln"),
                     ("vision_model.layernorm_post", "v.post_ln"),
                     ("vision_model.pre_tile_positional_embedding.embedding", "v.pre_tile_position_embd"),
                     ("vision_model.post_tile_positional_embedding.embedding", "v.post_tile_position_embd"),
                     ("vision_model.pre_tile_positional_embedding", "v.pre_tile_position_embd"),
                     ("vision_model.post_tile_positional_embedding", "v.post_tile_position_embd"), ("self_attn.o_proj", "attn_output"),
                     ("self_attn.", "attn_"), ("cross_attn.", "cross_attn_"), ("input_layernorm", "attn_norm"),
                     ("post_attention_layernorm", "ffn_norm"), ("mlp.fc1", "ffn_up"), ("mlp.fc2", "ffn_down"), ("mlp.", "ffn_"),
                     ("gate_ffn", "ffn_gate"), (".gate_attn", ".attn_gate")):
        name = name.replace(old, new)
    return name if "cross_attn" in name else name.replace("_proj", "")


def gguf_type(name, shape):
    """As ollama's Q4_K_M: blocks for the text's matrices, F16 for the tower's, F32 for the rest."""
    if len(shape) < 2 or "position_embd" in name:
        return "F32"
    if name.startswith(("v.", "mm.")):
        return "F16"
    return "Q6_K" if name == "output.weight" or "attn_v." in name else "Q4_K"


def rope_factors():
    """What the 64 frequencies are divided by (transformers: _compute_llama3_parameters)."""
    for i in range(0, 128, 2):
        wavelength = 2 * math.pi * 500000.0 ** (i / 128)
        smooth = min(max((8192 / wavelength - 1) / (4 - 1), 0), 1)
        yield 1 / ((1 - smooth) / 8 + smooth)


def write_gguf(path, s):
    text = lambda t: struct.pack("<Q", len(t)) + t.encode()
    def entry(key, value):
        if isinstance(value, str):
            return text(key) + struct.pack("<I", 8) + text(value)
        if isinstance(value, float):
            return text(key) + struct.pack("<If", 6, value)
        if isinstance(value, list):
            return text(key) + struct.pack("<IIQ", 9, 5, len(value)) + struct.pack(f"<{len(value)}i", *value)
        return text(key) + struct.pack("<II", 4, value)
    keys = {"general.architecture": "mllama", "mllama.block_count": s.layers, "mllama.context_length": 131072,
            "mllama.embedding_length": s.width, "mllama.feed_forward_length": s.mlp, "mllama.attention.head_count": s.heads,
            "mllama.attention.head_count_kv": 8, "mllama.attention.layer_norm_rms_epsilon": 1e-5,
            "mllama.attention.cross_attention_layers": s.cross, "mllama.rope.dimension_count": 128, "mllama.rope.freq_base": 500000.0,
            "mllama.vocab_size": 128256, "mllama.vision.block_count": 32, "mllama.vision.global.block_count": 8,
            "mllama.vision.intermediate_layers_indices": [3, 7, 15, 23, 30], "mllama.vision.embedding_length": 1280,
            "mllama.vision.feed_forward_length": 5120, "mllama.vision.attention.head_count": 16,
            "mllama.vision.attention.layer_norm_epsilon": 1e-5, "mllama.vision.image_size": s.tile, "mllama.vision.patch_size": 14,
            "mllama.vision.max_num_tiles": 4, "mllama.vision.num_channels": 3}
    tensors = {gguf_name(n): shape for n, shape in hugging_face(s).items()}
    tensors |= {"v.tile_position_embd.gate": [1], "rope_freqs.weight": [64]}
    content = {"v.position_embd.gate": struct.pack("<f", 1.0), "rope_freqs.weight": struct.pack("<64f", *rope_factors())}
    infos, at, filled = b"", 0, {}
    for name, shape in tensors.items():
        number, block, size = BLOCKS[gguf_type(name, shape)]
        infos += text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *reversed(shape), number, at)
        if name in content:
            filled[at] = content[name]
        at += -(-(values(shape) // block * size) // 32) * 32
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys)) + b"".join(entry(k, v) for k, v in keys.items()) + infos
    head += bytes(-len(head) % 32)
    with open(path, "wb") as file:
        file.write(head)
        file.truncate(len(head) + at)
        for offset, raw in filled.items():
            file.seek(len(head) + offset)
            file.write(raw)
    return len(tensors)
