# SPDX-License-Identifier: Apache-2.0
"""`trace`: names and shapes of Hugging Face's modules, and the same numbers whichever way a picture comes in."""
import json
import pathlib
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent / "support"))
from harness import Case, GIVEN, MODEL, TEMPORARY, integers, main, read_safetensors, run, scenes, write_safetensors

CONFIG = json.loads((MODEL / "config.json").read_text())
VISION, TEXT = CONFIG["vision_config"], CONFIG["text_config"]
PATCHES = (VISION["image_size"] // VISION["patch_size"]) ** 2
PADDED = (PATCHES + 8) // 8 * 8
WIDTH = VISION["hidden_size"]


class Trace(Case):
    def setUp(self):
        folder, self.scenes = scenes()
        self.photos = [folder / s["image"] for s in self.scenes if s["image"]]

    def trace(self, *arguments):
        out = TEMPORARY / "trace.safetensors"
        self.succeeds(run("trace", *GIVEN, "--out", out, *arguments))
        return read_safetensors(out)

    def prompt(self, text, images):
        content = [{"type": "image"}] * images + [{"type": "text", "text": text}]
        line = json.dumps({"messages": [{"role": "user", "content": content}]})
        return json.loads(self.succeeds(run("tokenize", "--tokenizer", MODEL, "--chat", "--jsonl", stdin=line + "\n")))

    def test_names_and_shapes(self):
        seen = self.trace("--image", self.photos[0], "--prompt", "What is in this picture?")
        rows = len(self.prompt("What is in this picture?", 1))
        tiles, text = VISION["max_num_tiles"], TEXT["hidden_size"]
        expected = {"vision_model.patch_embedding": [tiles, PATCHES, WIDTH],
                    "vision_model.layernorm_pre": [tiles, PATCHES + 1, WIDTH],
                    "vision_model.layernorm_post": [tiles * PADDED, WIDTH],
                    "multi_modal_projector": [tiles, PATCHES + 1, text],
                    "language_model.model.norm": [rows, text],
                    "logits": [rows, TEXT["vocab_size"]]}
        expected |= {f"vision_model.transformer.layers.{i}": [tiles * PADDED, WIDTH] for i in range(VISION["num_hidden_layers"])}
        expected |= {f"vision_model.global_transformer.layers.{i}": [tiles * PADDED, WIDTH]
                     for i in range(VISION["num_global_layers"])}
        expected |= {f"language_model.model.layers.{i}": [rows, text] for i in range(TEXT["num_hidden_layers"])}
        heads, kv_heads = TEXT["num_attention_heads"], TEXT["num_key_value_heads"]
        for i in TEXT["cross_attention_layers"]:
            at = f"language_model.model.layers.{i}.cross_attn."
            expected |= {at + "k_proj": [tiles, PATCHES + 1, text // heads * kv_heads],
                         at + "k_norm": [kv_heads, tiles * (PATCHES + 1), text // heads],
                         at + "q_norm": [heads, rows, text // heads]}
        for name, shape in expected.items():
            self.assertEqual(seen[name][:2], ("F32", shape), name)
        self.assertEqual(seen["tokens"][:2], ("I64", [16]))

    def test_tokens_are_those_of_describe(self):
        for parity in ("default", "hf", "meta"):
            ask = ["--prompt", "What is in this picture?", "--parity", parity]
            answer = json.loads(self.succeeds(run("describe", *GIVEN, "--json", "--greedy", *ask, self.photos[0])))["tokens"]
            tokens = integers(self.trace("--image", self.photos[0], *ask, "--max-tokens", len(answer))["tokens"][2])
            self.assertEqual(tokens, answer)

    def test_logits_choose_the_tokens(self):
        seen = self.trace("--prompt", "How many shapes are there?", "--max-tokens", 1)
        _, (rows, words), raw = seen["logits"]
        last = struct.unpack(f"<{words}f", raw[-4 * words:])
        self.assertEqual(integers(seen["tokens"][2]), [last.index(max(last))])
        self.assertFalse([name for name in seen if name.startswith("vision_model")])

    def test_tiles_and_ids_are_the_same_as_pictures_and_text(self):
        tiles = TEMPORARY / "tiles.safetensors"
        self.succeeds(run("preprocess", *GIVEN, "--out", tiles, self.photos[0]))
        ids = ",".join(map(str, self.prompt("Which shape?", 1)))
        picture = self.trace("--image", self.photos[0], "--prompt", "Which shape?", "--max-tokens", 4)
        self.assertEqual(self.trace("--tiles", tiles, "--tokens", ids, "--max-tokens", 4), picture)
        contents = read_safetensors(tiles)
        ratio = struct.pack("<2q", *struct.unpack("<2i", contents["aspect_ratio"][2]))
        write_safetensors(tiles, contents | {"aspect_ratio": ("I64", [2], ratio)})
        self.assertEqual(self.trace("--tiles", tiles, "--tokens", ids, "--max-tokens", 4), picture)

    def test_several_pictures_keep_their_order(self):
        tiles = TEMPORARY / "second.safetensors"
        self.succeeds(run("preprocess", *GIVEN, "--out", tiles, self.photos[1]))
        name = "multi_modal_projector"
        one, two = (self.trace("--image", p, "--prompt", "?")[name] for p in self.photos[:2])
        for order, raw in ((["--image", self.photos[0], "--tiles", tiles], one[2] + two[2]),
                           (["--tiles", tiles, "--image", self.photos[0]], two[2] + one[2])):
            both = self.trace(*order, "--prompt", "?")[name]
            self.assertEqual(both, ("F32", [2, *one[1]], raw))

    def test_what_is_read_is_never_overwritten(self):
        tiles = TEMPORARY / "own.safetensors"
        self.succeeds(run("preprocess", *GIVEN, "--out", tiles, self.photos[0]))
        for option, file in (("--image", self.photos[0]), ("--tiles", tiles)):
            before = file.read_bytes()
            self.refuses(run("trace", *GIVEN, option, file, "--prompt", "?", "--out", file), f"--out: would overwrite {file}")
            self.assertEqual(file.read_bytes(), before)

    def test_faults(self):
        out = TEMPORARY / "out.safetensors"

        def trace(*arguments):
            return run("trace", *GIVEN, "--out", out, *arguments)

        vocabulary = TEXT["vocab_size"]
        self.fails(trace("--tokens", "1,x"), '"x"')
        self.fails(trace("--tokens", f"1,{vocabulary + 8}"), vocabulary + 8)
        self.fails(trace("--tokens", "-1"), "-1")
        self.fails(trace("--tokens", ""), "no token id")
        self.fails(trace("--tokens", f"1,{vocabulary}"), "images")
        self.fails(trace("--tokens", "1", "--image", self.photos[0]), "images")
        self.fails(trace("--tokens", ",".join(["1"] * 3000)), "context")
        self.fails(trace("--prompt", "a", "--tiles", self.photos[0]), self.photos[0])
        self.fails(trace("--prompt", "a", "--image", TEMPORARY / "missing.png"), "missing.png")
        self.fails(run("trace", *GIVEN, "--out", "/dev/full", "--tokens", "1"), "/dev/full")
        tiles = TEMPORARY / "bad.safetensors"
        side = VISION["image_size"]
        good = ("F32", [1, 3, side, side], bytes(12 * side * side))
        for pixels, ratio in ((good, (2, 1)), (good, (0, 0)), (good, (-1, -1)), (("F32", [1, 3, 28, 28], bytes(12 * 784)), (1, 1)),
                              (("I32", *good[1:]), (1, 1)), (("F32", [5, 3, 2, 2], bytes(240)), (5, 1))):
            write_safetensors(tiles, {"pixel_values": pixels, "aspect_ratio": ("I32", [2], struct.pack("<2i", *ratio))})
            self.fails(trace("--prompt", "a", "--tiles", tiles), tiles)
        write_safetensors(tiles, {"pixel_values": good})
        self.fails(trace("--prompt", "a", "--tiles", tiles), "aspect_ratio")
        self.assertFalse(out.exists())  # nothing half-written is left


main()
