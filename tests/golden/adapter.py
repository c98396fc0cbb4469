# SPDX-License-Identifier: Apache-2.0
"""A LoRA adapter for p1, and what PEFT merges of it: adapter.py MODEL OUT. Needs peft 0.17.1 beside requirements.txt.

OUT gets `adapter/`, as PEFT saves it, and `merged.safetensors`, the changed weights of merge_and_unload(). The adapter has
every kind that this model can have: text, cross-attention and tower; the head, whose base is saved with it; the
embedding, whose factors are transposed; a rank and an alpha of their own; a module that was trained as a whole."""
import pathlib
import sys

import peft
import torch
import transformers
from safetensors.torch import save_file

TARGETS = ["self_attn.q_proj", "cross_attn.v_proj", "fc1", "lm_head", "embed_tokens"]


def main(source, out):
    torch.manual_seed(7)
    model = transformers.MllamaForConditionalGeneration.from_pretrained(source, torch_dtype=torch.bfloat16)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    config = peft.LoraConfig(r=4, lora_alpha=6, use_rslora=True, target_modules=TARGETS, modules_to_save=["multi_modal_projector"],
                             rank_pattern={"layers.0.self_attn.q_proj": 2}, alpha_pattern={"cross_attn.v_proj": 3})
    model = peft.get_peft_model(model, config)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "lora_" in name or "modules_to_save" in name:
                value.normal_(0, 0.05)
    model.save_pretrained(out / "adapter")
    (out / "adapter" / "README.md").unlink()
    merged = model.merge_and_unload().state_dict()
    changed = {name: value.contiguous() for name, value in merged.items() if not torch.equal(value, before[name])}
    for name in list(changed):
        keep = (".1.", ".2.", "layers.0.self", "transformer.layers.0", "lm_head", "embed", "projector")
        if "layers" in name and not any(part in name for part in keep):
            del changed[name]
    save_file(changed, out / "merged.safetensors", {"peft": peft.__version__, "transformers": transformers.__version__})
    print(*sorted(changed), sep="\n")


if __name__ == "__main__":
    main(sys.argv[1], pathlib.Path(sys.argv[2]))
