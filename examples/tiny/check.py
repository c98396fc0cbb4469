# SPDX-License-Identifier: Apache-2.0
"""Compares fast.py with transformers 4.54.1 (rows before the image masked as Meta does): tower and logits, every arrangement.

python check.py [FOLDER]"""
import os
import sys

import torch
from tokenizers import Tokenizer

import scenes
from evaluate import Reading
from fast import Fast


@torch.no_grad()
def main():
    where = sys.argv[1] if len(sys.argv) > 1 else os.path.join(scenes.HERE, "checkpoint")
    torch.set_num_threads(1)
    writer = scenes.Writer(Tokenizer.from_file(f"{where}/tokenizer.json"))
    reading = Reading(where, "meta")
    model, fast = reading.model, Fast(reading.model, reading.model.config)
    worst, done = 0.0, set()
    for rgb, [(question, answer, _)] in scenes.stream(scenes.build(), "test", 3, 400):
        ratio = scenes.ratio_of(rgb)
        if ratio in done:
            continue
        done.add(ratio)
        tokens = writer.prompt(question, ratio > 0) + writer.encode(answer)
        patches = None if rgb is None else [scenes.patches_of(rgb)]
        b = {k: None if v is None else torch.from_numpy(v) for k, v in scenes.pack([[(tokens, [False] * len(tokens))]], patches).items()}
        named = reading.inputs([tokens], [rgb])
        image, difference = None, 0.0
        if ratio:
            image = fast.vision(b["patches"], ratio)
            tower = model.model.vision_model(**{k: named[k] for k in ("pixel_values", "aspect_ratio_ids", "aspect_ratio_mask")})[0]
            theirs = model.model.multi_modal_projector(tower).reshape(-1, image.shape[-1])[:image.shape[1]]
            difference = ((theirs - image[0]).abs().max() / theirs.abs().max()).item()
        logits = model.lm_head(fast.text(image, b["ids"], b["place"], b["segment"], b["sees"]))[0, :len(tokens)]
        theirs = model(**named).logits[0]
        apart = ((theirs - logits).abs().max() / theirs.abs().max()).item()
        worst = max(worst, difference, apart)
        print(f"arrangement {ratio}: tower {difference:.1e}, logits {apart:.1e} of the largest value")
    print("equal" if worst < 1e-5 else "DIFFERENT")
    return 0 if worst < 1e-5 else 1


if __name__ == "__main__":
    sys.exit(main())
