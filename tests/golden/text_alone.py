# SPDX-License-Identifier: Apache-2.0
"""The text model as transformers saves it alone: text_alone.py PROGRAM MODEL (the bundled one). MllamaForCausalLM takes the text half of
MODEL and saves it; the program reads that, and converts it to GGUF and back. Logits and greedy tokens of all are transformers', and
transformers loads what came back."""
import json
import pathlib
import subprocess
import sys
import tempfile

import torch
import transformers
from safetensors.torch import load_file

PROGRAM, MODEL = sys.argv[1], pathlib.Path(sys.argv[2])
TOKENS = 24


def program(*arguments):
    done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def load(folder):
    return transformers.MllamaForCausalLM.from_pretrained(folder, torch_dtype=torch.float32, attn_implementation="eager").eval()


def main(around):
    alone, back, file = around / "alone", around / "back", around / "alone.gguf"
    transformers.MllamaForCausalLM.from_pretrained(MODEL, torch_dtype=torch.bfloat16).save_pretrained(alone)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (alone / name).write_bytes((MODEL / name).read_bytes())
    saved = load_file(alone / "model.safetensors")
    print(f"{len(saved)} tensors, such as {min(saved)}; {json.loads((alone / 'config.json').read_text())['model_type']}")
    program("convert", alone, file, "--to", "gguf")
    program("convert", file, back, "--to", "huggingface")
    after = load_file(back / "model.safetensors")
    assert after.keys() == saved.keys() and all(torch.equal(after[n], saved[n]) for n in saved)
    ids = [int(i) for i in program("tokenize", "--tokenizer", alone, "--bos", "How many shapes are there?").split()]
    for folder in (alone, back):
        model = load(folder)
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0]
            tokens = model.generate(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids)), max_new_tokens=TOKENS, min_new_tokens=TOKENS,
                                    do_sample=False, eos_token_id=None)[0, len(ids):]
        for ours in (alone, file, back):
            out = around / "trace.safetensors"
            program("trace", "--model", ours, "--tokens", ",".join(map(str, ids)), "--max-tokens", TOKENS, "--out", out)
            found = load_file(out)
            far = ((found["logits"].reshape(logits.shape) - logits).abs().max() / logits.abs().max()).item()
            assert far < 1e-5 and found["tokens"].flatten().tolist() == tokens.tolist(), (ours, far)
            print(f"{ours.name}: {TOKENS} tokens are the same, logits to {far:.1e} of the largest")


with tempfile.TemporaryDirectory() as folder:
    main(pathlib.Path(folder))
