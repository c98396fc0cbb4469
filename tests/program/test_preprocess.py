# SPDX-License-Identifier: Apache-2.0
"""`preprocess`: canvases to the byte, files of numbers, and pictures that are none."""
import json
import math
import pathlib
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent / "support"))
from harness import Case, DATA, GIVEN, TEMPORARY, main, read_safetensors, run, scenes

IMAGES = DATA / "image"
EXPECTED = [e for e in json.loads((IMAGES / "expected.json").read_text())["images"] if e.get("file")]


def preprocess(*arguments):
    return run("preprocess", *arguments)


class Preprocess(Case):
    def test_canvases(self):
        compared = 0
        for size in (56, 560):
            cases = [e for e in EXPECTED if not e.get("hostile") and "canvas_sha256" in e.get("expect", {}).get(str(size), {})
                     and e["file"].endswith((".png", ".bmp", ".gif")) and (IMAGES / e["file"]).exists()]
            files = [IMAGES / e["file"] for e in cases]
            out = self.succeeds(preprocess("--tile-size", size, "--exif", "ignore", "--alpha", "drop", "--json", *files))
            for e, found in zip(cases, json.loads(out), strict=True):
                want = e["expect"][str(size)]
                self.assertEqual(list(found), ["file", "canvas", "resized", "sha256"])
                self.assertEqual(found["canvas"], want["tiles"], e["file"])
                self.assertEqual(found["resized"], want["resized"][::-1], e["file"])
                self.assertEqual(found["sha256"], want["canvas_sha256"], e["file"])
                compared += 1
        self.assertGreater(compared, 10)

    def test_policies(self):
        def sha(*arguments):
            return json.loads(self.succeeds(preprocess("--tile-size", 56, "--json", *arguments)))[0]["sha256"]
        turned = IMAGES / "exif6.jpg"
        self.assertNotEqual(sha("--exif", "apply", turned), sha("--exif", "ignore", turned))
        self.assertEqual(sha(turned), sha("--exif", "apply", turned))
        clear = IMAGES / "rgba8.png"
        self.assertNotEqual(sha("--alpha", "white", clear), sha("--alpha", "drop", clear))
        self.assertEqual(sha(clear), sha("--alpha", "white", clear))

    def test_numbers(self):
        out = TEMPORARY / "tiles.safetensors"
        self.succeeds(preprocess("--tile-size", 56, "--out", out, IMAGES / "rgb8.png"))
        shape = json.loads(self.succeeds(preprocess("--tile-size", 56, "--json", IMAGES / "rgb8.png")))[0]["canvas"]
        tensors = read_safetensors(out)
        self.assertEqual(tensors["aspect_ratio"], ("I32", [2], struct.pack("<2i", *shape)))
        dtype, extents, raw = tensors["pixel_values"]
        self.assertEqual((dtype, extents), ("F32", [math.prod(shape), 3, 56, 56]))
        values = struct.unpack(f"<{len(raw) // 4}f", raw)
        self.assertTrue(all(-1.8 < v < 2.2 for v in values))  # CLIP's mean and deviation
        self.assertEqual(len({*values}) > 50, True)

    def test_canvas_as_picture(self):
        out = TEMPORARY / "canvas.png"
        one = json.loads(self.succeeds(preprocess("--tile-size", 56, "--json", "--png", out, IMAGES / "rgb8.png")))[0]
        # A canvas is its own canvas.
        self.assertEqual(json.loads(self.succeeds(preprocess("--tile-size", 56, "--json", out)))[0]["sha256"], one["sha256"])

    def test_tile_size_of_the_model(self):
        folder, list_of = scenes()
        photo = next(folder / s["image"] for s in list_of if s["image"])
        of_model = json.loads(self.succeeds(preprocess(*GIVEN, "--json", photo)))
        self.assertEqual(of_model, json.loads(self.succeeds(preprocess("--tile-size", 84, "--json", photo))))
        self.assertRegex(self.succeeds(preprocess("--tile-size", 84, photo)), r": \d rows? of \d tiles?, drawn \d+ x \d+\n$")

    def test_max_tiles(self):
        wide = IMAGES / "rgb8.png"
        self.assertEqual(json.loads(self.succeeds(preprocess("--tile-size", 8, "--max-tiles", 1, "--json", wide)))[0]["canvas"],
                         [1, 1])
        self.fails(preprocess("--tile-size", 4096, "--max-tiles", 64, wide), "canvas")

    def test_hostile(self):
        for name, data in (("empty.png", b""), ("head.png", b"\x89PNG\r\n\x1a\n"), ("head.jpg", b"\xff\xd8\xff"),
                           ("text.gif", b"hello"), ("bomb.bmp", b"BM" + b"\xff" * 60), ("short.gif", b"GIF89a\xff\xff\xff\xff"),
                           ("cut.png", (IMAGES / "rgb8.png").read_bytes()[:100])):
            path = TEMPORARY / name
            path.write_bytes(data)
            self.fails(preprocess("--tile-size", 56, "--json", path), path)
        self.fails(preprocess("--tile-size", 56, TEMPORARY / "missing.png"), "missing.png")
        self.fails(preprocess("--tile-size", 56, TEMPORARY), TEMPORARY)
        r = preprocess("--tile-size", 56, "--json", TEMPORARY / "missing.png", IMAGES / "rgb8.png")
        self.fails(r, "missing.png")
        self.assertEqual(len(json.loads(r.stdout)), 1)

    def test_a_picture_is_never_overwritten(self):
        picture, link = TEMPORARY / "own.png", TEMPORARY / "link.png"
        picture.write_bytes((IMAGES / "rgb8.png").read_bytes())
        link.symlink_to(picture.name)
        for option in ("--out", "--png"):
            for name in (picture, link):
                self.refuses(preprocess("--tile-size", 56, option, name, picture), f"{option}: would overwrite {picture}")
        self.assertEqual(picture.read_bytes(), (IMAGES / "rgb8.png").read_bytes())
        out = TEMPORARY / "one file"
        for other in (out, TEMPORARY / "." / "one file"):
            self.refuses(preprocess("--tile-size", 56, "--out", out, "--png", other, picture), "are one file")
        self.assertFalse(out.exists())
        for _ in range(2):  # what was written before may be
            self.succeeds(preprocess("--tile-size", 56, "--out", out, "--png", "/dev/null", picture))

    def test_bad_targets(self):
        for option in ("--out", "--png"):
            for bad in ("/dev/full", "/nowhere/file"):
                self.fails(preprocess("--tile-size", 56, option, bad, IMAGES / "rgb8.png"), bad)


main()
