# SPDX-License-Identifier: Apache-2.0
"""Block types of GGUF in a running model, against gguf's own package: gguf_types.py PROGRAM MODEL PICTURE.

MODEL (a Hugging Face folder) is written as GGUF by the program; then its matrices are replaced by blocks of one type, once in the
file, once, as gguf's Python package dequantises them, in a folder. Logits and greedy tokens of the two are compared."""
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
from gguf import GGMLQuantizationType as types
from gguf import GGUFReader, GGUFWriter, GGUFValueType
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import dequantize, quantize
from safetensors.numpy import load_file, save_file

PROGRAM, MODEL, PICTURE = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
TYPES = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K"]


def program(*arguments):
    done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def k_blocks(x, bits):
    """Q4_K, Q5_K or Q6_K of rows of 256: the simplest encoder, the layouts of ggml's block_q4_K, block_q5_K, block_q6_K."""
    b = x.reshape(-1, 256)
    if bits == 6:  # 16 groups of 16, signed scales of 8 bits
        g = b.reshape(-1, 16, 16)
        d = np.maximum(np.abs(g).max((1, 2)) / 31 / 127, 1e-7).astype(np.float16)
        wide = d.astype(np.float32)[:, None]
        scales = np.clip(np.ceil(np.abs(g).max(2) / 31 / wide), 1, 127)
        q = (np.clip(np.rint(g / (wide * scales)[:, :, None]), -32, 31) + 32).astype(np.uint8).reshape(-1, 2, 4, 32)
        low = np.concatenate([q[:, :, 0] & 15 | (q[:, :, 2] & 15) << 4, q[:, :, 1] & 15 | (q[:, :, 3] & 15) << 4], 2)
        high = q[:, :, 0] >> 4 | q[:, :, 1] >> 4 << 2 | q[:, :, 2] >> 4 << 4 | q[:, :, 3] >> 4 << 6
        parts = [low.reshape(-1, 128), high.reshape(-1, 64), scales.astype(np.int8).view(np.uint8), d[:, None].view(np.uint8)]
    else:  # 8 groups of 32, scales and minima of 6 bits
        g, top = b.reshape(-1, 8, 32), 2 ** bits - 1
        least = np.maximum(-g.min(2), 0)
        d = np.maximum((g.max(2) + least).max(1) / top / 63, 1e-7).astype(np.float16)
        m = np.maximum(least.max(1) / 63, 1e-7).astype(np.float16)
        dw, mw = d.astype(np.float32)[:, None], m.astype(np.float32)[:, None]
        s = np.clip(np.ceil((g.max(2) + least) / top / dw), 1, 63).astype(np.uint8)
        n = np.clip(np.rint(least / mw), 0, 63).astype(np.uint8)
        q = np.clip(np.rint((g + (mw * n)[:, :, None]) / (dw * s)[:, :, None]), 0, top).astype(np.uint8)
        packed = np.concatenate([s[:, :4] | s[:, 4:] >> 4 << 6, n[:, :4] | n[:, 4:] >> 4 << 6, s[:, 4:] & 15 | (n[:, 4:] & 15) << 4], 1)
        high = sum((q[:, i] >> 4) << i for i in range(8)).astype(np.uint8)
        low = (q[:, 0::2] & 15 | (q[:, 1::2] & 15) << 4).reshape(-1, 128)
        parts = [d[:, None].view(np.uint8), m[:, None].view(np.uint8), packed] + ([high] if bits == 5 else []) + [low]
    return np.concatenate(parts, 1).reshape(x.shape[0], -1)


def encoded(x, name):
    if name.endswith("_K"):
        return k_blocks(x, int(name[1]))
    return quantize(x, types[name])


def logits(model, out):
    """Every row of logits while 24 tokens are drawn greedily, and the tokens."""
    program("trace", "--model", model, "--image", PICTURE, "--prompt", "Describe this image.", "--max-tokens", 24, "--out", out)
    found = load_file(out)
    said = json.loads(program("describe", "--model", model, "--greedy", "--json", PICTURE))
    return [found[n].astype(np.float32) for n in sorted(found) if "logits" in n], said["tokens"]


def main(around):
    plain = around / "plain.gguf"
    program("convert", MODEL, plain, "--to", "gguf", "--dtype", "f32")
    reader = GGUFReader(plain)
    whole = around / "f32"
    program("convert", plain, whole, "--to", "huggingface", "--dtype", "f32")
    original = load_file(whole / "model.safetensors")
    of_size = {}  # Hugging Face's names by their values
    for name, x in original.items():
        of_size.setdefault(x.tobytes(), []).append(name)
    for type_name in TYPES:
        values = GGML_QUANT_SIZES[types[type_name]][0]
        changed, count, changed_values = dict(original), 0, 0
        writer = GGUFWriter(around / "blocks.gguf", "mllama")
        for key, field in reader.fields.items():
            if key.startswith("GGUF.") or key == "general.architecture":
                continue
            if field.types[0] == GGUFValueType.ARRAY:
                writer.add_array(key, field.contents())
            else:
                writer.add_key_value(key, field.contents(), field.types[0])
        for tensor in reader.tensors:
            x = np.array(tensor.data, np.float32)
            names = of_size.get(x.tobytes(), [])
            matrix = x.ndim == 2 and x.shape[1] % values == 0 and tensor.name.endswith(".weight") and "position" not in tensor.name
            if not matrix or len(names) != 1:
                writer.add_tensor(tensor.name, x)
                continue
            blocks = encoded(x, type_name)
            changed[names[0]] = dequantize(blocks, types[type_name]).reshape(x.shape)
            writer.add_tensor(tensor.name, blocks, raw_dtype=types[type_name])
            count, changed_values = count + 1, changed_values + x.size
            error = np.sqrt(np.mean((changed[names[0]] - x) ** 2) / np.mean(x ** 2))
            assert 1e-4 < error < 0.2, (type_name, tensor.name, error)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        stored = json.loads(program("inspect", around / "blocks.gguf", "--json"))
        assert type_name in stored["parts"][-1]["types"], stored
        save_file(changed, whole / "model.safetensors")
        is_, tokens = logits(around / "blocks.gguf", around / "a.safetensors")
        wanted, expected = logits(whole, around / "b.safetensors")
        assert len(is_) == len(wanted) > 0 and count > 0
        far = max(np.abs(a - b).max() / np.abs(b).max() for a, b in zip(is_, wanted))
        assert tokens == expected, (type_name, tokens, expected)
        assert far < (0.05 if type_name in ("Q4_0", "Q8_0") else 2e-3), (type_name, far)
        print(f"{type_name}: {count} matrices, {changed_values} values; {len(tokens)} tokens are the same, logits to {far:.1e} of the largest")


with tempfile.TemporaryDirectory() as folder:
    main(pathlib.Path(folder))
