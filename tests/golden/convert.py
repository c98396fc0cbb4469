# SPDX-License-Identifier: Apache-2.0
"""What `convert` writes, read by torch and transformers: convert.py PROGRAM MODEL (with tile tables that Meta's form can hold).

MODEL goes to Meta's form, in one file and in two, and back. torch.load(weights_only=True) must read every file, mapped and not,
with the bytes that the program put there, and transformers must load what came back with the same logits and greedy tokens. It also
goes to GGUF and back; gguf's own package must read the file, with the bytes of every tensor."""
import pathlib
import subprocess
import sys
import tempfile

import torch
import transformers
from gguf import GGUFReader
from safetensors.torch import load_file


def convert(*arguments):
    subprocess.run([PROGRAM, "convert", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def answers(folder):
    model = transformers.MllamaForConditionalGeneration.from_pretrained(folder, torch_dtype=torch.float32).eval()
    torch.manual_seed(0)
    vision = model.config.vision_config
    words = torch.randint(10, model.config.text_config.vocab_size // 2, (1, 9))
    words[0, 1] = model.config.image_token_index
    inputs = dict(input_ids=words, attention_mask=torch.ones_like(words),
                  pixel_values=torch.randn(1, 1, vision.max_num_tiles, 3, vision.image_size, vision.image_size),
                  aspect_ratio_ids=torch.tensor([[6]]), aspect_ratio_mask=torch.ones(1, 1, vision.max_num_tiles, dtype=torch.long),
                  cross_attention_mask=torch.ones(1, 9, 1, vision.max_num_tiles, dtype=torch.long))
    with torch.no_grad():
        logits = model(**inputs).logits
        tokens = model.generate(**inputs, max_new_tokens=24, do_sample=False)
    return logits, tokens


PROGRAM, source = sys.argv[1], pathlib.Path(sys.argv[2])
before = load_file(source / "model.safetensors")
logits, tokens = answers(source)
with tempfile.TemporaryDirectory() as around:
    around = pathlib.Path(around)
    file, back = around / "model.gguf", around / "from gguf"
    convert(source, file, "--to", "gguf")
    reader, raw = GGUFReader(file), lambda t: t.contiguous().view(torch.uint8).numpy().tobytes() if t.dim() else t.numpy().tobytes()
    stored = [t for t in reader.tensors if t.name != "rope_freqs.weight"]
    assert sorted(t.data.tobytes() for t in stored) == sorted(raw(t) for t in before.values())
    assert [sorted(map(int, t.shape)) for t in stored if t.name == "token_embd.weight"] == [
        sorted(t.shape) for n, t in before.items() if "embed_tokens" in n]
    convert(file, back, "--to", "huggingface")
    there = answers(back)
    assert torch.equal(there[0], logits) and torch.equal(there[1], tokens)
    print(f"GGUF: {len(stored)} tensors and {len(reader.fields)} keys by gguf's package; logits and tokens of the way back are the same")
    for parts in (1, 2):
        meta, back = around / f"meta{parts}", around / f"back{parts}"
        convert(source, meta, "--to", "meta", "--shards", parts)
        for file in sorted(meta.glob("*.pth")):
            read, mapped = torch.load(file, weights_only=True), torch.load(file, weights_only=True, mmap=True)
            assert read.keys() == mapped.keys() and all(torch.equal(read[n], mapped[n]) for n in read)
            print(file.name, len(read), "tensors,", sum(t.nbytes for t in read.values()), "bytes")
        convert(meta, back, "--to", "huggingface", "--config", source / "config.json", "--shards", "3")
        after = {}
        for file in back.glob("*.safetensors"):
            after.update(load_file(file))
        assert after.keys() == before.keys() and all(torch.equal(after[n], before[n]) for n in before)
        there = answers(back)
        assert torch.equal(there[0], logits) and torch.equal(there[1], tokens)
        print(f"{parts}: {len(after)} tensors, {logits.numel()} logits and {tokens.shape[1]} tokens are the same")
