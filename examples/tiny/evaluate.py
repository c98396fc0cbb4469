# SPDX-License-Identifier: Apache-2.0
"""Examines a folder on held-out scenes with transformers 4.54.1, read in three ways:

  meta    as Meta computes the model: rows before the image do not see it
  hf      as transformers 4.54 does: their unmasked attention leaks in
  newest  as transformers 4.56 and later do: the same, and the tower's taps are one layer late

python evaluate.py [--folder checkpoint] [--seed 1] [--count 1000] [--tokens FILE.json] [--pictures DIR]"""
import argparse
import hashlib
import json
import os

import torch
import transformers
from tokenizers import Tokenizer

import folder
import scenes


class Reading:
    """The model with one of the three readings; hooks make the differences from 4.54.1."""

    def __init__(self, where, mode):
        if transformers.__version__ != "4.54.1":
            raise SystemExit(f"transformers 4.54.1 is needed, this is {transformers.__version__}")
        self.model = transformers.MllamaForConditionalGeneration.from_pretrained(where, torch_dtype=torch.float32, attn_implementation="eager").eval()
        tower = self.model.model.vision_model
        if mode == "newest":
            tower.intermediate_layers_indices = [i + 1 for i in tower.intermediate_layers_indices]
        if mode == "meta":
            for i in self.model.config.text_config.cross_attention_layers:
                self.mask_rows(self.model.model.language_model.layers[i])

    @staticmethod
    def mask_rows(layer):
        rows = {}

        def note(_, arguments, named):
            rows["see"] = named["full_text_row_masked_out_mask"]

        def mask(_, arguments, output):
            see = rows["see"]
            return output if see is None else (output[0] * see[:, 0], *output[1:])
        layer.register_forward_pre_hook(note, with_kwargs=True)
        layer.cross_attn.register_forward_hook(mask)

    def inputs(self, prompts, pictures):
        """Prompts of one length about pictures of one arrangement (or None)."""
        ids = torch.tensor(prompts)
        named = dict(input_ids=ids, attention_mask=torch.ones_like(ids))
        if pictures[0] is None:
            return named
        (h, w), b = folder.RATIOS[scenes.ratio_of(pictures[0]) - 1], len(prompts)
        mean, std = (torch.tensor(v).view(3, 1, 1) for v in (folder.MEAN, folder.STD))
        pixels = torch.zeros(b, 1, 4, 3, folder.TILE, folder.TILE)
        for i, rgb in enumerate(pictures):
            x = (torch.from_numpy(rgb.copy()).permute(2, 0, 1).float() / 255 - mean) / std
            pixels[i, 0, :h * w] = x.view(3, h, folder.TILE, w, folder.TILE).permute(1, 3, 0, 2, 4).reshape(h * w, 3, folder.TILE, folder.TILE)
        tiles = torch.zeros(b, 1, 4, dtype=torch.long)
        tiles[:, :, :h * w] = 1
        sees = (ids == folder.IMAGE).cumsum(1).clamp(max=1)[:, :, None, None] * tiles[:, None]
        return named | dict(pixel_values=pixels, aspect_ratio_mask=tiles, cross_attention_mask=sees,
                            aspect_ratio_ids=torch.full((b, 1), scenes.ratio_of(pictures[0])))

    @torch.no_grad()
    def answers(self, prompts, pictures, longest):
        """Greedy token ids, without the stop token's padding."""
        named = self.inputs(prompts, pictures)
        out = self.model.generate(**named, do_sample=False, max_new_tokens=longest, eos_token_id=[folder.END, folder.EOM, folder.EOT],
                                  pad_token_id=folder.PAD)
        for row in out[:, len(prompts[0]):].tolist():
            yield row[:next((i + 1 for i, t in enumerate(row) if t in (folder.END, folder.EOM, folder.EOT)), len(row))]


SORTS = {  # file: (ratio id, kind, at least so many words in the answer)
    "shapes": (1, "describe", 34), "meter": (1, "describe meter", 0), "wide": (2, "describe meter", 0), "tall": (5, "describe", 24), "large": (6, "describe", 24)}


