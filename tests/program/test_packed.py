# SPDX-License-Identifier: Apache-2.0
"""`--packed`: weights in a file as they are laid out. Made once, the same answers, and foreign files stay."""
import json
import os
import pathlib
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent / "support"))
from harness import Case, GIVEN, MODEL, TEMPORARY, main, run, scenes

SCENES, LIST = scenes(8, 31)
PICTURE = next(SCENES / s["image"] for s in LIST if s["image"])
FORMATS = ("--text", "q4", "--vision", "bf16")


def describe(*arguments):
    made = run("describe", "--greedy", "--json", *arguments, PICTURE)
    assert made.returncode == 0, made.stderr
    return json.loads(made.stdout)["tokens"]


class Packed(Case):
    def test_made_once(self):
        file = TEMPORARY / "tiny.packed"
        wanted = describe(*GIVEN, *FORMATS)
        self.assertEqual(describe(*GIVEN, *FORMATS, "--packed", file), wanted)
        first = file.stat()
        self.assertEqual(describe(*GIVEN, *FORMATS, "--packed", file), wanted)
        self.assertEqual(file.stat().st_ino, first.st_ino)
        self.assertGreater(first.st_size, 1 << 20)
        self.assertEqual(describe(*GIVEN, *FORMATS, "--packed", file, "--beyond-memory"), wanted)

    def test_made_anew_for_other_formats_and_weights(self):
        file = TEMPORARY / "other.packed"
        copy = TEMPORARY / "copy"
        shutil.copytree(MODEL, copy)
        weights = copy / "model.safetensors"

        def made(*arguments):
            before = file.stat().st_ino if file.exists() else None
            tokens = describe("--model", copy, "--packed", file, *arguments)
            self.assertEqual(tokens, describe("--model", copy, *arguments))
            return file.stat().st_ino != before

        self.assertTrue(made(*FORMATS))
        self.assertFalse(made(*FORMATS))
        self.assertTrue(made("--text", "q8", "--vision", "bf16"))
        self.assertTrue(made(*FORMATS))
        raw = bytearray(weights.read_bytes())
        raw[-3] ^= 0x10  # a value, at the same size and time
        times = weights.stat()
        weights.write_bytes(raw)
        os.utime(weights, ns=(times.st_atime_ns, times.st_mtime_ns))
        self.assertTrue(made(*FORMATS))

    def test_faults(self):
        photo = TEMPORARY / "photo.png"
        shutil.copy(PICTURE, photo)
        self.fails(run("describe", *GIVEN, *FORMATS, "--packed", photo, PICTURE), photo, "no file of packed weights")
        self.assertEqual(photo.read_bytes(), PICTURE.read_bytes())
        self.fails(run("describe", *GIVEN, *FORMATS, "--packed", TEMPORARY / "none" / "file", PICTURE), "none")

    def test_random(self):
        file = TEMPORARY / "random.packed"
        settings = ("bench", "--config", "tiny", "--random", *FORMATS, "--tiles", 1, "--prompt", 8, "--answer", 2,
                    "--json", "--packed", file)
        planned = [json.loads(self.succeeds(run(*settings, *more)))["memory"]["planned"] for more in ((), ("--seed", 2))]
        self.assertEqual(planned[0], planned[1])


main()
