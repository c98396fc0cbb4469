#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""config_keys.py OUTPUT: every key that transformers writes into a config.json of Llama 3.2 Vision or Llama, with its
default, over several releases. Needs network access: each release is installed in a virtual environment of its own.
The result is tests/data/config/transformers_keys.json."""
import json
import pathlib
import subprocess
import sys
import tempfile

RELEASES = ["4.45.2", "4.54.1", "4.57.1", "5.23.0"]

PROGRAM = """
import json
from transformers import LlamaConfig, MllamaConfig
print(json.dumps({"mllama": MllamaConfig().to_dict(), "llama": LlamaConfig().to_dict()}, default=str))
"""


def defaults_of(release, folder):
    environment = pathlib.Path(folder) / release
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    python = environment / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", f"transformers=={release}"], check=True)
    return json.loads(subprocess.run([python, "-c", PROGRAM], check=True, capture_output=True, text=True).stdout)


def add(into, config):
    for key, value in config.items():
        if key in ("text_config", "vision_config"):
            add(into.setdefault(key, {}), value)
        else:
            into.setdefault(key, value)


if __name__ == "__main__":
    merged = {"mllama": {}, "llama": {}}
    with tempfile.TemporaryDirectory() as folder:
        for release in RELEASES:
            for family, config in defaults_of(release, folder).items():
                add(merged[family], config)
    text = json.dumps(merged, indent=1, sort_keys=True)
    pathlib.Path(sys.argv[1]).write_text(text + "\n")
