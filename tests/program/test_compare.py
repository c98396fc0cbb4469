# SPDX-License-Identifier: Apache-2.0
"""benchmarks/model/: the arithmetic of the comparison on figures that can be checked by hand, and what it says where the
program or the others are missing."""
import json
import os
import pathlib
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent / "support"))
from harness import PROGRAM, ROOT, TEMPORARY, main

MODEL = ROOT / "benchmarks" / "model"
sys.dont_write_bytecode = True
sys.path.insert(0, str(MODEL))
import figures
from measuring import Absent, Limits, Others, run_for_json


def figure(seconds, bf16=100, read=10, **what):
    return {**what, "seconds": seconds, "limits": {"bf16": bf16, "f32": 50, "read": read}}


def run(vision, text, ours, hf, llama):
    """One round; each program: {tiles: seconds}, {tokens: seconds}, seconds of a token, and its limits."""
    def all_of(pictures, prompts, token, **limits):
        return {"image": [figure(s, tiles=n, **limits) for n, s in pictures.items()],
                "prompts": [figure(s, tokens=n, **limits) for n, s in prompts.items()],
                "decode": figure(token, tokens=1, **limits), "memory": {"peak": 9.2e9}, "others": 0.0}

    others = [{"engine": name, **all_of(*given)} if isinstance(given, tuple) else {"error": given}
              for name, given in (("transformers", hf), ("llama", llama))]
    return {"vision": vision, "text": text, "ours": all_of(*ours), "hf": others[0], "llama": others[1]}


def compare(*arguments, **environment):
    return subprocess.run([sys.executable, "-B", str(MODEL / "compare.py"), *map(str, arguments)], capture_output=True,
                          text=True, timeout=120, env={**os.environ, **environment})


class Arithmetic(unittest.TestCase):
    def test_depth(self):
        # Half a second outside the layers, 2 layers of 0.1 s, 1 of 0.3 s; the whole has 32 and 8.
        self.assertAlmostEqual(figures.deepened(1.0, [(0.2, 16), (0.3, 8)]), 0.5 + 3.2 + 2.4)
        self.assertAlmostEqual(figures.from_two_depths(0.5 + 2 * 0.1, 0.5 + 6 * 0.1, 2, 6, 40), 4.5)
        self.assertEqual(figures.from_two_depths(3, 3, 2, 6, 40), 3)

    def test_layers(self):
        self.assertEqual(figures.SELF_WEIGHTS, 218_103_808)
        self.assertEqual(figures.CROSS_WEIGHTS, 209_715_200)
        self.assertAlmostEqual(figures.text_layers_of_llama(), 39.692, 3)

    def test_equal_limits(self):
        # The machine did half as much when theirs ran: of the fourfold lead, that explains two.
        [line] = figures.row("", [figures.pair(figure(1), figure(4, bf16=50))])
        self.assertEqual((line["ratio"], line["at_equal_limits"]), (4, 2))
        [line] = figures.row("", [figures.pair(figure(1), figure(4, read=20), "read")])
        self.assertEqual((line["ratio"], line["at_equal_limits"]), (4, 8))
        # Each part by its own limit: 1 s of products at half the rate is 2 s, 3 times 1 s of reading stays.
        pairs = [figures.pair(figure(1), figure(10, bf16=50)), figures.pair(figure(1), figure(2, bf16=50), "read", 3)]
        [line] = figures.row("", pairs)
        self.assertEqual((line["ours"], line["theirs"], line["ratio"]), (4, 16, 4))
        self.assertAlmostEqual(line["at_equal_limits"], 16 / 5)

    def test_missing(self):
        self.assertEqual(figures.row("", [figures.pair(None, figure(1))]), [])
        self.assertEqual(figures.row("", [figures.pair(figure(1), None, "read")]), [])
        [line] = figures.row("", [figures.pair(figure(1), {"seconds": 2, "limits": {}})])
        self.assertEqual((line["ratio"], line["at_equal_limits"]), (2, None))
        [line] = figures.row("", [figures.pair(figure(1, bf16=0), figure(2, bf16=0))])  # then floats
        self.assertEqual(line["at_equal_limits"], 2)

    def test_median(self):
        self.assertEqual(figures.median([3, 1, 2]), 2)


