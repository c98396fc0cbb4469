# SPDX-License-Identifier: Apache-2.0
"""What the tests of the program share. `python3 TEST.py PROGRAM [MODEL]`: MODEL stands in for the bundled one."""
import atexit
import json
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
DATA = ROOT / "tests" / "data"
PROGRAM = sys.argv[1] if len(sys.argv) > 1 else "llamavision"
MODEL = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else ROOT / "examples" / "tiny" / "checkpoint"
GIVEN = ["--model", str(MODEL)] if len(sys.argv) > 2 else []  # else the program finds the bundled model by itself
TEMPORARY = pathlib.Path(tempfile.mkdtemp(prefix="llamavision-test-"))
atexit.register(shutil.rmtree, TEMPORARY, ignore_errors=True)


def run(*arguments, stdin="", **others):
    """Runs the program; the result has returncode, stdout and stderr as text."""
    return subprocess.run([PROGRAM, *map(str, arguments)], input=stdin, capture_output=True, text=True, timeout=120,
                          errors="replace", **others)


def scenes(count=10, seed=7):
    """A folder of scenes, and its list."""
    folder = TEMPORARY / f"scenes-{seed}-{count}"
    if not folder.exists():
        run("scene", "--seed", seed, "--count", count, "--out", folder)
    return folder, [json.loads(line) for line in (folder / "scenes.jsonl").read_text().splitlines()]


def copy_of_model(name):
    """A folder that may be changed; weights are copied, too."""
    folder = TEMPORARY / name
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(MODEL, folder)
    return folder


def read_safetensors(path):
    """{name: (dtype, shape, bytes)}"""
    raw = pathlib.Path(path).read_bytes()
    length = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8:8 + length])
    header.pop("__metadata__", None)
    return {name: (t["dtype"], t["shape"], raw[8 + length + t["data_offsets"][0]:8 + length + t["data_offsets"][1]])
            for name, t in header.items()}


def write_safetensors(path, tensors):
    header, data = {}, b""
    for name, (dtype, shape, raw) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    pathlib.Path(path).write_bytes(struct.pack("<Q", len(text)) + text + data)


def integers(raw):
    return list(struct.unpack(f"<{len(raw) // 8}q", raw))


class Case(unittest.TestCase):
    def fails(self, result, *words):
        """The program ends with 1 and one line that says what is wrong."""
        self.assertEqual(result.returncode, 1, result.stderr)
        lines = [line for line in result.stderr.splitlines() if line.startswith("llamavision: ")]
        self.assertEqual(len(lines), 1, result.stderr)
        for word in words:
            self.assertIn(str(word), lines[0])

    def refuses(self, result, *words):
        """The command line makes no sense."""
        self.assertEqual(result.returncode, 2, result.stderr)
        for word in ("llamavision: ", "--help", *words):
            self.assertIn(word, result.stderr)

    def documented(self, command, report):
        """The table of docs/program.md has a report's keys, and the page has those inside."""
        section = (ROOT / "docs" / "program.md").read_text().split(f"## {command} --json\n")[1].split("\n## ")[0]
        rows = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
        self.assertEqual({key for row in rows for key in re.findall(r"`(\w+)`", row)}, set(report))

        def look(value, ours):
            for key, inner in value.items():
                if ours:
                    self.assertIn(f"`{key}`", section)
                for part in inner if isinstance(inner, list) else [inner]:
                    if isinstance(part, dict):
                        look(part, key not in ("cost", "fits"))  # these have a key for each weight format
        look(report, True)

    def succeeds(self, result):
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    unittest.main(module="__main__", argv=sys.argv[:1])
