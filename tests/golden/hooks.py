# SPDX-License-Identifier: Apache-2.0
"""Which modules of transformers speak, and in which order, when p1 reads a picture and when it reads text alone.
hooks.py FOLDER OUT: FOLDER is p1's; writes OUT (hooks.json). Versions: requirements.txt."""
import json
import sys

import torch
from safetensors.torch import load_file
from transformers import MllamaForConditionalGeneration

folder, out = sys.argv[1:3]
model = MllamaForConditionalGeneration.from_pretrained(f"{folder}/hf", torch_dtype=torch.float32, attn_implementation="eager")
spoke = []


def published(name):
    """The module's name as published files spell its weights."""
    name = name.removeprefix("model.")
    if name == "lm_head":
        return "language_model.lm_head"
    return name.replace("language_model", "language_model.model", 1)


for name, module in model.named_modules():
    if name not in ("", "model"):
        module.register_forward_hook(lambda *_, name=published(name): spoke.append(name))

tiles = load_file(f"{folder}/golden/images.safetensors")["1x2.pixel_values"].float()
pixels = torch.zeros(1, 1, 4, *tiles.shape[1:])
pixels[0, 0, :2] = tiles
sees = torch.zeros(1, 4, 1, 4, dtype=torch.long)
sees[:, 1:, :, :2] = 1
model(input_ids=torch.tensor([[5, 512, 6, 7]]), pixel_values=pixels, aspect_ratio_ids=torch.tensor([[2]]),
      aspect_ratio_mask=torch.tensor([[[1, 1, 0, 0]]]), cross_attention_mask=sees)
image, spoke[:] = list(spoke), []
model(input_ids=torch.tensor([[5, 6, 7]]))
json.dump({"image": image, "text": spoke}, open(out, "w"), indent=0)
