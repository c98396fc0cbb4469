# SPDX-License-Identifier: Apache-2.0
"""Trains the small model: python train.py --steps 9000 --out checkpoint [--work DIR]

Goes on from DIR/state.pt when that exists. The learning rate warms up, stays, and falls to zero over the last part. The
length is counted in steps, not minutes, so that a busy machine makes a run longer but not shorter in what it learns."""
import argparse
import json
import multiprocessing
import os
import signal
import time

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

import folder
import scenes
from fast import Fast


def produce(program, tokenizer, seed, start, meters, size, queue):
    os.environ["OMP_NUM_THREADS"] = "1"
    writer = scenes.Writer(Tokenizer.from_file(tokenizer))
    for item in scenes.batches(scenes.stream(program, "train", seed, start, meters), writer, seed + start, size):
        queue.put(item)


class Producer:
    """A process that draws and packs scenes ahead of the loop."""

    def __init__(self, program, tokenizer, seed, start, meters, size):
        context = multiprocessing.get_context("spawn")
        self.meters, self.queue = meters, context.Queue(12)
        self.process = context.Process(target=produce, args=(program, tokenizer, seed, start, meters, size, self.queue), daemon=True)
        self.process.start()

    def stop(self):
        self.process.terminate()
        self.process.join()


class Optimizer:
    """Muon (orthogonalised momentum) for the matrices inside the layers, AdamW for everything else."""

    def __init__(self, model):
        self.model, self.steps = model, 0
        inner = [(n, p) for n, p in model.named_parameters() if p.dim() == 2 and ("_proj" in n or ".fc" in n) and "lm_head" not in n]
        names = {n for n, _ in inner}
        rest = [p for n, p in model.named_parameters() if n not in names]
        self.adam = torch.optim.AdamW([dict(params=[p for p in rest if p.dim() >= 2], weight_decay=0.02),
                                       dict(params=[p for p in rest if p.dim() < 2], weight_decay=0.0)],
                                      lr=0.0, betas=(0.9, 0.98), fused=True)
        shapes = {}
        for n, p in inner:
            shapes.setdefault(tuple(p.shape), []).append(p)
        self.groups = [(ps, torch.zeros(len(ps), *shape)) for shape, ps in shapes.items()]

    @staticmethod
    def orthogonal(g):
        """Newton and Schulz's iteration (Jordan et al., 2024) on a stack of matrices."""
        wide = g.shape[1] <= g.shape[2]
        x = (g if wide else g.mT).to(torch.bfloat16)
        x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
        for _ in range(5):
            a = x @ x.mT
            x = 3.4445 * x + (-4.7750 * a + 2.0315 * (a @ a)) @ x
        return (x if wide else x.mT).float()

    def step(self, rate, momentum=0.95, decay=0.02):
        for group in self.adam.param_groups:
            group["lr"] = rate
        self.adam.step()
        for parameters, moving in self.groups:
            g = torch.stack([p.grad for p in parameters])
            moving.lerp_(g, 1 - momentum)
            update = self.orthogonal(g.lerp(moving, momentum)) * (0.2 * max(g.shape[1:]) ** 0.5)
            with torch.no_grad():
                torch._foreach_mul_(parameters, 1 - rate * decay)
                torch._foreach_add_(parameters, list(update.unbind()), alpha=-rate)

    def state(self):
        return dict(adam=self.adam.state_dict(), moving=[m for _, m in self.groups])

    def load(self, state):
        self.adam.load_state_dict(state["adam"])
        for (_, mine), its in zip(self.groups, state["moving"]):
            mine.copy_(its)


def tensors(arrays):
    return {k: None if v is None else torch.from_numpy(v) for k, v in arrays.items()}


def hidden_at_targets(fast, ratio, b):
    image = fast.vision(b["patches"], ratio) if ratio else None
    at = b["target"] >= 0
    return fast.text(image, b["ids"], b["place"], b["segment"], b["sees"])[at], b["target"][at], at


def held_out(program, writer, count, seed=7):
    """Held-out scenes as packed batches; an answer is right if every token of it is the likeliest."""
    lines = {}
    for rgb, [(question, answer, kind)] in scenes.stream(program, "test", seed, count):
        prompt = writer.prompt(question, rgb is not None)
        tokens = prompt + writer.encode(answer) + [folder.EOT]
        row = [(tokens, [i >= len(prompt) for i in range(len(tokens))])]
        lines.setdefault(scenes.ratio_of(rgb), []).append((row, None if rgb is None else scenes.patches_of(rgb), kind))
    for ratio, line in lines.items():
        for i in range(0, len(line), 64):
            part = line[i:i + 64]
            yield ratio, scenes.pack([r for r, _, _ in part], None if ratio == 0 else [p for _, p, _ in part]), [k for *_, k in part]


