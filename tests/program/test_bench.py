# SPDX-License-Identifier: Apache-2.0
"""`bench`: figures of every part, on the bundled model and on random weights; what does not fit is refused."""
import json
import os
import pathlib
import platform
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent / "support"))
from harness import Case, GIVEN, main, run


def bench(*arguments):
    return run("bench", *arguments)


class Bench(Case):
    def test_words(self):
        out = self.succeeds(bench(*GIVEN, "--tiles", 1, "--tiles", 4, "--prompt", 8, "--answer", 4))
        for word in ("picture of 1 tile ", "picture of 4 tiles ", "prompt of 8 ", "a token of 4 ", "limits "):
            self.assertIn(word, out)

    def test_json(self):
        settings = ("--config", "tiny", "--random", "--text", "q4", "--vision", "bf16", "--prompt", 8, "--prompt", 24)
        figures = json.loads(self.succeeds(bench(*settings, "--answer", 4, "--repeat", 3, "--threads", 1, "--json")))
        self.documented("bench", figures)
        self.assertEqual([p["tiles"] for p in figures["image"]], [1, 2, 4])
        self.assertEqual([p["tokens"] for p in figures["prompts"]], [8, 24])
        self.assertEqual(figures["prefill"], figures["prompts"][0])
        for part in (*figures["image"], *figures["prompts"], figures["decode"]):
            self.assertGreater(part["seconds"], 0)
            self.assertGreater(part["fraction_of_peak"], 0)
            self.assertGreater(part["limits"]["read"], 1e8)
        self.assertGreater(figures["decode"]["fraction_of_read"], 0)
        self.assertAlmostEqual(figures["decode"]["tokens_per_second"] * figures["decode"]["seconds"], 1, 3)
        self.assertGreater(figures["memory"]["peak"], 0)
        self.assertGreater(figures["memory"]["planned"], 2 << 20)  # 2.9 million parameters, at least 4 bits each
        self.assertGreater(figures["limits"]["read"], 1e8)
        self.assertEqual(figures["limits"]["f16"], 0)  # a GPU's alone
        if platform.machine() in ("x86_64", "AMD64"):
            self.assertGreater(figures["limits"]["int8"], 0)
        self.assertIsNone(figures["batch"])
        self.assertIsNone(json.loads(self.succeeds(bench(*settings, "--answer", 0, "--json")))["decode"])

    def test_batch(self):
        settings = ("--config", "tiny", "--random", "--text", "q8", "--prompt", 8, "--answer", 4, "--tiles", 1, "--batch", 3)
        self.assertIn("a token of each of 3 ", self.succeeds(bench(*settings)))
        figures = json.loads(self.succeeds(bench(*settings, "--json")))
        self.assertEqual(figures["batch"]["tokens"], 3)
        self.assertAlmostEqual(figures["batch"]["tokens_per_second"] * figures["batch"]["seconds"], 3, 3)

    def test_faults(self):
        self.fails(bench("--config", "12b", "--random"), "12b", "tiny")
        self.fails(bench(*GIVEN, "--tiles", 9), "--tiles 9")
        for wrong in (("--random",), ("--config", "tiny"), ("--repeat", 0), ("--prompt", 0)):
            self.assertEqual(bench(*wrong).returncode, 2, wrong)

    @unittest.skipIf(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") > 80e9, "this machine may have the room")
    def test_what_does_not_fit(self):
        self.fails(bench("--config", "90b", "--random", "--text", "q8", "--tiles", 1), "GB of memory", "are available")


main()
