# SPDX-License-Identifier: Apache-2.0
"""Hugging Face transformers 4.54.1 on a small model: activations, logits, greedy text. fp32, eager."""
import copy
import os

import torch
from safetensors.torch import load_file
from transformers import MllamaConfig, MllamaForConditionalGeneration
from transformers.models.mllama.processing_mllama import (
    convert_sparse_cross_attention_mask_to_dense,
    get_cross_attention_token_mask,
)

from shapes import CHANNELS, RATIOS, TILES, patches
from weights import configuration, hub_name


class HuggingFace:
    def __init__(self, shape, folder):
        """The model from the folder's own tensors. Two things 4.54.1 cannot read from config.json itself: the spelling
        of 5.x, and `rope_scaling: null` (it wants rope_type "default", which means the same)."""
        self.shape = shape
        config = copy.deepcopy(configuration(dict(shape, config="4.x")))
        if config["text_config"]["rope_scaling"] is None:
            config["text_config"]["rope_scaling"] = {"rope_type": "default"}
        for part in (config, config["text_config"], config["vision_config"]):
            part["torch_dtype"] = "float32"
        config = MllamaConfig(**config)
        config._attn_implementation = "eager"
        self.model = MllamaForConditionalGeneration(config).float().eval()
        stored = {k: x.float() for k, x in load_file(os.path.join(folder, "model.safetensors")).items()}
        if shape["names"] == "hub":
            stored = {n: stored[hub_name(n)] for n in self.model.state_dict()}
        self.model.load_state_dict(stored, strict=True)

    def vision_inputs(self, images):
        """images: list of ((rows, columns), tiles [n, 3, S, S]); all of them in one sample."""
        side = self.shape["vision"]["tile"]
        pixels = torch.zeros(1, len(images), TILES, CHANNELS, side, side)
        ids = torch.zeros(1, len(images), dtype=torch.long)
        mask = torch.zeros(1, len(images), TILES, dtype=torch.long)
        for i, (ratio, tiles) in enumerate(images):
            pixels[0, i, : len(tiles)] = tiles
            ids[0, i] = RATIOS.index(tuple(ratio)) + 1
            mask[0, i, : len(tiles)] = 1
        return dict(pixel_values=pixels, aspect_ratio_ids=ids, aspect_ratio_mask=mask)

    def inputs(self, ids, images):
        out = dict(input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long))
        if images:
            ranges = get_cross_attention_token_mask(ids, self.shape["text"]["vocabulary"])
            tiles = [len(t) for _, t in images]
            dense = convert_sparse_cross_attention_mask_to_dense([ranges], [tiles], TILES, len(ids))
            out.update(self.vision_inputs(images), cross_attention_mask=torch.from_numpy(dense))
        return out

    @torch.no_grad()
    def tower(self, image):
        """Every named activation of one image, tile slots first: [4, rows, width]."""
        seen, hooks, m = {}, [], self.model.model
        v = m.vision_model

        def hook(name, module):
            hooks.append(module.register_forward_hook(lambda _, __, y: seen.update({name: y[0] if isinstance(y, tuple) else y})))

        hook("patch_embedding", v.patch_embedding)
        hook("ln_pre", v.layernorm_pre)
        hook("ln_post", v.layernorm_post)
        for i, layer in enumerate(v.transformer.layers):
            hook(f"local.{i}", layer)
        for i, layer in enumerate(v.global_transformer.layers):
            hook(f"global.{i}", layer)
        features = v(**self.vision_inputs([image])).last_hidden_state
        for h in hooks:
            h.remove()
        seen["patch_embedding"] = seen["patch_embedding"].flatten(2).transpose(1, 2)
        seen["tower"] = features
        seen["projector"] = m.multi_modal_projector(features)
        return {n: x.reshape(TILES, -1, x.shape[-1]).contiguous().clone() for n, x in seen.items()}

    @torch.no_grad()
    def prompt(self, ids, images, projections):
        """(logits of all rows, {merged index: output of the layer})."""
        seen, hooks = {}, []
        for i, layer in enumerate(self.model.model.language_model.layers):
            hooks.append(layer.register_forward_hook(lambda _, __, y, i=i: seen.update({i: y[0][0].clone()})))
        logits = self.step(ids, images, projections)
        for h in hooks:
            h.remove()
        return logits, seen

    @torch.no_grad()
    def step(self, ids, images, projections, generated=0):
        """A whole pass without a cache; rows of generated tokens see what the last row of the prompt saw, as
        `_update_model_kwargs_for_generation` has it."""
        prompt = ids[: len(ids) - generated]
        inputs = self.inputs(prompt, images)
        inputs.update(input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long))
        for n in ("pixel_values", "aspect_ratio_ids", "aspect_ratio_mask"):
            inputs.pop(n, None)
        if images:
            mask = inputs["cross_attention_mask"]
            inputs["cross_attention_mask"] = torch.cat([mask, mask[:, -1:].expand(-1, generated, -1, -1)], dim=1)
            inputs["cross_attention_states"] = torch.cat(projections)  # [images * 4, rows, width]
        return self.model(**inputs, use_cache=False, cache_position=torch.arange(len(ids))).logits[0].float()

    @torch.no_grad()
    def generate(self, ids, images, count):
        """transformers' own loop with its cache: must give the tokens that passes without a cache give."""
        out = self.model.generate(**self.inputs(ids, images), do_sample=False, max_new_tokens=count, min_new_tokens=count,
                                  eos_token_id=None, pad_token_id=5, temperature=None, top_p=None)
        return out[0, len(ids) :].tolist()

    def taps_after(self):
        """Makes the tower return, for index i, the output of layer i: what transformers >= 4.56 computes."""
        encoder = self.model.model.vision_model.transformer
        plain = encoder.forward

        def forward(*args, **kwargs):
            out = plain(*args, **kwargs)
            out.hidden_states = out.hidden_states[1:]
            return out

        encoder.forward = forward