def examine(model, fast, examination):
    right, total = {}, {}
    with torch.no_grad():
        for ratio, arrays, kinds in examination:
            b = tensors(arrays)
            hidden, target, at = hidden_at_targets(fast, ratio, b)
            good = torch.ones(at.shape, dtype=torch.bool)
            good[at] = model.lm_head(hidden).argmax(-1) == target
            for kind, ok in zip(kinds, good.all(1).tolist()):
                right[kind], total[kind] = right.get(kind, 0) + ok, total.get(kind, 0) + 1
    return sum(right.values()) / sum(total.values()), {k: f"{right[k]}/{total[k]}" for k in sorted(total)}


def main():
    parse = argparse.ArgumentParser()
    parse.add_argument("--steps", type=int, default=9000)
    parse.add_argument("--out", default=os.path.join(scenes.HERE, "checkpoint"))
    parse.add_argument("--work", default="tiny-work")
    parse.add_argument("--rate", type=float, default=2e-3)
    parse.add_argument("--size", type=int, default=24, help="tiles of a batch")
    parse.add_argument("--threads", type=int, default=1)
    parse.add_argument("--fall", type=float, default=0.6, help="last part of the run in which the learning rate falls")
    parse.add_argument("--meters", type=int, nargs=2, default=[46, 46], help="percent of meters before and during the fall")
    parse.add_argument("--full-precision", action="store_true")
    parse.add_argument("--seed", type=int, default=1)
    options = parse.parse_args()
    torch.set_num_threads(options.threads)
    os.makedirs(options.work, exist_ok=True)
    program = scenes.build()

    words = f"{options.work}/tokenizer.json"
    if not os.path.exists(words):
        texts = []
        for _, questions in scenes.stream(program, "train", 1000 + options.seed, 0, 30):
            texts += [text for q in questions for text in q[:2]]
            if len(texts) > 40000:
                break
        folder.train_tokenizer(texts).save(words)
    tokenizer = Tokenizer.from_file(words)
    writer = scenes.Writer(tokenizer)
    model = folder.new_model(options.seed)
    fast, optimizer = Fast(model, model.config), Optimizer(model)
    step, spent, seen = 0, 0.0, 0
    if os.path.exists(f"{options.work}/state.pt"):
        state = torch.load(f"{options.work}/state.pt")
        model.load_state_dict(state["model"])
        optimizer.load(state["optimizer"])
        step, spent, seen = state["step"], state["spent"], state["seen"]
    examination = list(held_out(program, writer, 400))
    producer, begun, mean_loss, last = None, time.time(), None, spent
    print(f"{sum(p.numel() for p in model.parameters())} parameters, from step {step}", flush=True)

    def store():
        torch.save(dict(model=model.state_dict(), optimizer=optimizer.state(), step=step, spent=spent, seen=seen), f"{options.work}/new.pt")
        os.replace(f"{options.work}/new.pt", f"{options.work}/state.pt")
        folder.save(model, tokenizer, f"{options.work}/checkpoint")

    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    before = spent
    while True:
        if stop:
            store()
            raise SystemExit("stopped; the next run goes on from here")
        spent = before + time.time() - begun
        progress = step / options.steps
        if progress >= 1:
            break
        falling = progress > 1 - options.fall
        meters = options.meters[falling]
        if producer is None or producer.meters != meters:
            if producer:
                producer.stop()
            # Indices go on far beyond those that were already drawn.
            producer = Producer(program, words, options.seed, 2 * seen + 100_000 * falling, meters, options.size)
        ratio, arrays = producer.queue.get()
        b = tensors(arrays)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=not options.full_precision):
            hidden, target, _ = hidden_at_targets(fast, ratio, b)
            logits = model.lm_head(hidden)
        loss = F.cross_entropy(logits.float(), target)
        for p in model.parameters():
            p.grad = None if p.grad is None else p.grad.zero_()
        loss.backward()
        for p in model.parameters():
            if p.grad is None:
                p.grad = torch.zeros_like(p)
        folder.hold_padding(model, lambda p: p.grad)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        rate = options.rate * min(1, (step + 1) / 200) * (max(0.0, 1 - progress) / options.fall if falling else 1)
        optimizer.step(rate)
        step, seen = step + 1, seen + len(b["ids"])
        if ratio:
            mean_loss = loss.item() if mean_loss is None else 0.98 * mean_loss + 0.02 * loss.item()
        if step % 50 == 0:
            print(f"{step} loss {mean_loss:.4f} rate {rate:.5f} {spent:.0f} s, {seen / max(spent, 1):.0f} pictures/s", flush=True)
        if spent - last > 300:
            last = spent
            share, kinds = examine(model, fast, examination)
            print(f"examined at step {step}: {share:.3f} {json.dumps(kinds)}", flush=True)
            store()
    if producer:
        producer.stop()
    store()
    share, kinds = examine(model, fast, list(held_out(program, writer, 1000, seed=8)))
    print(f"done: {step} steps, {seen} pictures, {spent / 60:.1f} minutes; {share:.3f} {json.dumps(kinds)}", flush=True)
    folder.save(model, tokenizer, options.out)


if __name__ == "__main__":
    main()
