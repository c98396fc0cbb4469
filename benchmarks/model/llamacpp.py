#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The text layers in llama.cpp, which knows no mllama: random weights of Llama 3.1 8B's sizes, the text that the 11B is built on.

Two files of 2 and of 6 layers are written and timed as llama-bench does it; what they differ in is four layers. The whole text is 32
layers and 8 cross layers, which have no keys and values to multiply here; their look at the picture is not counted."""
import argparse
import ctypes
import json
import os
import pathlib
import resource
import tempfile
import time

import figures
from measuring import Absent, Limits, processors, say

FEW, MANY = 2, 6
# Values, bytes of a block, where its scale stands and what it is: so that weights are small, finite numbers.
BLOCKS = {"Q4_0": (32, 18, 0, 3e-3), "Q8_0": (32, 34, 0, 2e-4), "Q6_K": (256, 210, 208, 1e-5), "BF16": (1, 2, None, None)}
FORMATS = {"q4": "Q4_0", "q8": "Q8_0", "bf16": "BF16", "stored": "BF16"}


def random_blocks(count, name):
    """(count, bytes of a block)"""
    import numpy as np
    _, size, where, scale = BLOCKS[name]
    draw = np.random.default_rng(0)
    if scale is None:
        values = draw.random(count, dtype=np.float32) * 0.06 - 0.03
        return (values.view(np.uint32) >> 16).astype(np.uint16).view(np.uint8).reshape(count, size)
    blocks = draw.integers(0, 256, (count, size), dtype=np.uint8)
    blocks[:, where:where + 2] = np.frombuffer(np.float16(scale).tobytes(), np.uint8)
    return blocks


def write(path, name, layers):
    """A file of llama's architecture, tensor after tensor. The head is Q6_K beside 4 bits, as llama-quantize has it. Of the
    embeddings only rows are looked up, so that they may be small."""
    import gguf
    import numpy as np
    width, hidden, keys, words = figures.WIDTH, figures.HIDDEN, figures.KEYS, figures.VOCABULARY
    head = "Q6_K" if name == "Q4_0" else name
    tensors = [("token_embd", words, width, "Q4_0"), ("output", words, width, head), ("output_norm", width, None, None)]
    for i in range(layers):
        tensors += [(f"blk.{i}.{what}_norm", width, None, None) for what in ("attn", "ffn")]
        tensors += [(f"blk.{i}.{what}", rows, columns, name) for what, rows, columns in (
            ("attn_q", width, width), ("attn_k", keys, width), ("attn_v", keys, width), ("attn_output", width, width),
            ("ffn_gate", hidden, width), ("ffn_up", hidden, width), ("ffn_down", width, hidden))]
    drawn = {kind: random_blocks(1 << 20, kind) for kind in {"Q4_0", head, name}}

    def values(rows, columns, kind):
        if kind is None:
            return np.ones(rows, np.float32)
        per, size, *_ = BLOCKS[kind]
        count = rows * columns // per
        return np.resize(drawn[kind], (count, size)).reshape(rows, columns // per * size)

    part = path.with_suffix(".part")
    file = gguf.GGUFWriter(part, "llama")
    file.add_block_count(layers)
    file.add_context_length(8192)
    file.add_embedding_length(width)
    file.add_feed_forward_length(hidden)
    file.add_head_count(32)
    file.add_head_count_kv(8)
    file.add_layer_norm_rms_eps(1e-5)
    file.add_rope_freq_base(500000.0)
    file.add_rope_dimension_count(128)
    file.add_vocab_size(words)
    file.add_tokenizer_model("none")
    for what, rows, columns, kind in tensors:
        if kind is None:
            file.add_tensor_info(f"{what}.weight", (rows,), np.dtype(np.float32), rows * 4)
            continue
        per, size, *_ = BLOCKS[kind]
        row = columns // per * size
        file.add_tensor_info(f"{what}.weight", (rows, row), np.dtype(np.uint8), rows * row, gguf.GGMLQuantizationType[kind])
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_ti_data_to_file()
    for _, rows, columns, kind in tensors:
        file.write_tensor_data(values(rows, columns, kind))
    file.close()
    os.replace(part, path)


class Model:
    """One file, loaded, with a conversation."""

    def __init__(self, path, threads, positions):
        import llama_cpp
        self.api = llama_cpp
        self.model = llama_cpp.llama_model_load_from_file(str(path).encode(), llama_cpp.llama_model_default_params())
        settings = llama_cpp.llama_context_default_params()
        settings.n_ctx = positions
        settings.n_batch, settings.n_ubatch = 2048, 512  # llama-bench's
        settings.n_threads = settings.n_threads_batch = threads
        self.context = self.model and llama_cpp.llama_init_from_model(self.model, settings)
        if not self.context:
            raise Absent(f"llama.cpp does not load {path}")

    def close(self):
        self.api.llama_free(self.context)
        self.api.llama_model_free(self.model)

    def read(self, count):
        tokens = (self.api.llama_token * count)(*(i * 37 % 128000 for i in range(count)))
        if self.api.llama_decode(self.context, self.api.llama_batch_get_one(tokens, count)):
            raise Absent("llama.cpp does not read its tokens")
        self.api.llama_synchronize(self.context)

    def prompt(self, count):
        """Seconds for a prompt at the start of a conversation."""
        self.api.llama_memory_clear(self.api.llama_get_memory(self.context), True)
        start = time.perf_counter()
        self.read(count)
        return time.perf_counter() - start

    def token(self, prompt, answer):
        """Seconds for each of so many tokens after a prompt."""
        self.prompt(prompt)
        start = time.perf_counter()
        for _ in range(answer):
            self.read(1)
        return (time.perf_counter() - start) / answer


def at_depth(path, options, limits):
    """Seconds of {prompts, "token"} and the limits around each; the median of so many, after one to warm up."""
    model = Model(path, options.threads, max(options.prompt) + options.answer)
    model.prompt(options.prompt[0])
    measures = {n: lambda n=n: model.prompt(n) for n in options.prompt}
    measures["token"] = lambda: model.token(options.prompt[0], options.answer)
    taken = {}
    for what, measure in measures.items():
        seconds, beside = limits.around(lambda: figures.median([measure() for _ in range(options.repeat)]))
        say(f"llama.cpp, {path.stem}, {what}: {seconds:.3f} s")
        taken[what] = {"seconds": seconds, "limits": beside}
    model.close()
    return taken


def measure(options):
    try:
        import gguf
        import llama_cpp
        import numpy
    except (ImportError, OSError, RuntimeError) as fault:  # the binding looks for its library when it is imported
        raise Absent(f"llama.cpp needs its Python binding ({fault}): pip install -r requirements.txt") from None
    silent = llama_cpp.llama_log_callback(lambda *_: None)
    llama_cpp.llama_log_set(silent, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    limits = Limits(options.limits, options.threads)
    name = FORMATS[options.format]
    depths = []
    for layers in (FEW, MANY):
        path = options.scratch / f"llama-{name}-{layers}.gguf"
        if not path.exists():
            say(f"llama.cpp: writing {path.name}")
            write(path, name, layers)
        depths.append(at_depth(path, options, limits))

    def whole(what, tokens):
        few, many = (depth[what] for depth in depths)
        if few["seconds"] >= many["seconds"]:
            raise Absent(f"{MANY} layers of llama.cpp took no longer than {FEW}: this machine is too busy to tell")
        seconds = figures.from_two_depths(few["seconds"], many["seconds"], FEW, MANY, figures.text_layers_of_llama())
        return {"tokens": tokens, "seconds": seconds, "limits": many["limits"]}

    return {"engine": f"llama.cpp of llama-cpp-python {llama_cpp.__version__}, from {FEW} and {MANY} layers",
            "text": name, "threads": options.threads, "prompts": [whole(n, n) for n in options.prompt],
            "decode": whole("token", 1),
            "memory": {"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--format", choices=FORMATS, default="q4")
    parser.add_argument("--prompt", type=int, nargs="+", default=[64, 512], help="tokens; the answer follows the first")
    parser.add_argument("--answer", type=int, default=16, help="tokens")
    parser.add_argument("--repeat", type=int, default=3, help="the median of so many")
    parser.add_argument("--threads", type=int, default=processors())
    parser.add_argument("--limits", metavar="PROGRAM", help="llamavision, to put the machine's limits beside each figure")
    parser.add_argument("--scratch", metavar="FOLDER", type=pathlib.Path, help="keeps the files of random weights; 3 to 7 GB a format")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        options.scratch = options.scratch or pathlib.Path(folder)
        options.scratch.mkdir(parents=True, exist_ok=True)
        try:
            print(json.dumps(measure(options)))
        except Absent as fault:
            raise SystemExit(str(fault)) from None


if __name__ == "__main__":
    main()
