#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The 11B in Hugging Face transformers, in bf16, with random weights made in memory: a picture, a prompt, a token.

All widths are the model's. Of its layers a few are made, 2 + 1 of the tower and 4 + 1 of the text, timed one by one inside the real `forward` and
`generate`, and counted as often as the whole model has them; all else (masks, rotary tables, the cache, the head, the loop) is paid once, as it is.
With --whole nothing is scaled; that takes 23 GB.

A picture is the tower, the projector and the keys and values that the cross layers make of it, as in `llamavision bench`; transformers makes those
while it reads the prompt, so they are taken from there."""
import argparse
import json
import resource
import time

import figures
from measuring import Absent, Limits, available_memory, processors, say

WHOLE_TAKES = 23e9
ARRANGEMENTS = {1: 1, 2: 2, 4: 6}  # tiles: which of the supported aspect ratios, from 1; 1 × 1, 1 × 2, 2 × 2
SLOTS, ROWS, FEATURES = 4, 1601, 7680
IMAGE, PADDING = 128256, 128004  # tokens
WARM_UP = 1


def configuration(tower, text):
    """`tower`: layers and global layers; `text`: layers of self-attention and of cross-attention."""
    from transformers import MllamaConfig
    rope = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192, "rope_theta": 500000.0}
    taps = [3, 7, 15, 23, 30] if tower[0] > 30 else [0] * 5
    return MllamaConfig(
        vision_config={"image_size": 560, "num_hidden_layers": tower[0], "num_global_layers": tower[1],
                       "intermediate_layers_indices": taps},
        text_config={"num_hidden_layers": sum(text), "cross_attention_layers": [3 + 5 * i for i in range(text[1])],
                     "rope_parameters": rope})


def random_model(tower, text):
    """Uniform weights without transformers' initialisers, which work in floats: norms one, gates half open."""
    import torch
    from transformers import MllamaForConditionalGeneration
    from transformers.models.mllama.modeling_mllama import MllamaRotaryEmbedding
    with torch.device("meta"):
        model = MllamaForConditionalGeneration(configuration(tower, text))
    model = model.to(torch.bfloat16).to_empty(device="cpu").eval()
    drawn = (torch.rand(1 << 24) * 0.06 - 0.03).to(torch.bfloat16)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if weights.dim() == 1 and name.endswith("norm.weight"):
                weights.fill_(1)
            elif weights.numel() == 1:
                weights.fill_(0.5)
            else:
                for piece in weights.view(-1).split(drawn.numel()):
                    piece.copy_(drawn[:piece.numel()])
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, MllamaRotaryEmbedding):  # its table is no parameter
                setattr(module, name, MllamaRotaryEmbedding(child.config))
    return model


class Stopwatches:
    """Seconds inside modules, by name, summed over each forward pass of `model`."""

    def __init__(self, model):
        self.passes, self._started = [], []
        model.register_forward_pre_hook(lambda *_: self.passes.append({}))
        self.watch(model, "all")

    def watch(self, module, name):
        def stop(*_):
            seconds = time.perf_counter() - self._started.pop()
            self.passes[-1][name] = self.passes[-1].get(name, 0.0) + seconds

        module.register_forward_pre_hook(lambda *_: self._started.append(time.perf_counter()))
        module.register_forward_hook(stop)


class Tower:
    def __init__(self, model, layers):
        self.module = model.model.vision_model
        self.watches = Stopwatches(self.module)
        self.times = figures.LOCAL_LAYERS / layers[0], figures.GLOBAL_LAYERS / layers[1]
        for layer in self.module.transformer.layers:
            self.watches.watch(layer, "local")
        for layer in self.module.global_transformer.layers:
            self.watches.watch(layer, "global")

    def look(self, tiles):
        """Seconds of the whole tower."""
        import torch
        pixels = torch.zeros(1, 1, SLOTS, 3, 560, 560, dtype=torch.bfloat16)
        pixels[:, :, :tiles].uniform_(-1, 1)
        with torch.inference_mode():
            self.module(pixels, torch.tensor([[ARRANGEMENTS[tiles]]]), (torch.arange(SLOTS) < tiles).long().view(1, 1, SLOTS))
        took = self.watches.passes[-1]
        return figures.deepened(took["all"], zip((took["local"], took["global"]), self.times))


