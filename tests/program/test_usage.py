# SPDX-License-Identifier: Apache-2.0
"""Help, version, exit statuses, and output that cannot be written."""
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent / "support"))
from harness import Case, DATA, MODEL, PROGRAM, main, run

COMMANDS = ["describe", "chat", "inspect", "tokenize", "preprocess", "trace", "scene", "architecture"]


class Usage(Case):
    def test_help_names_every_command(self):
        text = self.succeeds(run("--help"))
        for command in COMMANDS:
            self.assertIn(command, text)
        self.assertIn("Exit status: 0", text)

    def test_every_command_explains_itself(self):
        for command in COMMANDS:
            self.assertIn("Usage: llamavision " + command, self.succeeds(run(command, "--help")))

    def test_version(self):
        self.assertRegex(self.succeeds(run("--version")), r"^llamavision \d+\.\d+\.\d+\n$")

    def test_nonsense(self):
        self.refuses(run())
        self.refuses(run("depict"), "depict")
        for command in COMMANDS:
            self.refuses(run(command, "--no-such-option"), f"llamavision {command} --help")
        self.refuses(run("describe"), "--prompt")
        self.refuses(run("describe", "--prompt"))
        self.refuses(run("describe", "a.png", "--max-tokens", "many"), "many")
        self.refuses(run("describe", "a.png", "--seed", "-1"), '"-1" is no natural number')
        self.refuses(run("describe", "a.png", "--seed", 2**64), str(2**64))
        for temperature in (-1, "nan", "inf", "", "1x"):
            self.refuses(run("describe", "a.png", "--temperature", temperature), "is no number of at least 0")
        for share in (-0.1, 1.5, "nan"):
            self.refuses(run("describe", "a.png", "--top-p", share), "is no number from 0 to 1")
        self.refuses(run("describe", "a.png", "--repetition-penalty", 0), "above 0")
        self.refuses(run("describe", "a.png", "--parity", "exact"), "exact")
        self.refuses(run("describe", "a.png", "--threads", "0"))
        for device in ("gpu", "cuda:", "cuda:x", "cuda:-1", "cpu:1"):
            self.refuses(run("describe", "a.png", "--device", device), "cpu, cuda or cuda:N")
        self.refuses(run("preprocess", "--tile-size", "0", "a.png"))
        self.refuses(run("preprocess", "--tile-size", "56"))
        self.refuses(run("preprocess", "--tile-size", "56", "--out", "x", "a.png", "b.png"), "one picture")
        self.refuses(run("trace", "--out", "x"), "--prompt or --tokens")
        self.refuses(run("trace", "--out", "x", "--prompt", "a", "--tokens", "1"))
        self.refuses(run("scene"), "--out")
        self.refuses(run("tokenize", "--jsonl", "text"), "standard input")
        self.refuses(run("architecture", "--model", "a", "--config", "b"))

    def test_settings_without_effect(self):
        ask = ["describe", "--prompt", "hello"]
        self.refuses(run(*ask, "--gpu-layers", 3), "--gpu-layers: needs --device cuda")
        for draws in (["--temperature", 1], ["--top-p", 0.5], ["--top-k", 3]):
            self.refuses(run(*ask, "--greedy", *draws), f"{draws[0]} excludes --greedy")
        for option in ("--image-cache", "--stop", "--model", "--adapter", "--packed"):
            self.refuses(run(*ask, option, ""), f"{option}: may not be empty")
        folder = MODEL
        for command in (ask, ["chat"], ["trace", "--prompt", "a", "--out", "x"], ["scene", "--ask"], ["preprocess", "a.png"],
                        ["quantize", "x"], ["bench"]):
            self.refuses(run(*command, "--gguf-dialect", "pair"), "--gguf-dialect: the bundled model is no GGUF file")
            self.refuses(run(*command, "--gguf-dialect", "pair", "--model", folder), f"{folder} is no GGUF file")
        for command in (["inspect", folder], ["tokenize", "--tokenizer", folder, "a"], ["convert", folder, "x", "--to", "gguf"]):
            self.refuses(run(*command, "--gguf-dialect", "pair"), f"{folder} is no GGUF file")
        self.fails(run("inspect", "/nowhere", "--gguf-dialect", "pair"), "/nowhere: no such file")
        self.refuses(run("convert", folder, "", "--to", "gguf"), "out: may not be empty")

    def test_bench_refuses_what_it_could_not_measure(self):
        for option, number in (("--tiles", -1), ("--tiles", 0), ("--tiles", 65), ("--answer", -1), ("--answer", 2**64 - 1),
                               ("--answer", 100_001)):
            self.refuses(run("bench", option, number), option)
        self.refuses(run("bench", "--taps-after-layer"), "--taps-after-layer")

    def test_a_device_that_is_not_there(self):
        # A program without the cuda backend, a machine without a GPU or its driver, or one with fewer than a hundred.
        r = run("describe", "--prompt", "hello", "--device", "cuda:99")
        self.fails(r)
        self.assertRegex(r.stderr, "no CUDA device|--device cuda:99: this program was built without the cuda backend")

    def test_full_disk(self):
        picture = DATA / "image" / "rgb8.png"
        for arguments in (["--help"], ["--version"], ["architecture", "--config", "tiny"],
                          ["preprocess", "--tile-size", "56", "--json", str(picture)]):
            with open("/dev/full", "w") as full:
                r = subprocess.run([PROGRAM, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
            self.assertEqual(r.returncode, 1, arguments)
            self.assertIn("standard output", r.stderr)

    def test_closed_pipe(self):
        read, write = os.pipe()
        os.close(read)
        r = subprocess.run([PROGRAM, "architecture", "--config", "llama-3.2-90b-vision"], stdout=write,
                           stderr=subprocess.PIPE, text=True, timeout=60)
        os.close(write)
        self.assertEqual((r.returncode, r.stderr), (-13, ""))  # SIGPIPE, quietly


main()
