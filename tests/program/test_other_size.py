# SPDX-License-Identifier: Apache-2.0
"""A model of another size: its configuration printed, a program built for it, and what both references computed."""
import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent / "support"))
from harness import Case, DATA, PROGRAM, ROOT, TEMPORARY, integers, main, read_safetensors, write_safetensors

P1 = DATA / "golden" / "p1"


class OtherSize(Case):
    def command(self, *words):
        r = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=1100)
        self.assertEqual(r.returncode, 0, (r.stdout + r.stderr)[-3000:])
        return r.stdout

    def test_print_build_run(self):
        header, build = TEMPORARY / "p1.hpp", TEMPORARY / "build"
        header.write_text(self.command(PROGRAM, "inspect", P1 / "hf", "--config-header"))
        self.command("cmake", "-S", ROOT, "-B", build, "-DCMAKE_BUILD_TYPE=Release", f"-DLLAMAVISION_PROGRAM_CONFIGS={header}")
        self.command("cmake", "--build", build, "--target", "llamavision_program", "-j", os.cpu_count() or 1)
        program = build / "bin" / "llamavision"

        self.assertIn("hf_config", self.command(program, "inspect", P1 / "hf"))
        pictures = read_safetensors(P1 / "golden" / "images.safetensors")
        runs = 0
        for name, case in json.loads((P1 / "golden" / "cases.json").read_text())["cases"].items():
            golden = read_safetensors(P1 / "golden" / f"{name}.safetensors")
            ids = ",".join(map(str, integers(golden["input_ids"][2])))
            tiles = []
            for i, key in enumerate(case["images"]):
                file = TEMPORARY / f"{i}.safetensors"
                ratio = b"".join(int(n).to_bytes(4, "little") for n in key.split("x"))
                write_safetensors(file, {"pixel_values": pictures[f"{key}.pixel_values"], "aspect_ratio": ("I32", [2], ratio)})
                tiles += ["--tiles", file]
            for mode, parity in (("hf", "hf"), ("meta", "meta"), ("mixed", "default")):
                out = TEMPORARY / "out.safetensors"
                self.command(program, "trace", "--model", P1 / "hf", *tiles, "--tokens", ids, "--max-tokens", 48,
                             "--parity", parity, "--out", out)
                self.assertEqual(integers(read_safetensors(out)["tokens"][2]), integers(golden[f"{mode}.greedy"][2]), (name, mode))
                runs += 1
        self.assertGreaterEqual(runs, 15)


main()
