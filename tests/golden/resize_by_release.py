#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Pictures resized by two releases of Pillow, which take rows and columns in another order: tests/data/image/resize_by_release.json.

usage: resize_by_release.py PYTHON_12 PYTHON_13 > tests/data/image/resize_by_release.json
Each PYTHON has one of them (python3 -m venv 12 && 12/bin/pip install pillow==12.0.0; the same with 13.0.0)."""
import json
import subprocess
import sys

CASES = [  # formula, seed, width, height, new width, new height
    ("lcg", 1, 40, 100, 20, 30), ("lcg", 2, 40, 100, 20, 60), ("lcg", 3, 40, 100, 20, 59), ("lcg", 4, 100, 40, 30, 20),
    ("lcg", 5, 30, 90, 60, 45), ("lcg", 6, 30, 90, 60, 89), ("lcg", 7, 30, 90, 15, 180), ("lcg", 8, 33, 77, 33, 11),
    ("gradient", 0, 64, 300, 32, 100), ("checker", 0, 51, 203, 25, 60), ("strokes", 0, 90, 400, 56, 112),
    ("lines", 0, 120, 500, 56, 224), ("lcg", 9, 7, 5, 9, 3), ("lcg", 10, 200, 1000, 84, 336),
]


def formula(name, seed, width, height):
    """As in tests/image/pictures.hpp."""
    out = bytearray()
    s = seed
    for y in range(height):
        for x in range(width):
            if name == "gradient":
                out += bytes((x * 255 // max(width - 1, 1), y * 255 // max(height - 1, 1), (x + y) % 256))
            elif name == "lcg":
                for _ in range(3):
                    s = (s * 1664525 + 1013904223) & 0xFFFFFFFF
                    out.append(s >> 24)
            elif name == "checker":
                out += bytes((((x + y) & 1) * 255, ((x // 3 + y // 3) & 1) * 255, ((x // 7 + y // 7) & 1) * 255))
            elif name == "lines":
                out += bytes((0 if x % 17 else 255, 0 if y % 23 else 255, 0 if (x + 2 * y) % 101 else 255))
            else:
                v = ((x // 5) * 2654435761 ^ (y // 7) * 40503) & 0xFFFFFFFF
                out += bytes((20 if (v >> 13) % 4 == 0 else 240,)) * 3
    return bytes(out)


def resized():
    """In the Python of one release: its version, and a hash for each case."""
    import hashlib

    import PIL
    from PIL import Image
    hashes = []
    for name, seed, width, height, new_width, new_height in CASES:
        picture = Image.frombytes("RGB", (width, height), formula(name, seed, width, height))
        after = picture.resize((new_width, new_height), Image.Resampling.BILINEAR)
        hashes.append(hashlib.sha256(after.tobytes()).hexdigest())
    print(json.dumps([PIL.__version__, hashes]))


if len(sys.argv) == 1:
    resized()
    sys.exit()
releases = [json.loads(subprocess.run([python, __file__], check=True, capture_output=True, text=True).stdout)
            for python in sys.argv[1:3]]
keys = ("formula", "seed", "width", "height", "new_width", "new_height")
entries = [dict(zip(keys, case), **{"pillow-12": before, "pillow-13": after})
           for case, before, after in zip(CASES, releases[0][1], releases[1][1])]
print(json.dumps({"releases": [r[0] for r in releases], "resizes": entries}, indent=1))
