# SPDX-License-Identifier: Apache-2.0
"""Meta's own code on Meta's own form: meta_form.py PROGRAM MODEL PICTURE... (MODEL: the bundled one).

MODEL, with tile tables that Meta's form can hold, is converted to Meta's form, in one file and in two. Meta's code loads each file with
strict=True, by params.json, on as many ranks as there are files. `trace --parity meta` must draw the same greedy tokens from both
forms and from Hugging Face's, and its logits must be Meta's."""
import json
import pathlib
import subprocess
import sys
import tempfile

import torch
import torch.multiprocessing
from safetensors.torch import load_file, save_file

from reference_meta import Meta

TOKENS = 24


def program(*arguments):
    done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def flat_tables(tensors):
    """One vector for each cell, that of the smallest arrangement it is in; none for padded tiles."""
    shapes = [(h, w) for h in range(1, 5) for w in range(1, 5) if h * w <= 4]
    for name in [n for n in tensors if "tile_embedding.weight" in n or "tile_positional_embedding.embedding.weight" in n]:
        old = tensors[name].reshape(9, 4, -1)
        new = torch.zeros_like(old)
        for i, (h, w) in enumerate(shapes):
            for t in range(h * w):
                rows, columns = t // w + 1, t % w + 1
                new[i + 1, t] = old[shapes.index((rows, columns)) + 1, rows * columns - 1]
        tensors[name] = new.reshape(9, -1)
    return tensors


def run_meta(rank, folder, config, cases, out):
    torch.set_num_threads(1)
    files = sorted(folder.glob("*.pth"))
    tensors = {n: t.float() for n, t in torch.load(files[rank], weights_only=True, mmap=True).items()}
    v, t = config["vision_config"], config["text_config"]
    shape = {"vision": dict(width=v["hidden_size"], mlp=v["intermediate_size"], heads=v["attention_heads"], layers=v["num_hidden_layers"],
                            global_layers=v["num_global_layers"], tile=v["image_size"], patch=v["patch_size"],
                            taps=v["intermediate_layers_indices"], norm_eps=v["norm_eps"]),
             "text": dict(layers=t["num_hidden_layers"], cross_layers=t["cross_attention_layers"], vocabulary=t["vocab_size"],
                          width=t["hidden_size"])}
    meta = Meta(shape, tensors, json.loads((folder / "params.json").read_text()), rank, len(files))
    results = {}
    for number, (ids, images) in enumerate(cases):
        prepared, found, ids = meta.prepare(ids, images, False, None), [], list(ids)
        for i in range(TOKENS):
            logits = meta.forward(ids, len(ids) - 1 if i else 0, images, prepared)
            if i == 0:
                results[f"{number}.logits"] = logits.clone()
            found.append(int(logits[-1].argmax()))
            ids.append(found[-1])
        results[f"{number}.tokens"] = torch.tensor(found)
    if rank == 0:
        save_file(results, out)


def main(around):
    flat, config = around / "flat", json.loads((MODEL / "config.json").read_text())
    program("convert", MODEL, flat, "--to", "huggingface")
    tensors = load_file(flat / "model.safetensors")
    save_file(flat_tables(tensors), flat / "model.safetensors", {"format": "pt"})
    image_id, cases = config["image_token_index"], []
    text = [int(i) for i in program("tokenize", "--tokenizer", flat, "--bos", "What is in this picture?").split()]
    for number, picture in enumerate(PICTURES):
        program("preprocess", "--model", flat, "--out", around / f"{number}.safetensors", picture)
        tiles = load_file(around / f"{number}.safetensors")
        ratio = tuple(tiles["aspect_ratio"].tolist())
        cases.append(([image_id, *text], [(ratio, tiles["pixel_values"])]))
    cases.append((text, []))

    def ours(folder):
        results = {}
        for number, (ids, images) in enumerate(cases):
            out = around / "trace.safetensors"
            tiles = ["--tiles", around / f"{number}.safetensors"] if images else []
            program("trace", "--model", folder, *tiles, "--tokens", ",".join(map(str, ids)), "--max-tokens", TOKENS, "--parity", "meta",
                    "--out", out)
            found = load_file(out)
            results[f"{number}.logits"], results[f"{number}.tokens"] = found["logits"], found["tokens"]
        return results

    reference = ours(flat)
    for files in (1, 2):
        folder = around / f"meta{files}"
        program("convert", flat, folder, "--to", "meta", "--shards", files)
        out = around / f"meta{files}.safetensors"
        torch.multiprocessing.spawn(run_meta, (folder, config, cases, out), nprocs=files)
        theirs, is_ = load_file(out), ours(folder)
        far = 0.0
        for name, wanted in theirs.items():
            if name.endswith("tokens"):
                assert is_[name].flatten().tolist() == wanted.tolist(), (name, is_[name], wanted)
                assert reference[name].flatten().tolist() == wanted.tolist(), name
            else:
                far = max(far, ((is_[name].reshape(wanted.shape) - wanted).abs().max() / wanted.abs().max()).item())
        assert far < 1e-5, far
        print(f"{files} file(s): {len(cases)} prompts, {TOKENS * len(cases)} tokens are the same, logits to {far:.1e} of the largest")


if __name__ == "__main__":
    PROGRAM, MODEL, PICTURES = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3:]
    with tempfile.TemporaryDirectory() as folder:
        main(pathlib.Path(folder))
