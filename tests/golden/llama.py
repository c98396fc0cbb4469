# SPDX-License-Identifier: Apache-2.0
"""Two small text models (LlamaForCausalLM) and what transformers computes with them: llama.py NAME FOLDER. The untied one, whose numbers
Meta's code can express, is also run by llama-models, which must agree."""
import os
import platform
import sys
from importlib.metadata import version

import numpy as np
import torch
from fairscale.nn.model_parallel.initialize import initialize_model_parallel
from llama_models.llama3.args import ModelArgs
from llama_models.llama3.model import Transformer
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

from make import AGREE, difference, greedy
from weights import Draw, write_json

TOKENS = 24
VARIED = 8  # different tokens in a greedy text, so that it says something
CASES = {"one": 1, "nine": 9, "long": 24}  # tokens of the prompts

SHAPES = {
    # Llama 3.2 1B in small: heads 64 wide, the head's weight is the embedding's, rotary frequencies divided by 32.
    "llama_tied": dict(
        seed=307, width=128, mlp=36, heads=2, kv_heads=1, layers=2, vocabulary=200, context=131072, norm_eps=1e-5, rope_theta=500000.0,
        factor=32.0, tied=True, config="4.x"),
    # Llama 3.1 8B in small: a head of its own, three query heads for each KV head, frequencies divided by 8. Heads 6 wide, an odd norm_eps.
    "llama_untied": dict(
        seed=311, width=36, mlp=44, heads=6, kv_heads=2, layers=3, vocabulary=270, context=16384, norm_eps=2e-3, rope_theta=500000.0,
        factor=8.0, tied=False, config="5.x"),
}


def draw(shape):
    """Tensors under the names of published files."""
    d, w, m, head = Draw(shape["seed"]), shape["width"], shape["mlp"], shape["width"] // shape["heads"]
    gain = 0.05 if shape["tied"] else 1.0  # small beside what the layers add: else every token is its own best successor
    out = {"model.embed_tokens.weight": d.bias(shape["vocabulary"], w, gain=gain)}
    for i in range(shape["layers"]):
        p = f"model.layers.{i}"
        out[f"{p}.self_attn.q_proj.weight"] = d.linear(w, w, 1.5)
        out[f"{p}.self_attn.k_proj.weight"] = d.linear(shape["kv_heads"] * head, w, 1.5)
        out[f"{p}.self_attn.v_proj.weight"] = d.linear(shape["kv_heads"] * head, w)
        out[f"{p}.self_attn.o_proj.weight"] = d.linear(w, w)
        out[f"{p}.mlp.gate_proj.weight"] = d.linear(m, w)
        out[f"{p}.mlp.up_proj.weight"] = d.linear(m, w)
        out[f"{p}.mlp.down_proj.weight"] = d.linear(w, m)
        out[f"{p}.input_layernorm.weight"] = d.norm(w)
        out[f"{p}.post_attention_layernorm.weight"] = d.norm(w)
    out["model.norm.weight"] = d.norm(w)
    if not shape["tied"]:
        out["lm_head.weight"] = d.linear(shape["vocabulary"], w, 3.0)
    # The ids of generation_config.json: greedy text must not run into a stop id.
    out["model.embed_tokens.weight" if shape["tied"] else "lm_head.weight"][:6] *= 0.25
    return out


def configuration(shape):
    """config.json in the spelling that the shape asks for."""
    old = shape["config"] == "4.x"
    scaling = dict(factor=shape["factor"], high_freq_factor=4.0, low_freq_factor=1.0, original_max_position_embeddings=8192, rope_type="llama3")
    rope = dict(rope_scaling=scaling, rope_theta=shape["rope_theta"]) if old else dict(rope_parameters=dict(scaling, rope_theta=shape["rope_theta"]))
    return dict(
        architectures=["LlamaForCausalLM"], attention_bias=False, attention_dropout=0.0, bos_token_id=1, eos_token_id=[2, 3, 4],
        head_dim=shape["width"] // shape["heads"], hidden_act="silu", hidden_size=shape["width"], initializer_range=0.02,
        intermediate_size=shape["mlp"], max_position_embeddings=shape["context"], mlp_bias=False, model_type="llama",
        num_attention_heads=shape["heads"], num_hidden_layers=shape["layers"], num_key_value_heads=shape["kv_heads"], pad_token_id=5,
        pretraining_tp=1, rms_norm_eps=shape["norm_eps"], tie_word_embeddings=shape["tied"], use_cache=True, vocab_size=shape["vocabulary"],
        transformers_version="4.54.1" if old else "5.23.0", **rope, **{"torch_dtype" if old else "dtype": "bfloat16"})


