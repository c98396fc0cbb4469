# SPDX-License-Identifier: Apache-2.0
"""Meta's llama-models 0.3.0 on a small model: activations, logits, greedy text. fp32; one rank unless told otherwise."""
import os
from fractions import Fraction

import torch
from fairscale.nn.model_parallel.initialize import initialize_model_parallel
from fairscale.nn.model_parallel.layers import ColumnParallelLinear
from llama_models.llama3.args import ModelArgs
from llama_models.llama3.chat_format import create_vision_mask
from llama_models.llama3.multimodal import model as meta

from shapes import TILES

ROWS = 128  # the buffer: prompt and generated tokens


class Meta:
    def __init__(self, shape, tensors, params=None, rank=0, ranks=1):
        """`params`: those of a params.json; without them, made of `shape`, whose tower is not in Meta's files anyway."""
        os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
        os.environ.setdefault("MASTER_PORT", "29511")
        torch.distributed.init_process_group("gloo", rank=rank, world_size=ranks)
        initialize_model_parallel(ranks)
        v, t = shape["vision"], shape["text"]
        self.shape, self.vocabulary = shape, t["vocabulary"]
        encoder = meta.VisionEncoder  # its width, depth and taps are constants of the class that builds it
        meta.VisionEncoder = lambda **given: encoder(**{
            **given, "width": v["width"], "layers": v["layers"], "heads": v["heads"], "patch_size": v["patch"],
            "mlp_ratio": Fraction(v["mlp"], v["width"]), "n_global_layers": v["global_layers"], "return_intermediate": v["taps"]})
        selfs = t["layers"] - len(t["cross_layers"]) + (t["layers"] - 1 in t["cross_layers"])
        params = params or dict(
            dim=t["width"], n_layers=selfs, n_heads=t["heads"], n_kv_heads=t["kv_heads"], vocab_size=t["vocabulary"],
            multiple_of=t["mlp"], ffn_dim_multiplier=1.5 / int(8 * t["width"] / 3), norm_eps=t["norm_eps"],
            rope_theta=t["rope_theta"], use_scaled_rope=t["rope_scaled"],
            vision_chunk_size=v["tile"], vision_max_num_chunks=TILES, vision_num_cross_attention_layers=len(t["cross_layers"]))
        self.model = meta.CrossAttentionTransformer(ModelArgs(max_batch_size=1, max_seq_len=ROWS, **params))
        vision, text = self.model.vision_model, self.model.text_model
        vision.vision_projection = ColumnParallelLinear((len(v["taps"]) + 1) * v["width"], t["width"], bias=True)
        self.model.load_state_dict(tensors, strict=True)
        for stack in (vision.vision_encoder.transformer, vision.vision_encoder.global_transformer):
            for block in stack.resblocks:  # Meta's tower has only the usual eps
                block.ln_1.eps = block.ln_2.eps = v["norm_eps"]
        self.model.eval().setup_cache(1, torch.device("cpu"), torch.float32)
        self.model.image_transform = lambda image: image

        # merged index -> block, by the order in which the forward pass runs them
        self.blocks, taken = [], 0
        for i, layer in enumerate(text.layers):
            if i in text.fusion_schedule:
                self.blocks.append(text.cross_attention_layers[taken])
                taken += 1
            self.blocks.append(layer)
        self.blocks = self.blocks[: t["layers"]]
        assert [i for i, b in enumerate(self.blocks) if hasattr(b, "gate_attn")] == t["cross_layers"]

    @torch.no_grad()
    def tower(self, image):
        """Every named activation of one image, tile slots first: [4, rows, width]."""
        seen, hooks, vision = {}, [], self.model.vision_model
        e = vision.vision_encoder

        def hook(name, module):
            hooks.append(module.register_forward_hook(lambda _, __, y: seen.update({name: y})))

        hook("patch_embedding", e.conv1)
        hook("ln_pre", e.ln_pre)
        hook("ln_post", e.ln_post)
        hook("tower", e)
        for i, block in enumerate(e.transformer.resblocks):
            hook(f"local.{i}", block)
        for i, block in enumerate(e.global_transformer.resblocks):
            hook(f"global.{i}", block)
        ratio, tiles = image
        stacked, _ = meta._stack_images([[tiles]], TILES, self.shape["vision"]["tile"], 1)
        seen["projector"] = vision(stacked, torch.tensor([[list(ratio)]]))
        for h in hooks:
            h.remove()
        return {n: x.reshape(TILES, -1, x.shape[-1]).contiguous().clone() for n, x in seen.items()}

    def prepare(self, ids, images, keep_seeing, projections):
        """Masks and cross keys and values. `keep_seeing`: generated tokens go on seeing the last run of images.
        `projections` replace the output of Meta's tower where it cannot compute what the case wants."""
        ranges = create_vision_mask(ids, self.vocabulary)
        if keep_seeing:
            ranges = [[a, -1 if b == len(ids) else b] for a, b in ranges]
        vision = self.model.vision_model
        plain = vision.forward
        if projections:
            vision.forward = lambda *_: torch.stack(projections)[None]
        given = [(tiles, torch.tensor(ratio)) for ratio, tiles in images]
        out = self.model.compute_vision_tokens_masks([given], [ranges], ROWS, torch.device("cpu"))
        vision.forward = plain
        return out

    @torch.no_grad()
    def prompt(self, ids, images, projections=None):
        """(logits of all rows, {merged index: output of the layer})."""
        seen, hooks = {}, []
        for i, block in enumerate(self.blocks):
            hooks.append(block.register_forward_hook(lambda _, __, y, i=i: seen.update({i: y[0].clone()})))
        prepared = self.prepare(ids, images, False, projections)
        logits = self.forward(ids, 0, images, prepared)
        for h in hooks:
            h.remove()
        return logits, seen

    @torch.no_grad()
    def forward(self, ids, start, images, prepared):
        caches, mask, row_mask = prepared
        buffer = torch.zeros(1, ROWS, dtype=torch.long)
        buffer[0, : len(ids)] = torch.tensor(ids)
        return self.model.forward(torch.arange(start, len(ids)), buffer, mask, row_mask, caches, not images)[0]