def write_pictures(where, all_scenes, right):
    """PNG files and a list of what they are; describing is asked with one wording, so that one command serves them all."""
    from PIL import Image
    os.makedirs(where, exist_ok=True)
    with open(f"{where}/pictures.jsonl", "w") as out:
        for name, (ratio, sort, words) in SORTS.items():
            for i, ((rgb, question, answer, kind), ok) in enumerate(zip(all_scenes, right)):
                if ok and scenes.ratio_of(rgb) == ratio and kind == sort and len(answer.split()) >= words and question == "Describe this image.":
                    Image.fromarray(rgb).save(f"{where}/{name}.png", optimize=True)
                    out.write(json.dumps(dict(image=f"{name}.png", index=i, question=question, answer=answer, kind=kind)) + "\n")
                    break


def main():
    parse = argparse.ArgumentParser()
    parse.add_argument("--folder", default=os.path.join(scenes.HERE, "checkpoint"))
    parse.add_argument("--seed", type=int, default=1)
    parse.add_argument("--count", type=int, default=1000)
    parse.add_argument("--modes", nargs="+", default=["meta", "hf", "newest"])
    parse.add_argument("--tokens", help="write the greedy token ids of the hf reading here")
    parse.add_argument("--pictures", help="write the first scenes of some sorts that are answered rightly here")
    parse.add_argument("--threads", type=int, default=1)
    options = parse.parse_args()
    torch.set_num_threads(options.threads)
    tokenizer = Tokenizer.from_file(f"{options.folder}/tokenizer.json")
    writer = scenes.Writer(tokenizer)
    all_scenes = [(rgb, *questions[0]) for rgb, questions in scenes.stream(scenes.build(), "test", options.seed, options.count)]
    alike = {}  # scenes with one arrangement and one length of prompt make a batch without padding
    for i, (rgb, question, _, _) in enumerate(all_scenes):
        prompt = writer.prompt(question, rgb is not None)
        alike.setdefault((scenes.ratio_of(rgb), len(prompt)), []).append((i, prompt))
    table, shares = {}, {}
    for mode in options.modes:
        reading, tokens = Reading(options.folder, mode), [None] * len(all_scenes)
        for group in alike.values():
            for at in range(0, len(group), 50):
                part = group[at:at + 50]
                found = reading.answers([p for _, p in part], [all_scenes[i][0] for i, _ in part], 96)
                for (i, _), ids in zip(part, found):
                    tokens[i] = ids
        right = [tokenizer.decode(ids).strip() == answer for ids, (_, _, answer, _) in zip(tokens, all_scenes)]
        for (*_, kind), ok in zip(all_scenes, right):
            table.setdefault(kind, {}).setdefault(mode, []).append(ok)
        shares[mode] = sum(right) / len(right)
        if mode == "hf" and options.tokens:
            weights = hashlib.sha256(open(f"{options.folder}/model.safetensors", "rb").read()).hexdigest()
            with open(options.tokens, "w") as out:
                json.dump(dict(transformers=transformers.__version__, torch=torch.__version__, seed=options.seed, count=options.count,
                               weights_sha256=weights, tokens=tokens), out, separators=(",", ":"))
                out.write("\n")
        if mode == options.modes[0] and options.pictures:
            write_pictures(options.pictures, all_scenes, right)
        if mode == options.modes[0]:
            for (_, question, answer, kind), ids, ok in zip(all_scenes, tokens, right):
                if not ok:
                    print(f"{kind}: {question} | {answer} | {tokenizer.decode(ids)}")
    print("| kind | scenes | " + " | ".join(options.modes) + " |")
    print("|---|---|" + "---|" * len(options.modes))
    for kind in sorted(table):
        print(f"| {kind} | {len(table[kind][options.modes[0]])} | " + " | ".join(f"{sum(table[kind][m])}" for m in options.modes) + " |")
    print("| exactly right | " + str(len(all_scenes)) + " | " + " | ".join(f"{shares[m]:.1%}" for m in options.modes) + " |")


if __name__ == "__main__":
    main()