def write_folder(shape, folder):
    os.makedirs(folder, exist_ok=True)
    config = configuration(shape)
    write_json(os.path.join(folder, "config.json"), dict(sorted(config.items())))
    write_json(os.path.join(folder, "generation_config.json"), dict(
        bos_token_id=1, do_sample=True, eos_token_id=[2, 3, 4], pad_token_id=5, temperature=0.6, top_p=0.9,
        transformers_version=config["transformers_version"]))
    save({n: x.to(torch.bfloat16) for n, x in draw(shape).items()}, os.path.join(folder, "model.safetensors"), {"format": "pt"})


def save(tensors, path, metadata=None):
    save_file({n: x.contiguous() for n, x in tensors.items()}, path, metadata=metadata)
    os.chmod(path, 0o644)


class HuggingFace:
    def __init__(self, shape, folder):
        """The model from the folder's own tensors. 4.54.1 does not know the spelling of 5.x."""
        config = LlamaConfig(**dict(configuration(dict(shape, config="4.x")), torch_dtype="float32"))
        config._attn_implementation = "eager"
        self.model = LlamaForCausalLM(config).float().eval()
        self.stored = {n: x.float() for n, x in load_file(os.path.join(folder, "model.safetensors")).items()}
        missing, surplus = self.model.load_state_dict(self.stored, strict=False)
        assert missing == (["lm_head.weight"] if shape["tied"] else []) and not surplus
        self.model.tie_weights()

    @torch.no_grad()
    def prompt(self, ids):
        """(logits of all rows, [output of each layer])."""
        seen, hooks = {}, []
        for i, layer in enumerate(self.model.model.layers):
            hooks.append(layer.register_forward_hook(
                lambda _, __, y, i=i: seen.update({i: (y[0] if isinstance(y, tuple) else y).reshape(len(ids), -1).clone()})))
        logits = self.logits(ids)
        for h in hooks:
            h.remove()
        return logits, [seen[i] for i in range(len(seen))]

    @torch.no_grad()
    def logits(self, ids):
        return self.model(torch.tensor([ids]), use_cache=False).logits[0].float()

    @torch.no_grad()
    def generate(self, ids, count):
        """transformers' own loop with its cache."""
        out = self.model.generate(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids)), do_sample=False, max_new_tokens=count,
                                  min_new_tokens=count, eos_token_id=None, pad_token_id=5, temperature=None, top_p=None)
        return out[0, len(ids) :].tolist()


