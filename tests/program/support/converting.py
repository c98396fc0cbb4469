# SPDX-License-Identifier: Apache-2.0
"""What the tests of `convert` share: sources of every kind, and a place of its own for each test's results."""
import json
import struct

from harness import Case, TEMPORARY, copy_of_model, read_safetensors, run, scenes, write_safetensors

QUESTION = "What is in this picture?"


def all_tensors(folder):
    tensors = {}
    for path in sorted(folder.glob("*.safetensors")):
        tensors.update(read_safetensors(path))
    return tensors


def large_model(name, tensors, rows):
    """A folder whose weights are zeros, most of them never written to the disk."""
    folder = copy_of_model(name)
    header, at = {}, 0
    for i in range(tensors):
        header[f"vision_model.transformer.layers.{i}.mlp.fc1.weight"] = {"dtype": "BF16", "shape": [rows, 1024],
                                                   "data_offsets": [at, at + 2048 * rows]}
        at += 2048 * rows
    text = json.dumps(header).encode()
    with open(folder / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + at)
    return folder, at


def flat_model(name):
    """The model with tile tables that Meta's form can hold: a vector for each cell, whatever the arrangement; none for padding."""
    folder = copy_of_model(name)
    tensors = read_safetensors(folder / "model.safetensors")
    shapes = [(h, w) for h in range(1, 5) for w in range(1, 5) if h * w <= 4]
    for tensor in [n for n in tensors if "tile_embedding.weight" in n or "tile_positional_embedding.embedding.weight" in n]:
        dtype, shape, raw = tensors[tensor]
        slot = len(raw) // 36
        cell = {(h, w): raw[(4 * (i + 1) + h * w - 1) * slot:][:slot] for i, (h, w) in enumerate(shapes)}
        rows = [bytes(4 * slot)]
        for h, w in shapes:
            tiles = [cell[t // w + 1, t % w + 1] for t in range(h * w)]
            rows.append(b"".join(tiles) + bytes((4 - h * w) * slot))
        tensors[tensor] = (dtype, shape, b"".join(rows))
    write_safetensors(folder / "model.safetensors", tensors)
    return folder

class Converting(Case):
    def setUp(self):
        self.around = TEMPORARY / self.id().rsplit(".", 1)[1]
        self.around.mkdir()
        self.out = self.around / "out"

    def converts(self, source, *arguments, out=None):
        r = run("convert", source, out or self.out, *arguments)
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertEqual(r.stdout, f"{out or self.out}\n")
        return r.stderr

    def answer(self, model, *arguments):
        folder, list_of = scenes()
        photo = folder / next(s["image"] for s in list_of if s["image"])
        return self.succeeds(run("describe", "--model", model, *arguments, "--prompt", QUESTION, photo))

    def nothing_left(self):
        self.assertEqual([p.name for p in self.around.iterdir()], [])
