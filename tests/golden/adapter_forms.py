# SPDX-License-Identifier: Apache-2.0
"""Adapters of every kind that is merged, as the PEFT at hand saves them: adapter_forms.py PROGRAM MODEL. Each is merged by
merge_and_unload() and by `convert --adapter`; every tensor must be the same, to one rounding."""
import pathlib
import subprocess
import sys
import tempfile

import peft
import torch
import transformers
from safetensors.torch import load_file

PROGRAM, MODEL = sys.argv[1], pathlib.Path(sys.argv[2])
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "fc1", "fc2"]
KINDS = {
    "plain": dict(r=4, lora_alpha=8, target_modules=ALL),
    "f32 factors": dict(r=3, lora_alpha=1, target_modules=["v_proj"]),
    "rslora": dict(r=4, lora_alpha=6, use_rslora=True, target_modules=["q_proj", "fc1"]),
    "patterns": dict(r=4, lora_alpha=8, target_modules=ALL, rank_pattern={"self_attn.q_proj": 2, "layers.1.mlp.up_proj": 8},
                     alpha_pattern={"cross_attn.v_proj": 3, "fc2": 1}),
    "bias all": dict(r=4, lora_alpha=8, target_modules=["fc1", "q_proj"], bias="all"),
    "bias lora_only": dict(r=4, lora_alpha=8, target_modules=["fc1", "fc2"], bias="lora_only"),
    "whole modules": dict(r=4, lora_alpha=8, target_modules=["q_proj"], modules_to_save=["multi_modal_projector", "lm_head"]),
    "embeddings": dict(r=4, lora_alpha=8, target_modules=["embed_tokens", "lm_head", "multi_modal_projector"]),
    "a regular expression": dict(r=4, lora_alpha=8, target_modules=r".*language_model.*\.(q_proj|v_proj)"),
    "some layers": dict(r=4, lora_alpha=8, target_modules=["down_proj"], layers_to_transform=[1, 3]),
    "orthogonal": dict(r=4, lora_alpha=8, target_modules=["q_proj"], init_lora_weights="orthogonal"),
}


def model():
    return transformers.MllamaForConditionalGeneration.from_pretrained(MODEL, torch_dtype=torch.bfloat16)


def canonical(name):
    name = name.removeprefix("model.") if name.startswith("model.") else name
    return ("language_model." + name) if name.startswith("lm_head") else name.replace("language_model.", "language_model.model.", 1)


def convert(adapter, out):
    return subprocess.run([PROGRAM, "convert", MODEL, out, "--to", "huggingface", "--adapter", adapter, "--force"], capture_output=True,
                          text=True)


with tempfile.TemporaryDirectory() as around:
    around = pathlib.Path(around)
    for kind, arguments in KINDS.items():
        torch.manual_seed(3)
        adapted = peft.get_peft_model(model(), peft.LoraConfig(**arguments))
        changing = [n for n, p in adapted.named_parameters() if p.requires_grad]
        with torch.no_grad():
            for name, value in adapted.named_parameters():
                if name in changing:
                    value.normal_(0, 0.05)
        if kind == "f32 factors":
            adapted = adapted.float()
        adapted.save_pretrained(around / kind)
        if kind == "f32 factors":  # the model itself stays bfloat16
            adapted = peft.PeftModel.from_pretrained(model(), around / kind)
        merged = {canonical(n): v for n, v in adapted.merge_and_unload().state_dict().items()}
        done = convert(around / kind, around / "out")
        assert done.returncode == 0, (kind, done.stderr)
        ours, before = load_file(around / "out" / "model.safetensors"), load_file(MODEL / "model.safetensors")
        before = {n if "language_model.model." in n or n.startswith(("vision", "multi", "language_model.lm")) else canonical(n): t
                  for n, t in before.items()}
        assert ours.keys() == merged.keys(), (ours.keys() ^ merged.keys())
        changed = unequal = 0
        for name, wanted in merged.items():
            wanted, is_ = wanted.float(), ours[name].float()
            changed += not torch.equal(is_, before[name].float())
            unequal += int((is_ != wanted).sum())
            assert (is_ - wanted).abs().max() <= 2 ** -7 * wanted.abs().max(), (kind, name)
        assert changed > 0, kind
        print(f"{kind}: {changed} tensors changed; {unequal} of {sum(t.numel() for t in merged.values())} values differ, by a rounding")
    dora = peft.get_peft_model(model(), peft.LoraConfig(r=4, target_modules=["q_proj"], use_dora=True))
    dora.save_pretrained(around / "dora")
    loha = peft.get_peft_model(model(), peft.LoHaConfig(r=4, target_modules=["q_proj"]))
    loha.save_pretrained(around / "loha")
    for kind in ("dora", "loha"):
        done = convert(around / kind, around / "refused")
        assert done.returncode == 1 and not (around / "refused").exists()
        print(f"{kind}: {done.stderr.strip().split(': ', 2)[-1]}")
print("PEFT", peft.__version__, "transformers", transformers.__version__)
