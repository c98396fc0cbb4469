# SPDX-License-Identifier: Apache-2.0
"""A model of another size: the program that was built from the configuration it printed, and what both references computed."""
import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent / "support"))
from harness import Case, DATA, ROOT, TEMPORARY, integers, main, read_safetensors, write_safetensors

P1 = DATA / "golden" / "p1"
HEADER = os.environ["HEADER_OF_P1"]  # as `inspect --config-header` printed it when the program below was built


class OtherSize(Case):
    def command(self, *words):
        r = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=300)
        self.assertEqual(r.returncode, 0, (r.stdout + r.stderr)[-3000:])
        return r.stdout

    def test_the_header_chosen_at_configuration(self):
        build = TEMPORARY / "build"
        self.command("cmake", "-S", ROOT, "-B", build, f"-DLLAMAVISION_PROGRAM_CONFIGS={HEADER}")
        commands = json.loads((build / "compile_commands.json").read_text())
        given = [pathlib.Path(c["file"]).name for c in commands if f"LLAMAVISION_PROGRAM_CONFIGS=\\\"{HEADER}\\\"" in c["command"]]
        self.assertEqual(sorted(given), ["models.cpp", "on_cuda.cpp"])

    def test_the_program_built_for_it(self):
        program = os.environ["PROGRAM_FOR_P1"]
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