class Table(unittest.TestCase):
    RUNS = [run("bf16", "q4", ({1: 8, 4: 24}, {64: 1, 512: 6}, 0.1), ({1: 64, 4: 72}, {64: 4, 512: 24}, 0.4),
                ({}, {64: 2, 512: 12}, 0.125)),
            run("i8", "q8", ({1: 6, 4: 18}, {64: 1, 512: 6}, 0.2), ({1: 60, 4: 90}, {64: 4, 512: 24}, 0.4), "no llama"),
            run("bf16", "bf16", ({4: 20}, {64: 2, 512: 8}, 0.3), ({}, {64: 4, 512: 24}, 0.45), "no llama")]

    def setUp(self):
        self.lines = {line["what"]: line for line in figures.hugging_face_rows(self.RUNS)}

    def line(self, what):
        return self.lines[what]["ours"], self.lines[what]["theirs"], self.lines[what]["aim"]

    def test_parts(self):
        self.assertEqual(self.line("picture of 1 tile, bf16"), (8, 64, 8))
        self.assertEqual(self.line("picture of 4 tiles, i8"), (18, 90, None))
        self.assertEqual(self.line("prompt of 512, q8"), (6, 24, None))
        self.assertEqual(self.line("a token, bf16"), (0.3, 0.45, None))

    def test_answers(self):
        for what, ours, theirs, aim in (("100 tokens about 4 tiles, bf16 and q4", 24 + 1 + 9.9, 72 + 4 + 39.6, 3.3),
                                        ("100 tokens about 1 tile, i8 and q4", 6 + 1 + 9.9, 60 + 4 + 39.6, 7),
                                        ("100 tokens about 4 tiles, bf16 and bf16", 24 + 2 + 29.7, 72 + 4 + 44.55, None)):
            self.assertAlmostEqual(self.lines[what]["ours"], ours)
            self.assertAlmostEqual(self.lines[what]["theirs"], theirs)
            self.assertEqual(self.lines[what]["aim"], aim)
        self.assertNotIn("100 tokens about 1 tile, bf16 and q8", self.lines)  # nobody asked for that pair

    def test_llama(self):
        lines = figures.llama_rows(self.RUNS)
        self.assertEqual([(line["what"], line["ratio"], line["aim"]) for line in lines],
                         [("prompt of 64, q4", 2, 2), ("prompt of 512, q4", 2, 2), ("a token, q4", 1.25, 1.15)])

    def test_printed(self):
        saved = TEMPORARY / "compared.json"
        self.RUNS[0]["hf"]["others"] = 1.3
        saved.write_text(json.dumps({"machine": "A machine", "threads": 2, "runs": self.RUNS}))
        printed = compare("--read", saved)
        self.assertEqual(printed.returncode, 0, printed.stderr)
        for words in ("| picture of 4 tiles, bf16 | 24.0 s | 72.0 s | 3.00 | 3.00 | 3 |",
                      "| a token, q4 | 100.0 ms | 125.0 ms | 1.25 | 1.25 | 1.15 |", "A machine; 2 threads.",
                      "i8/q8, llama.cpp: left out: no llama", "bf16/q4, Hugging Face: other programs took 1.3 processors",
                      "ours took 9.2 GB"):
            self.assertIn(words, printed.stdout)


class Absences(unittest.TestCase):
    def test_program(self):
        told = compare("--program", TEMPORARY / "nowhere")
        self.assertEqual(told.returncode, 1)
        self.assertEqual(len(told.stderr.splitlines()), 1, told.stderr)
        for word in ("compare.py needs llamavision", "--program", "nowhere", "No such file"):
            self.assertIn(word, told.stderr)

    def test_formats(self):
        self.assertEqual(compare("--formats", "q4").returncode, 2)
        self.assertEqual(compare("--formats", "q4/bf16").returncode, 2)

    def test_others(self):
        """Ours is measured, each of the others is left out with a sentence that says what to install."""
        for name in ("torch", "llama_cpp"):
            (TEMPORARY / f"{name}.py").write_text(f"raise ImportError('no {name} here')\n")
        saved = TEMPORARY / "measured.json"
        told = compare("--program", PROGRAM, "--config", "tiny", "--formats", "bf16/q4", "i8/q8", "--prompt", 8, 16, "--answer", 4,
                       "--tiles", 1, 2, "--json", saved, PYTHONPATH=str(TEMPORARY))
        self.assertEqual(told.returncode, 0, told.stderr)
        self.assertIn("Hugging Face needs torch and transformers (no torch here): pip install", told.stdout)
        self.assertRegex(told.stdout, r"llama.cpp needs its Python binding \(.+\): pip install")
        first, second = json.loads(saved.read_text())["runs"]
        self.assertEqual([part["tiles"] for part in first["ours"]["image"]], [1, 2])
        self.assertEqual([part["tokens"] for part in second["ours"]["prompts"]], [8, 16])
        self.assertEqual((second["ours"]["vision"], second["ours"]["text"]), ("i8", "q8"))
        self.assertGreater(first["ours"]["decode"]["limits"]["read"], 0)

    def test_refused(self):
        """What the program refuses is said in its own words, and the others are not asked."""
        told = compare("--program", PROGRAM, "--config", "12b", "--formats", "bf16/q4")
        self.assertEqual(told.returncode, 1)
        self.assertIn("bf16/q4, ours: left out: llamavision: --config 12b", told.stdout)
        self.assertIn("Hugging Face: left out: nothing to compare it with", told.stdout)

    def test_children(self):
        with self.assertRaisesRegex(Absent, "out of paper"):
            run_for_json([sys.executable, "-c", "import sys; sys.exit('out of paper')"])
        with self.assertRaisesRegex(Absent, "printed no JSON"):
            run_for_json([sys.executable, "-c", "print('hello')"])

    def test_limits(self):
        result, limits = Limits(PROGRAM, 1).around(lambda: 7)
        self.assertEqual(result, 7)
        self.assertGreater(limits["read"], 1e8)
        self.assertEqual(Limits(None, 1).around(lambda: 7), (7, {}))

    def test_own_work_is_not_others(self):
        others = Others()
        subprocess.run([sys.executable, "-c", "sum(range(3_000_000))"], check=True)
        self.assertGreaterEqual(others.share(), 0)
        self.assertLessEqual(others.share(), os.cpu_count() + 0.1)


main()