class Text:
    """The text and what transformers computes of a picture while it reads; the tower's part is a picture of all tiles that is
    there already."""

    def __init__(self, model, layers):
        import torch
        from transformers.modeling_outputs import BaseModelOutput
        self.model = model
        self.times = figures.SELF_LAYERS / layers[0], figures.CROSS_LAYERS / layers[1]
        seen = BaseModelOutput(last_hidden_state=torch.randn(1, 1, SLOTS, ROWS, FEATURES).to(torch.bfloat16))
        model.model.vision_model.forward = lambda *_, **__: seen
        self.watches = Stopwatches(model)
        self.watches.watch(model.model.multi_modal_projector, "projector")
        for layer in model.model.language_model.layers:
            if hasattr(layer, "cross_attn"):
                self.watches.watch(layer, "cross")
                for part in (layer.cross_attn.k_proj, layer.cross_attn.v_proj, layer.cross_attn.k_norm):
                    self.watches.watch(part, "memory")
            else:
                self.watches.watch(layer, "self")

    def answer(self, prompt, count):
        """Seconds, at full depth, of: what the picture costs here, the prompt, and each token after the first."""
        import torch
        ids = torch.randint(0, 128000, (1, prompt))
        ids[0, 0] = IMAGE
        self.watches.passes.clear()
        start = time.perf_counter()
        with torch.inference_mode():
            self.model.generate(
                ids, attention_mask=torch.ones_like(ids), max_new_tokens=count, min_new_tokens=count, do_sample=False,
                eos_token_id=None, pad_token_id=PADDING, pixel_values=torch.zeros(1, 1, SLOTS, 3, 560, 560, dtype=torch.bfloat16),
                aspect_ratio_ids=torch.tensor([[ARRANGEMENTS[SLOTS]]]), aspect_ratio_mask=torch.ones(1, 1, SLOTS).long(),
                cross_attention_mask=torch.ones(1, prompt, 1, SLOTS).long())
        passes = self.watches.passes
        loop = (time.perf_counter() - start - sum(p["all"] for p in passes)) / len(passes)  # generate's own work
        first, *others = passes
        picture = first["projector"] + first["memory"] * self.times[1]
        read = first["all"] - first["projector"] - first["memory"]
        text = figures.deepened(read, zip((first["self"], first["cross"] - first["memory"]), self.times)) + loop
        tokens = [figures.deepened(p["all"], zip((p["self"], p["cross"]), self.times)) + loop for p in others]
        return picture, text, tokens


def measure(options):
    try:
        import torch
        import transformers
        from transformers import MllamaForConditionalGeneration
    except ImportError as fault:
        raise Absent(f"Hugging Face needs torch and transformers ({fault}): pip install -r requirements.txt") from None
    if options.whole and available_memory() < WHOLE_TAKES:
        raise Absent(f"the whole model takes {WHOLE_TAKES / 1e9:.0f} GB, and {available_memory() / 1e9:.1f} are available")
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    tower, text = ((32, 8), (32, 8)) if options.whole else ((2, 1), (4, 1))
    model = random_model(tower, text)
    say("Hugging Face: weights are there")
    limits = Limits(options.limits, options.threads)
    result = {"engine": f"transformers {transformers.__version__}, torch {torch.__version__}, bf16"
                        + ("" if options.whole else ", from 2 + 1 layers of the tower and 4 + 1 of the text"),
              "threads": options.threads, "image": [], "prompts": []}

    def note(figure, where=None):
        say("Hugging Face,", *(f"{k} {figure[k]}:" for k in ("tiles", "tokens") if k in figure), f"{figure['seconds']:.3f} s")
        if where is not None:
            where.append(figure)

    if not options.only:
        seen = Tower(model, tower)
        if not options.whole:
            seen.look(options.tiles[0])
        for tiles in options.tiles:
            seconds, beside = limits.around(lambda: figures.median([seen.look(tiles) for _ in range(options.repeat)]))
            note({"tiles": tiles, "seconds": seconds, "limits": beside}, result["image"])
    told = Text(model, text)
    for prompt in options.prompt[:1] if options.only == "decode" else options.prompt:
        first = prompt == options.prompt[0]

        def read():
            count = options.answer + 1 if first else 2
            return [told.answer(prompt, count) for _ in range(WARM_UP + options.repeat_text)][WARM_UP:]

        runs, beside = limits.around(read)
        pictures, prompts, tokens = zip(*runs)
        if first:
            for picture in result["image"]:
                picture["seconds"] += figures.median(pictures)
            seconds = [s for run in tokens for s in run]
            result["decode"] = {"tokens": 1, "seconds": figures.median(seconds), "limits": beside}
            note(result["decode"])
        if options.only != "decode":
            note({"tokens": prompt, "seconds": figures.median(prompts), "limits": beside}, result["prompts"])
    result["memory"] = {"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["text", "decode"], help="no picture; no prompt, either")
    parser.add_argument("--whole", action="store_true", help="all layers")
    parser.add_argument("--tiles", type=int, nargs="+", choices=ARRANGEMENTS, default=list(ARRANGEMENTS))
    parser.add_argument("--prompt", type=int, nargs="+", default=[64, 512], help="tokens; the answer follows the first")
    parser.add_argument("--answer", type=int, default=16, help="tokens")
    parser.add_argument("--repeat", type=int, default=1, help="pictures: the median of so many, after one to warm up")
    parser.add_argument("--repeat-text", type=int, default=3, help="text: likewise")
    parser.add_argument("--threads", type=int, default=processors())
    parser.add_argument("--limits", metavar="PROGRAM", help="llamavision, to put the machine's limits beside each figure")
    parser.add_argument("--json", action="store_true", help="one object, as of `llamavision bench`")
    options = parser.parse_args()
    try:
        result = measure(options)
    except Absent as fault:
        raise SystemExit(str(fault)) from None
    if options.json:
        print(json.dumps(result))
        return
    print(result["engine"])
    for picture in result["image"]:
        print(f"picture of {figures.tiles_in_words(picture['tiles'])}: {figures.seconds_in_words(picture['seconds'])}")
    for prompt in result["prompts"]:
        print(f"prompt of {prompt['tokens']}: {figures.seconds_in_words(prompt['seconds'])}")
    print(f"a token: {figures.seconds_in_words(result['decode']['seconds'])}")


if __name__ == "__main__":
    main()
