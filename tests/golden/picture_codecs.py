#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""WebP, AVIF and HEIC files, and animated GIFs, and what Pillow 13.0.0 and pillow-heif 1.8.1 decode from them: tests/data/image/codecs/.

usage: picture_codecs.py [FOLDER]     (pip install pillow==13.0.0 pillow-heif==1.8.1)
codecs.json has for each file its frames, and hashes of RGB bytes: `upright` after exif_transpose and over white, as Hugging Face's
processor does it, and `stored` after convert("RGB") alone, as Meta's code does it. Files whose codec loses something have both results as
PNG too, because releases of the codecs may differ. animated.avif also holds the time at which it was made."""
import hashlib
import json
import pathlib
import sys

import pillow_heif
import PIL
from PIL import Image, ImageOps

assert PIL.__version__ == "13.0.0" and pillow_heif.__version__ == "1.8.1", (PIL.__version__, pillow_heif.__version__)
pillow_heif.register_heif_opener()
OUT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent / "data/image/codecs")


def drawing(mode, width, height, shift=0):
    """Slopes, a sharp disc and fine lines; alpha from 0 to 255."""
    picture = Image.new(mode, (width, height))
    for y in range(height):
        for x in range(width):
            inside = (x - width // 2 - shift) ** 2 + (y - height // 2) ** 2 < (height // 3) ** 2
            colour = (240, 60 + 3 * x % 90, 30) if inside else (x * 255 // (width - 1), y * 255 // (height - 1), 128)
            if x < 8 and y % 4 == 0:
                colour = (0, 0, 0)
            picture.putpixel((x, y), colour + ((255 if inside else (x * 9 + y * 5) % 256),) if mode == "RGBA" else colour)
    return picture


def exif(orientation):
    block = Image.Exif()
    block[0x0112] = orientation
    return block.tobytes()


def write():
    rgb, rgba, small = drawing("RGB", 61, 43), drawing("RGBA", 61, 43), drawing("RGB", 24, 16)
    rgb.save(OUT / "lossless.webp", lossless=True)
    rgba.save(OUT / "lossless_alpha.webp", lossless=True, exact=True)
    rgb.save(OUT / "lossy.webp", quality=80)
    rgba.save(OUT / "lossy_alpha.webp", quality=80)
    small.save(OUT / "exif6.webp", lossless=True, exif=exif(6))
    steps = [drawing("RGB", 40, 30, shift) for shift in (-9, -3, 3, 9)]
    steps[0].save(OUT / "animated.webp", save_all=True, append_images=steps[1:], duration=[100, 100, 400, 100], lossless=True)
    steps = [drawing("RGBA", 40, 30, shift) for shift in (-9, -3, 3)]
    steps[0].save(OUT / "animated_alpha.webp", save_all=True, append_images=steps[1:], duration=50, lossless=True, exact=True)
    rgb.save(OUT / "lossy.avif", quality=80, subsampling="4:2:0")
    rgb.save(OUT / "lossy_444.avif", quality=90, subsampling="4:4:4", range="limited")
    rgb.convert("L").save(OUT / "grey.avif", quality=90)
    rgba.save(OUT / "lossy_alpha.avif", quality=90)
    for orientation in range(2, 9):
        small.save(OUT / f"turned{orientation}.avif", quality=95, subsampling="4:4:4", exif=exif(orientation))
    steps = [drawing("RGB", 40, 30, shift) for shift in (-9, -3, 3)]
    steps[0].save(OUT / "animated.avif", save_all=True, append_images=steps[1:], duration=100, quality=80)
    rgb.save(OUT / "lossless.heic", quality=-1, chroma=444, matrix_coefficients=0)
    rgb.save(OUT / "lossy.heic", quality=80)
    rgba.save(OUT / "lossy_alpha.heic", quality=90)
    for orientation in (3, 5, 6):
        small.save(OUT / f"turned{orientation}.heic", quality=-1, chroma=444, matrix_coefficients=0, exif=exif(orientation))


def write_gifs():
    """Byte by byte, since Pillow writes no interlaced frames, and none of each way to dispose of one."""
    def lzw(indices, bits):
        """Codes that grow as a decoder expects; the table is cleared when it is full."""
        out, held, count = bytearray(), 0, 0
        table, size, text = {}, bits + 1, ()

        def put(code):
            nonlocal held, count
            held |= code << count
            count += size
            while count >= 8:
                out.append(held & 255)
                held >>= 8
                count -= 8
        clear = 1 << bits
        put(clear)
        known = clear + 2
        for index in indices:
            if (*text, index) in table or not text:
                text = (*text, index)
                continue
            put(text[0] if len(text) == 1 else table[text])
            if known < 4096:
                table[(*text, index)] = known
                if known == 1 << size and size < 12:
                    size += 1
                known += 1
            text = (index,)
        put(text[0] if len(text) == 1 else table[text])
        put(clear + 1)
        out.append(held & 255)
        blocks = b"".join(bytes([len(out[i:i + 255])]) + out[i:i + 255] for i in range(0, len(out), 255))
        return bytes([bits]) + blocks + b"\0"

    def palette(seed):
        return bytes((seed + 37 * i * (c + 1)) % 256 for i in range(16) for c in range(3))

    def frame(left, top, width, height, seed, disposal=0, transparent=None, delay=10, local=False, interlaced=False):
        out = b""
        if disposal or transparent is not None or delay:
            out += bytes([0x21, 0xF9, 4, disposal << 2 | (transparent is not None), delay & 255, delay >> 8, transparent or 0, 0])
        out += b"," + b"".join(v.to_bytes(2, "little") for v in (left, top, width, height))
        out += bytes([(0x83 if local else 0) | (0x40 if interlaced else 0)]) + (palette(seed) if local else b"")
        indices = [(x * 3 + y * 5 + seed + (x * y * seed) // 7) % 16 for y in range(height) for x in range(width)]
        return out + lzw(indices, 4)

    def gif(name, *frames, background=3):
        (OUT / name).write_bytes(b"GIF89a" + (30).to_bytes(2, "little") + (20).to_bytes(2, "little") + bytes([0x83, background, 0])
                                 + palette(5) + b"".join(frames) + b";")

    gif("plain.gif", frame(0, 0, 30, 20, 1), frame(5, 5, 10, 9, 2, local=True), frame(12, 2, 18, 18, 3, interlaced=True), frame(0, 0, 30, 20, 4))
    gif("transparent.gif", frame(0, 0, 30, 20, 1, transparent=4), frame(5, 5, 20, 9, 2, transparent=7, local=True), frame(2, 2, 9, 9, 3))
    gif("small_first.gif", frame(3, 4, 20, 10, 1), frame(5, 5, 20, 9, 2, transparent=7), frame(2, 2, 9, 9, 3))
    gif("small_first_transparent.gif", frame(3, 4, 20, 10, 1, transparent=2), frame(5, 5, 20, 9, 2, transparent=7))
    for disposal in (1, 2, 3):
        for transparent in (None, 4):
            gif(f"dispose{disposal}{'_transparent' if transparent else ''}.gif",
                *(frame(2 * i, i, 14 + i, 12, i + 1, disposal, transparent if i != 2 else None, 5 * (i + 1), local=i == 3) for i in range(5)))
    gif("dispose_changes.gif", frame(0, 0, 30, 20, 1), frame(4, 4, 9, 9, 2, 2), frame(8, 3, 9, 9, 3), frame(1, 1, 20, 9, 4, 3), frame(9, 9, 5, 5, 6, 1))


def upright(picture):
    picture = ImageOps.exif_transpose(picture)
    if picture.mode != "RGB":
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, (255, 255, 255)), picture)
    return picture.convert("RGB")


def sha(picture):
    return hashlib.sha256(picture.tobytes()).hexdigest()


def read():
    entries = []
    for path in sorted(p for p in OUT.iterdir() if p.suffix in (".webp", ".avif", ".heic", ".gif")):
        with Image.open(path) as file:
            frames = getattr(file, "n_frames", 1)
            entry = {"file": path.name, "frames": frames, "lossless": path.suffix in (".webp", ".gif") and "lossy" not in path.name
                     or path.name == "lossless.heic" or path.suffix == ".heic" and "turned" in path.name}
            for way, change in (("upright", upright), ("stored", lambda p: p.convert("RGB"))):
                hashes = []
                for frame in range(frames):
                    file.seek(frame)
                    picture = change(file.copy())
                    hashes.append(sha(picture))
                    if not entry["lossless"] and frame == frames - 1 and not (way == "stored" and hashes[-1:] == entry["upright"][-1:]):
                        picture.save(OUT / f"{path.name}.{way}.png", optimize=True)
                entry[way] = hashes
                entry[f"{way}_size"] = picture.size
            entries.append(entry)
    (OUT / "codecs.json").write_text(json.dumps({"pillow": PIL.__version__, "pillow-heif": pillow_heif.__version__,
                                                 "files": entries}, indent=1) + "\n")


OUT.mkdir(exist_ok=True)
write()
write_gifs()
read()
