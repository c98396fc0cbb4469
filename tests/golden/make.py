# SPDX-License-Identifier: Apache-2.0
"""Makes one shape's folder: the model, its pictures, and what both references compute. make.py SHAPE FOLDER"""
import os
import platform
import sys
from importlib.metadata import version

import numpy as np
import torch
from safetensors.torch import save_file

from reference_hf import HuggingFace
from reference_meta import Meta
from shapes import CHANNELS, SHAPES, rows
from weights import bf16, draw, to_meta, write_folder, write_json

GREEDY, SHORT = 64, 48  # tokens stored; the shorter list holds the first of them
MARGIN = 1.5e-3         # of the best logit over the second, relative to the largest magnitude: no near ties
AGREE = 5e-6            # largest relative difference that the references may have where they compute the same
VARIED = 10             # different tokens in a greedy text, so that it says something


def difference(a, b):
    return ((a - b).abs().max() / b.abs().max()).item()


def greedy(next_logits, count):
    """(tokens, relative margin of the first over the second at each step), or None at the first near tie."""
    tokens, margins = [], []
    for _ in range(count):
        logits = next_logits(tokens)
        first, second = torch.topk(logits, 2).values.tolist()
        margins.append((first - second) / logits.abs().max().item())
        if margins[-1] <= MARGIN:
            return None
        tokens.append(int(logits.argmax()))
    return tokens, margins


