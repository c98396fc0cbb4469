#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# An AVIF and a HEIC file say in the same way, by the property irot of their container, that the stored picture is to be
# turned. Through Pillow they come out differently: Pillow 13.0.0's own AVIF plugin gives the stored pixels, and the turn
# as an EXIF orientation, so that only code which calls ImageOps.exif_transpose sees the picture upright. pillow-heif 1.8.1
# turns the pixels of a HEIC and sets the EXIF orientation to 1. Code that ignores EXIF, or that reads the size before it
# transposes, is right for one of the two.
# Ends with 0 while that is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pillow==13.0.0 pillow-heif==1.8.1
"$folder/venv/bin/python" - <<'PYTHON'
import io
import sys
import PIL
import pillow_heif
from PIL import Image, ImageOps

pillow_heif.register_heif_opener()
turned = Image.Exif()
turned[274] = 6  # orientation: a quarter turn clockwise
seen = {}
print("Pillow", PIL.__version__, "and pillow-heif", pillow_heif.__version__)
for kind in ("AVIF", "HEIF"):
    file = io.BytesIO()
    Image.new("RGB", (64, 32)).save(file, kind, exif=turned.tobytes())
    picture = Image.open(io.BytesIO(file.getvalue()))
    seen[kind] = (b"irot" in file.getvalue(), picture.size, picture.getexif().get(274))
    upright = ImageOps.exif_transpose(picture).size
    print(f"{kind}: irot in the file: {seen[kind][0]}; size {seen[kind][1]}, EXIF orientation {seen[kind][2]}, "
          f"after exif_transpose {upright}")
sys.exit(seen != {"AVIF": (True, (64, 32), 6), "HEIF": (True, (32, 64), 1)})
PYTHON
