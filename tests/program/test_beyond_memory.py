# SPDX-License-Identifier: Apache-2.0
"""benchmarks/model/beyond_memory.py: what it prints of figures that can be checked by hand, and a run of the bundled size."""
import json
import pathlib
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent / "support"))
from harness import PROGRAM, ROOT, TEMPORARY, main

SCRIPT = ROOT / "benchmarks" / "model" / "beyond_memory.py"
sys.dont_write_bytecode = True
sys.path.insert(0, str(SCRIPT.parent))
import beyond_memory


class BeyondMemory(unittest.TestCase):
    def test_report(self):
        words = beyond_memory.report({"model": "M", "vision": "bf16", "text": "q4", "file": 8e9, "memory": 2e9, "peak": 1e9,
                                      "picture": 50.0, "token": 5.0, "read": 4e9, "disk": 1e9})
        for part in ("a file of 8.0 GB, 2.0 GB of memory", "5.00 s, 0.200 tok/s: 4.00 GB read, 0.80 GB/s", "80 % of the disk's 1.00 GB/s"):
            self.assertIn(part, words)

    def test_run(self):
        packed = pathlib.Path(TEMPORARY) / "tiny.packed"
        run = subprocess.run([sys.executable, "-B", SCRIPT, "--memory", "1.5e9", "--packed", packed, "--json", PROGRAM, "--config",
                              "tiny", "--random", "--text", "q4", "--threads", "2"], capture_output=True, text=True, timeout=120)
        if "needs the right to make a control group" in run.stderr:
            self.skipTest("this process may make no control group that limits memory")
        self.assertEqual(run.returncode, 0, run.stderr)
        said = json.loads(run.stdout)
        self.assertEqual((said["text"], said["memory"]), ("q4", 1.5e9))
        self.assertGreater(said["file"], 1_000_000)
        self.assertEqual(said["file"], packed.stat().st_size)
        self.assertGreater(said["token"], 0)
        self.assertGreater(said["disk"], 0)
        self.assertLess(said["read"], said["file"])  # a model that fits is not read for every token


if __name__ == "__main__":
    main()