class Meta:
    def __init__(self, shape, tensors):
        os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
        os.environ.setdefault("MASTER_PORT", "29513")
        torch.distributed.init_process_group("gloo", rank=0, world_size=1)
        initialize_model_parallel(1)
        head = shape["width"] // shape["heads"]
        pairs = lambda x: x.reshape(-1, 2, head // 2, x.shape[1]).transpose(1, 2).reshape(x.shape)  # halves (i, i + d/2) -> (2i, 2i + 1)
        named = {"tok_embeddings.weight": tensors["model.embed_tokens.weight"], "norm.weight": tensors["model.norm.weight"],
                 "output.weight": tensors["lm_head.weight"]}
        for i in range(shape["layers"]):
            p, m = f"model.layers.{i}", f"layers.{i}"
            for meta, hf in (("wq", "q"), ("wk", "k"), ("wv", "v"), ("wo", "o")):
                weight = tensors[f"{p}.self_attn.{hf}_proj.weight"]
                named[f"{m}.attention.{meta}.weight"] = pairs(weight) if hf in "qk" else weight
            for meta, hf in (("w1", "gate"), ("w2", "down"), ("w3", "up")):
                named[f"{m}.feed_forward.{meta}.weight"] = tensors[f"{p}.mlp.{hf}_proj.weight"]
            named[f"{m}.attention_norm.weight"] = tensors[f"{p}.input_layernorm.weight"]
            named[f"{m}.ffn_norm.weight"] = tensors[f"{p}.post_attention_layernorm.weight"]
        self.model = Transformer(ModelArgs(
            dim=shape["width"], n_layers=shape["layers"], n_heads=shape["heads"], n_kv_heads=shape["kv_heads"], vocab_size=shape["vocabulary"],
            multiple_of=shape["mlp"], ffn_dim_multiplier=1.5 / int(8 * shape["width"] / 3), norm_eps=shape["norm_eps"],
            rope_theta=shape["rope_theta"], use_scaled_rope=True, max_batch_size=1, max_seq_len=128))
        self.model.load_state_dict(named, strict=True)

    def logits(self, ids):
        return self.model(torch.tensor([ids]), 0)[0]


def make(name, folder):
    shape, out = SHAPES[name], os.path.join(folder, "golden")
    write_folder(shape, os.path.join(folder, "hf"))
    os.makedirs(out, exist_ok=True)
    hf = HuggingFace(shape, os.path.join(folder, "hf"))
    meta = None if shape["tied"] else Meta(shape, hf.stored)
    cases, agreement = {}, 0.0
    for number, (case, length) in enumerate(CASES.items()):
        for attempt in range(400):
            ids = np.random.default_rng([shape["seed"], number, attempt]).integers(6, shape["vocabulary"], length).tolist()
            text = greedy(lambda new: hf.logits(ids + new)[-1], TOKENS)
            if text is not None and len(set(text[0])) >= VARIED and min(text[0]) >= 6:
                break
        else:
            raise SystemExit(f"{name}/{case}: no clear greedy text: change the seed")
        tokens, margins = text
        assert hf.generate(ids, TOKENS) == tokens
        logits, layers = hf.prompt(ids)
        if meta:
            agreement = max(agreement, difference(meta.logits(ids), logits))
            assert agreement < AGREE
            assert meta.logits(ids + tokens)[length - 1 : -1].argmax(-1).tolist() == tokens
        save({"input_ids": torch.tensor(ids), "hf.logits": logits, **{f"hf.layers.{i}": x for i, x in enumerate(layers)},
              "hf.greedy": torch.tensor(tokens), "hf.greedy_margin": torch.tensor(margins)}, os.path.join(out, f"{case}.safetensors"))
        cases[case] = {
            "file": f"{case}.safetensors", "tokens_key": "input_ids", "tokens": length, "layers_stored": list(range(shape["layers"])),
            "rows_stored": "all", "modes": {"hf": {"logits": "hf.logits", "layers": "hf.layers.", "greedy": "hf.greedy"}},
            "min_margin": float(f"{min(margins):.1e}"), "redrawn": attempt}
        print(f"{name} {case}: {length} tokens, redrawn {attempt}, margin {cases[case]['min_margin']}", flush=True)
    packages = ("torch", "transformers", "tokenizers", "llama-models", "fairscale", "numpy", "safetensors")
    write_json(os.path.join(out, "cases.json"), {
        "shape": shape,
        "versions": {**{n: version(n) for n in packages}, "python": platform.python_version(),
                     "platform": f"{platform.system()} {platform.machine()}, torch on {torch.backends.cpu.get_cpu_capability()}"},
        "how": "fp32, one thread, transformers eager attention",
        "agreement": {"logits of llama-models": float(f"{agreement:.1e}")} if meta else {},
        "cases": cases})


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    make(*sys.argv[1:3])
