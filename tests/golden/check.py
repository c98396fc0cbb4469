# SPDX-License-Identifier: Apache-2.0
"""Are the golden folders whole and consistent? With --against, how far from others (other versions, another machine)?
check.py FOLDER...    check.py --against OTHER FOLDER"""
import json
import os
import sys

import numpy as np


def load(path):
    """A safetensors file as float64 or int64 arrays; numpy alone, since it has no bfloat16 to ask safetensors for."""
    raw = open(path, "rb").read()
    size = int.from_bytes(raw[:8], "little")
    out = {}
    for name, entry in json.loads(raw[8 : 8 + size]).items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        data = raw[8 + size + begin : 8 + size + end]
        if entry["dtype"] == "BF16":
            values = (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
        else:
            values = np.frombuffer(data, {"F32": "<f4", "I64": "<i8"}[entry["dtype"]])
        out[name] = values.reshape(entry["shape"]).astype(np.int64 if entry["dtype"] == "I64" else np.float64)
    return out


def check(folder):
    golden = os.path.join(folder, "golden")
    cases = json.load(open(os.path.join(golden, "cases.json")))["cases"]
    config = json.load(open(os.path.join(folder, "hf", "config.json")))
    if config["model_type"] == "llama":
        return check_text_model(golden, cases, config)
    text, side = config["text_config"], config["vision_config"]["image_size"]
    images, faults = load(os.path.join(golden, "images.safetensors")), []

    def expect(condition, what):
        if not condition:
            faults.append(what)

    for name, case in cases.items():
        g = load(os.path.join(golden, f"{name}.safetensors"))
        ids = g["input_ids"].tolist()
        expect([i for i, t in enumerate(ids) if t == config["image_token_index"]] == case["image_positions"], f"{name}: positions")
        for key, (h, w) in zip(case["images"], case["aspect_ratios_h_w"]):
            expect(images[f"{key}.pixel_values"].shape == (h * w, 3, side, side), f"{name}: pixels of {key}")
        for mode in ("hf", "meta", "mixed"):
            tokens, longer = g[f"{mode}.greedy"], g.get(f"{mode}.greedy64", g[f"{mode}.greedy"])
            expect(len(tokens) == 48 and (tokens == longer[:48]).all(), f"{name}: {mode} text")
            expect(longer.min() >= 0 and longer.max() < text["vocab_size"], f"{name}: {mode} ids")
            expect(g[f"{mode}.greedy_margin"].min() > 1.5e-3, f"{name}: {mode} near tie")
        for reference in ("hf", "meta"):
            if f"{reference}.logits" not in g:
                expect(reference == "meta" and case["meta_prompt_equals_hf_prompt"], f"{name}: no {reference} logits")
                continue
            expect(g[f"{reference}.logits"].shape == (len(ids), text["vocab_size"]), f"{name}: {reference} logits")
            for i in range(text["num_hidden_layers"]):
                if case["images"] or i not in text["cross_attention_layers"]:
                    expect(g[f"{reference}.layers.{i}"].shape == (len(ids), text["hidden_size"]), f"{name}: {reference} layer {i}")
    return len(cases), faults


def check_text_model(golden, cases, config):
    faults = []

    def expect(condition, what):
        if not condition:
            faults.append(what)

    for name, case in cases.items():
        g = load(os.path.join(golden, f"{name}.safetensors"))
        rows, tokens = len(g["input_ids"]), g["hf.greedy"]
        expect(rows == case["tokens"], f"{name}: tokens")
        expect(g["hf.logits"].shape == (rows, config["vocab_size"]), f"{name}: logits")
        expect(len(tokens) == 24 and tokens.min() >= 6 and tokens.max() < config["vocab_size"], f"{name}: greedy text")
        expect(g["hf.logits"][-1].argmax() == tokens[0], f"{name}: the first token is not the best one")
        expect(g["hf.greedy_margin"].min() > 1.5e-3, f"{name}: near tie")
        for i in range(config["num_hidden_layers"]):
            expect(g[f"hf.layers.{i}"].shape == (rows, config["hidden_size"]), f"{name}: layer {i}")
    return len(cases), faults


def against(other, folder):
    """Largest relative difference of any float tensor, and the names of integer tensors that differ."""
    worst, different = 0.0, []
    for file in sorted(os.listdir(os.path.join(folder, "golden"))):
        if file.endswith(".safetensors"):
            a, b = (load(os.path.join(f, "golden", file)) for f in (other, folder))
            for name in sorted(a.keys() | b.keys()):
                if name not in a or name not in b or a[name].shape != b[name].shape:
                    different.append(f"{file}:{name}")
                elif a[name].dtype == np.int64:
                    different += [] if (a[name] == b[name]).all() else [f"{file}:{name}"]
                elif not name.endswith("greedy_margin"):
                    worst = max(worst, np.abs(a[name] - b[name]).max() / np.abs(b[name]).max())
    return worst, different


if __name__ == "__main__":
    if sys.argv[1] == "--against":
        worst, different = against(*sys.argv[2:4])
        print(f"largest relative difference {worst:.1e}; differing: {', '.join(different) or 'none'}")
        sys.exit(bool(different) or worst > 1e-5)
    bad = 0
    for folder in sys.argv[1:]:
        count, faults = check(folder)
        print(f"{os.path.basename(os.path.normpath(folder))}: {count} cases, {len(faults)} faults", *faults[:8], sep="\n  " if faults else "")
        bad += len(faults)
    sys.exit(bool(bad))
