# SPDX-License-Identifier: Apache-2.0
"""`quantize`: the file that it writes answers as the folder does, and the report knows what was lost."""
import json
import pathlib
import resource
import signal
import struct
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent / "support"))
from harness import Case, DATA, GIVEN, PROGRAM, TEMPORARY, main, run, scenes


def types_of(path):
    """{tensor: GGML type number}"""
    raw = path.read_bytes()
    at = 8

    def number(form):
        nonlocal at
        value, = struct.unpack_from("<" + form, raw, at)
        at += struct.calcsize(form)
        return value

    def text():
        nonlocal at
        length = number("Q")
        at += length
        return raw[at - length:at].decode()

    def value(kind):
        nonlocal at
        if kind == 8:
            return text()
        if kind == 9:
            inner, count = number("I"), number("Q")
            return [value(inner) for _ in range(count)]
        return number("BbHhIif?xxQqd"[kind])

    tensors, keys = number("Q"), number("Q")
    for _ in range(keys):
        text()
        value(number("I"))
    types = {}
    for _ in range(tensors):
        name = text()
        for _ in range(number("I")):
            number("Q")
        types[name] = number("I")
        number("Q")
    return types


class Quantize(Case):
    @classmethod
    def setUpClass(cls):
        cls.file = TEMPORARY / "quantize" / "tiny-q4.gguf"
        cls.file.parent.mkdir()
        cls.made = run("quantize", *GIVEN, "--text", "q4", "--vision", "bf16", cls.file)

    def test_the_file_holds_what_was_asked_for(self):
        self.assertEqual(self.made.returncode, 0, self.made.stderr)
        self.assertEqual(list(self.file.parent.iterdir()), [self.file])
        types = types_of(self.file)
        f32, q4_0, q8_0, bf16 = 0, 2, 8, 30
        self.assertEqual(types["blk.0.attn_q.weight"], q4_0)
        self.assertEqual(types["output.weight"], q8_0)
        self.assertEqual(types["token_embd.weight"], q8_0)
        self.assertIn(types["v.blk.0.ffn_up.weight"], (f32, bf16))
        self.assertNotIn(types["blk.0.attn_norm.weight"], (q4_0, q8_0))

    def test_the_file_answers(self):
        folder, list_of_scenes = scenes(6, 4242)
        seen = [s for s in list_of_scenes if s["image"]]
        right = 0
        for scene in seen:
            for formats in ([], ["--text", "q4", "--vision", "bf16"]):
                asked = run("describe", "--model", self.file, "--greedy", "--prompt", scene["question"], *formats,
                            folder / scene["image"])
                self.assertEqual(asked.returncode, 0, asked.stderr)
                right += asked.stdout.strip() == scene["answer"]
        self.assertGreaterEqual(right, 2 * len(seen) - 2)

    def test_every_form_is_read(self):
        said = {}
        for form in ("meta", "gguf"):
            source, out = TEMPORARY / f"as-{form}", TEMPORARY / f"of-{form}.gguf"
            self.succeeds(run("convert", DATA / "golden" / "p1" / "hf", source.with_suffix("." + form), "--to", form))
            self.succeeds(run("quantize", "--model", source.with_suffix("." + form), "--text", "q4", "--base", out))
            said[form] = types_of(out)
            self.assertEqual(said[form]["blk.0.attn_q.weight"], 2)
        direct = TEMPORARY / "direct.gguf"
        self.succeeds(run("quantize", "--model", DATA / "golden" / "p1" / "hf", "--text", "q4", "--base", direct))
        self.assertEqual(said["meta"], types_of(direct))
        self.assertEqual((TEMPORARY / "of-gguf.gguf").read_bytes(), direct.read_bytes())
        dialect = TEMPORARY / "of-ollama.gguf"
        self.succeeds(run("quantize", "--model", DATA / "checkpoint" / "gguf" / "ollama.gguf", "--gguf-dialect",
                          "ollama", "--vision", "bf16", dialect))
        self.assertIn("v.patch_embd.weight", types_of(dialect))

    def test_report(self):
        errors = {}
        for text in ("q8", "q4"):
            made = run("quantize", *GIVEN, "--text", text, "--report", "--json")
            self.assertEqual(made.returncode, 0, made.stderr)
            said = json.loads(made.stdout)
            self.assertGreater(len(said["tensors"]), len(said["layers"]))
            self.assertLess(said["bytes_after"], said["bytes_before"])
            for tensor in said["tensors"]:
                self.assertTrue(0 < tensor["rms"] < (0.01 if "Q8_0" in tensor["formats"] else 0.15), tensor)
            self.assertGreater(said["logits"]["rms"], 0)
            self.assertGreaterEqual(said["logits"]["divergence"], 0)
            errors[text] = said
        self.assertLess(errors["q8"]["rms"], errors["q4"]["rms"])
        self.assertLess(errors["q8"]["logits"]["rms"], errors["q4"]["logits"]["rms"])
        self.assertLess(errors["q8"]["logits"]["rms"], 0.05)

    def test_report_in_words(self):
        made = run("quantize", *GIVEN, "--text", "q8", "--report", "--image", scene_picture())
        self.assertEqual(made.returncode, 0, made.stderr)
        self.assertIn("language_model.model.layers.0.self_attn.q_proj.weight", made.stdout)
        self.assertIn("logits of a question about a picture", made.stdout)

    def test_what_is_there_stays(self):
        out = TEMPORARY / "precious.gguf"
        out.write_text("precious")
        self.fails(run("quantize", *GIVEN, out), out, "is there already", "--force")
        self.assertEqual(out.read_text(), "precious")
        self.succeeds(run("quantize", *GIVEN, out, "--force"))
        self.succeeds(run("inspect", out))

    def test_command_lines_that_make_no_sense(self):
        self.refuses(run("quantize", *GIVEN))
        self.refuses(run("quantize", *GIVEN, ""), "may not be empty")
        self.refuses(run("quantize", *GIVEN, "--text", "q3", "out.gguf"))
        self.refuses(run("quantize", *GIVEN, "--json", "out.gguf"))

    def test_what_a_file_cannot_hold(self):
        out = TEMPORARY / "i8.gguf"
        self.fails(run("quantize", *GIVEN, "--vision", "i8", out), "files hold bf16, q8 or q4")
        self.assertFalse(out.exists())

    def test_a_place_that_cannot_be_written(self):
        self.fails(run("quantize", *GIVEN, "--text", "q8", TEMPORARY / "no such folder" / "out.gguf"),
                   "no such folder")


    def test_interruption_leaves_nothing_that_looks_whole(self):
        whole = self.file.read_bytes()
        folder = TEMPORARY / "interrupted"
        folder.mkdir()
        out = folder / "out.gguf"
        for when, signal_ in enumerate((signal.SIGINT, signal.SIGTERM, signal.SIGKILL) * 3):
            process = subprocess.Popen([PROGRAM, "quantize", *GIVEN, "--text", "q4", "--vision", "bf16", out],
                                       stderr=subprocess.DEVNULL)
            while process.poll() is None and not any(folder.iterdir()):
                time.sleep(0.0005)
            time.sleep(0.002 * (when // 3))
            process.send_signal(signal_)
            process.wait()
            if out.exists():
                self.assertEqual(out.read_bytes(), whole)
            if signal_ != signal.SIGKILL:
                self.assertIn(list(folder.iterdir()), ([], [out]))
            for file in list(folder.iterdir()):
                if file != out and file.read_bytes() != whole:
                    self.assertIn(".gguf.part", file.name)
                    part = file.rename(folder / "part.gguf")
                    if part.stat().st_size > 0:
                        self.fails(run("inspect", part))
            for file in folder.iterdir():
                file.unlink()

    def test_a_limit_on_the_size_of_files(self):
        folder = TEMPORARY / "full"
        folder.mkdir()
        half = len(self.file.read_bytes()) // 2
        made = run("quantize", *GIVEN, "--text", "q4", "--vision", "bf16", folder / "out.gguf",
                   preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (half, half)))
        self.fails(made, "out.gguf", "cannot be written")
        self.assertEqual(list(folder.iterdir()), [])


def scene_picture():
    folder, list_of_scenes = scenes(6, 4242)
    return folder / next(s["image"] for s in list_of_scenes if s["image"])


main()
