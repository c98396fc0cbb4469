#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares the pictures of Pillow's own tests with Pillow's pixels.

    python3 pillow_pictures.py FOLDER...        every PNG, JPEG, GIF and BMP in the folders, recognised by its first bytes
    python3 pillow_pictures.py --jpegs          prints tests/data/image/jpeg_by_pillow.json

FOLDER is Tests/images of Pillow's source package (pip download pillow==13.0.0 --no-binary :all: --no-deps). Needs that
release of Pillow, numpy, and a C++ compiler ($CXX) that finds stb_image. Both sides apply the orientation and lay transparent
pixels over white; pictures are equal if all bytes are. Exit status 1 if one differs that EXPECTED does not name.
"""
import collections
import hashlib
import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import warnings

import numpy as np
from PIL import Image, ImageOps, __version__

ROOT = pathlib.Path(__file__).resolve().parents[2]

# What differs for a reason that docs/3_picture.md gives.
EXPECTED = {
    "bmp/g/rgb16-565.bmp", "bmp/g/rgb16-565pal.bmp", "bmp/g/rgb16.bmp",  # 5 bits as 8
    "rgb32bf-abgr.bmp",  # alpha 0 everywhere
    "bmp/b/badrle.bmp", "hopper_bad_exif.jpg",  # damaged
}

PROGRAM = r"""
#include <cstdio>
#include <exception>
#include <iostream>
#include <llamavision/image/open.hpp>
#include <string>
int main() {
    for (std::string name; std::getline(std::cin, name); std::fflush(stdout)) {
        try {
            auto const p = llamavision::image::open(name);
            std::printf("%zu %zu\n", p.width, p.height);
            std::fwrite(p.rgb.data(), 1, p.rgb.size(), stdout);
        } catch (std::exception const& e) { std::printf("refused %s\n", e.what()); }
    }
}
"""


class Ours:
    def __init__(self, folder):
        source, program = folder / "pixels.cpp", folder / "pixels"
        source.write_text(PROGRAM)
        subprocess.run([os.environ.get("CXX", "c++"), "-std=c++20", "-O1", f"-I{ROOT / 'include'}", "-o", program, source],
                       check=True)
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def pixels(self, path):
        self.process.stdin.write(f"{path}\n".encode())
        self.process.stdin.flush()
        line = self.process.stdout.readline().decode().split(maxsplit=1)
        if line[0] == "refused":
            return line[1].strip().removeprefix(f"{path}: ")
        width, height = int(line[0]), int(line[1])
        return np.frombuffer(self.process.stdout.read(width * height * 3), np.uint8).reshape(height, width, 3)


def pillows(path):
    try:
        picture = ImageOps.exif_transpose(Image.open(path))
        if picture.mode.startswith("I"):  # 16 bits: the high byte
            levels = np.array(picture)
            grey = np.where(levels == picture.info.get("transparency", -1), 255, levels >> 8)
            return np.repeat(grey.astype(np.uint8)[..., None], 3, 2)
        if picture.mode == "RGB":
            return np.array(picture)
        picture = picture.convert("RGBA")
        return np.array(Image.alpha_composite(Image.new("RGBA", picture.size, "WHITE"), picture).convert("RGB"))
    except Exception as error:  # whatever Pillow raises for a damaged file
        return f"{type(error).__name__}: {error}"


def compare(folders):
    starts = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM")
    counts, wrong = collections.Counter(), 0
    with tempfile.TemporaryDirectory() as temporary:
        ours = Ours(pathlib.Path(temporary))
        for folder in map(pathlib.Path, folders):
            for path in sorted(p for p in folder.rglob("*") if p.is_file()):
                with open(path, "rb") as file:
                    if not file.read(8).startswith(starts):
                        continue
                name, mine, theirs = str(path.relative_to(folder)), ours.pixels(path), pillows(path)
                if isinstance(mine, str) and isinstance(theirs, str):
                    counts["refused by both"] += 1
                elif isinstance(theirs, str):
                    counts["refused by Pillow"] += 1
                    print(f"{name}: read here; Pillow: {theirs}")
                elif not isinstance(mine, str) and np.array_equal(mine, theirs):
                    counts["equal"] += 1
                else:
                    refused = isinstance(mine, str)
                    counts["refused here" if refused else "different"] += 1
                    wrong += name not in EXPECTED
                    print(f"{name}: {'refused: ' + mine if refused else 'different'}"
                          f"{'' if name in EXPECTED else ' (UNEXPECTED)'}")
    print(", ".join(f"{count} {what}" for what, count in counts.items()))
    return wrong


def jpegs():
    """Small JPEGs of each way to store colours, and what Pillow makes of them."""
    def picture(width, height, channels=3):
        y, x = np.mgrid[:height, :width]
        levels = [x * 12 + y * 3, 255 - x * 7, (x // 3 + y // 2) % 2 * 255, x * y]
        return np.clip(np.stack(levels[:channels], 2), 0, 255).astype(np.uint8)

    def saved(array, mode, **options):
        out = io.BytesIO()
        Image.fromarray(array, mode).save(out, "JPEG", quality=90, **options)
        return out.getvalue()

    def without(jpeg, marker):  # a segment that comes first
        assert jpeg[2:4] == marker
        return jpeg[:2] + jpeg[4 + int.from_bytes(jpeg[4:6], "big"):]

    def sampled(jpeg, *factors):  # the same data, taken to be of other resolutions
        at = jpeg.index(b"\xff\xc0")
        changed = bytearray(jpeg)
        for i, factor in enumerate(factors):
            changed[at + 11 + 3 * i] = factor
        return bytes(changed)

    def adobe(jpeg, transform):
        return jpeg[:2] + b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + bytes([transform]) + jpeg[2:]

    rgb, cmyk = picture(21, 13), picture(19, 11, 4)
    plain, app0, app14 = saved(rgb, "RGB", subsampling=0), b"\xff\xe0", b"\xff\xee"
    inks = without(saved(cmyk, "CMYK"), app14)
    named = saved(rgb, "RGB", keep_rgb=True)
    files = {
        "4:2:2": saved(rgb, "RGB", subsampling=1),
        "4:2:0": saved(rgb, "RGB", subsampling=2),
        "4:2:0, progressive": saved(rgb, "RGB", subsampling=2, progressive=True),
        "4:2:2, 4 columns": saved(picture(4, 5), "RGB", subsampling=1),
        "4:2:0, 4 columns": saved(picture(4, 5), "RGB", subsampling=2),
        "4:2:0, 1 pixel": saved(picture(1, 1), "RGB", subsampling=2),
        "4:4:0": sampled(saved(picture(16, 32), "RGB", subsampling=1), 0x12, 0x11, 0x11),
        "4:1:1": sampled(saved(picture(32, 16), "RGB", subsampling=2), 0x41, 0x11, 0x11),
        "restart marks": saved(rgb, "RGB", subsampling=0, restart_marker_blocks=2),
        "grey": saved(rgb[..., 0], "L"),
        "components R, G, B": named if named[2:4] != app14 else without(named, app14),
        "components R, G, B, Adobe 1": adobe(named if named[2:4] != app14 else without(named, app14), 1),
        "no marker": without(plain, app0),
        "Adobe 0": adobe(without(plain, app0), 0),
        "Adobe 1": adobe(without(plain, app0), 1),
        "Adobe 2": adobe(without(plain, app0), 2),
        "JFIF, Adobe 0": adobe(plain, 0),
        "4 components, no marker": inks,
        "4 components, Adobe 0": adobe(inks, 0),
        "4 components, Adobe 1": adobe(inks, 1),
        "4 components, Adobe 2": adobe(inks, 2),
    }
    entries = []
    for name, jpeg in files.items():
        pixels = Image.open(io.BytesIO(jpeg)).convert("RGB")
        entries.append({"name": name, "jpeg": jpeg.hex(), "width": pixels.width, "height": pixels.height,
                        "rgb_sha256": hashlib.sha256(pixels.tobytes()).hexdigest()})
    print(json.dumps({"pillow": __version__, "jpegs": entries}, indent=1))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    if sys.argv[1] == "--jpegs":
        jpegs()
    else:
        sys.exit(1 if compare(sys.argv[1:]) else 0)