class Maker:
    def __init__(self, name, folder):
        self.name, self.folder, self.shape = name, folder, SHAPES[name]
        tensors, tables = draw(self.shape)
        write_folder(self.shape, tensors, os.path.join(folder, "hf"))
        self.hf = HuggingFace(self.shape, os.path.join(folder, "hf"))
        self.after = HuggingFace(self.shape, os.path.join(folder, "hf"))
        self.after.taps_after()
        self.meta = Meta(self.shape, to_meta(self.shape, tensors, tables))
        self.agreement, self.out = {}, os.path.join(folder, "golden")
        os.makedirs(self.out, exist_ok=True)
        self.keys = sorted({s for case in self.shape["cases"].values() for s in case if isinstance(s, str)})
        self.draw_images()

    def agree(self, what, a, b):
        d = difference(a, b)
        assert d < AGREE, (what, d)
        self.agreement[what] = max(self.agreement.get(what, 0.0), d)

    def draw_images(self):
        random, side = np.random.default_rng(self.shape["seed"] + 1), self.shape["vision"]["tile"]
        self.images = {}
        for key in self.keys:
            ratio = tuple(map(int, key.split("x")))
            tiles = random.uniform(-1.8, 2.1, (ratio[0] * ratio[1], CHANNELS, side, side))
            self.images[key] = (ratio, bf16(tiles))
        self.save("images", {f"{k}.pixel_values": t.to(torch.bfloat16) for k, (_, t) in self.images.items()})

    def save(self, name, tensors):
        path = os.path.join(self.out, f"{name}.safetensors")
        save_file({k: x.contiguous() for k, x in tensors.items()}, path)
        os.chmod(path, 0o644)

    def vision(self):
        stored, self.projections, self.projections_after = {}, {}, {}
        for key, image in self.images.items():
            hf = self.hf.tower(image)
            self.projections[key] = hf["projector"]
            if not self.shape["ids"]:
                other = self.meta.tower(image)
                assert other.keys() == hf.keys()
                for n in hf:
                    self.agree("vision: " + n.split(".")[0], other[n], hf[n])
            wanted = hf if key in self.shape["detail"] else ["projector"]
            stored.update({f"{key}.{n}": hf[n] for n in wanted})
            self.projections_after[key] = self.after.tower(image)["projector"]
            if key in self.shape["taps_after"]:
                stored[f"{key}.projector_output_intermediates"] = self.projections_after[key]
        self.save("vision", stored)

    def modes(self, ids, images, keys):
        """Greedy text of the three modes, or None if one of them meets a near tie."""
        projections = [self.projections[k] for k in keys]
        hf = greedy(lambda new: self.hf.step(ids + new, images, projections, len(new))[-1], GREEDY)
        if hf is None:
            return None
        out = {"hf": hf}
        for mode in ("meta", "mixed"):
            prepared = self.meta.prepare(ids, images, mode == "mixed", projections if self.shape["ids"] else None)
            run = lambda new: self.meta.forward(ids + new, len(ids + new) - 1 if new else 0, images, prepared)[-1]
            out[mode] = greedy(run, GREEDY)
            if out[mode] is None:
                return None
        if len(set(hf[0])) < VARIED or len(set(out["mixed"][0])) < VARIED:
            return None
        if len(keys) > 1 and out["meta"][0] == out["mixed"][0]:  # Meta's generated tokens see nothing after several images
            return None
        return out

    def case(self, number, name, segments):
        vocabulary, attempt = self.shape["text"]["vocabulary"], 0
        keys = [s for s in segments if isinstance(s, str)]
        images = [self.images[k] for k in keys]
        while True:
            random, ids = np.random.default_rng([self.shape["seed"], number, attempt]), []
            for s in segments:
                ids += [vocabulary] if isinstance(s, str) else random.integers(6, vocabulary, s).tolist()
            text = self.modes(ids, images, keys)
            if text is not None:
                break
            attempt += 1
            if attempt == (1 if len(keys) == len(segments) else 400):  # images alone leave nothing to redraw
                raise SystemExit(f"{self.name}/{name}: no clear greedy text in {attempt} tries: change the seed")
        return self.write_case(name, ids, keys, images, text, attempt)

    def write_case(self, name, ids, keys, images, text, attempt):
        shape, vocabulary = self.shape, self.shape["text"]["vocabulary"]
        projections = [self.projections[k] for k in keys]
        logits, layers = self.hf.prompt(ids, images, projections)
        meta_logits, meta_layers = self.meta.prompt(ids, images, projections if shape["ids"] else None)
        assert layers.keys() == {i for i in range(shape["text"]["layers"]) if keys or i not in shape["text"]["cross_layers"]}
        stored = {"input_ids": torch.tensor(ids), "hf.logits": logits, **{f"hf.layers.{i}": x for i, x in layers.items()}}
        positions = [i for i, t in enumerate(ids) if t == vocabulary]
        same = not positions or positions[0] == 0  # no row before the image: no leak
        if same:
            self.agree("logits", meta_logits, logits)
            for i in layers:
                self.agree("text layers", meta_layers[i], layers[i])
        else:
            assert difference(meta_logits, logits) > 1e-3
            self.agree("rows that see, first cross layer", meta_layers[shape["text"]["cross_layers"][0]][positions[0]:],
                       layers[shape["text"]["cross_layers"][0]][positions[0]:])
            stored.update({"meta.logits": meta_logits, **{f"meta.layers.{i}": x for i, x in meta_layers.items()}})
        if name in shape["taps_after_cases"]:
            after = [self.projections_after[k] for k in keys]
            stored["hf_output_intermediates.logits"] = self.after.prompt(ids, images, after)[0]
            stored["meta_output_intermediates.logits"] = self.meta.prompt(ids, images, after)[0]
        for mode, (tokens, margins) in text.items():
            stored[f"{mode}.greedy"] = torch.tensor(tokens[:SHORT])
            stored[f"{mode}.greedy64"] = torch.tensor(tokens)
            stored[f"{mode}.greedy_margin"] = torch.tensor(margins)
            assert min(tokens) >= 6
        assert self.hf.generate(ids, images, GREEDY) == text["hf"][0]  # with transformers' own loop and cache
        self.save(name, stored)
        ends = [next((q for q in positions if q > p and q - 1 not in positions), None) for p in positions]
        masked = "hf" if same else "meta"  # whose prompt rows Meta's masks give
        of = lambda rows, mode: {"logits": f"{rows}.logits", "layers": f"{rows}.layers.", "greedy": f"{mode}.greedy64"}
        after = {m: f"{m}_output_intermediates.logits" for m in ("hf", "meta")}
        return {
            "file": f"{name}.safetensors", "tokens_key": "input_ids", "tokens": len(ids),
            "images": keys, "pixel_keys": [f"{k}.pixel_values" for k in keys], "aspect_ratios_h_w": [list(r) for r, _ in images],
            "image_positions": positions, "row_ranges": [[p, e] for p, e in zip(positions, ends)],
            "layers_stored": sorted(layers), "rows_stored": "all",
            "modes": {"hf": of("hf", "hf"), "meta": of(masked, "meta"), "default": of(masked, "mixed")},
            "taps_after": after if name in shape["taps_after_cases"] else None,
            "meta_prompt_equals_hf_prompt": same,
            "greedy_differs": {"hf/meta": text["hf"][0] != text["meta"][0], "meta/mixed": text["meta"][0] != text["mixed"][0]},
            "min_margin": float(f"{min(m for _, margins in text.values() for m in margins):.1e}"), "redrawn": attempt,
        }

    def make(self):
        self.vision()
        cases = {}
        for number, (name, segments) in enumerate(self.shape["cases"].items()):
            case = cases[name] = self.case(number, name, segments)
            print(f"{self.name} {name}: {case['tokens']} tokens, redrawn {case['redrawn']}, margin {case['min_margin']}", flush=True)
        self.write_index(cases)

    def write_index(self, cases):
        shape, v, t = self.shape, self.shape["vision"], self.shape["text"]
        packages = ("torch", "transformers", "tokenizers", "llama-models", "fairscale", "numpy", "safetensors")
        how = "fp32, one thread, transformers eager attention; hf = transformers, meta and mixed = llama-models"
        if shape["ids"]:
            how += " (its text model on the tower output of transformers: Meta's tables cannot hold rows per id)"
        modules = {"patch_embedding": "vision_model.patch_embedding", "ln_pre": "vision_model.layernorm_pre"}
        modules |= {f"local.{i}": f"vision_model.transformer.layers.{i}" for i in range(v["layers"])}
        modules |= {"ln_post": "vision_model.layernorm_post"}
        modules |= {f"global.{i}": f"vision_model.global_transformer.layers.{i}" for i in range(v["global_layers"])}
        modules |= {"tower": "vision_model", "projector": "multi_modal_projector"}
        write_json(os.path.join(self.out, "cases.json"), {
            "shape": {"vision": v, "text": t, "seed": shape["seed"], "tensor_names": shape["names"], "config_spelling": shape["config"]},
            "tokens_per_tile": rows(v)[0],
            "padded_tokens_per_tile": rows(v)[1],
            "cross_attention_layers": t["cross_layers"],
            "table_rows_per_id": shape["ids"],
            "versions": {
                **{n: version(n) for n in packages},
                "python": platform.python_version(),
                "platform": f"{platform.system()} {platform.machine()}, torch on {torch.backends.cpu.get_cpu_capability()}",
            },
            "how": how,
            "agreement": {k: float(f"{x:.1e}") for k, x in self.agreement.items()},
            "vision": {"images": self.keys, "everything": shape["detail"], "output_intermediates": shape["taps_after"], "module_of": modules},
            "cases": cases,
        })


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    Maker(*sys.argv[1:3]).make()
