# SPDX-License-Identifier: Apache-2.0
"""Folders that quantising libraries wrote, against those libraries' own values: quantised.py PROGRAM FOLDER [BASE].

Each folder in FOLDER that holds a dequantised*.json, {weight: {"dtype", "shape", "sha256"}} of the values that the library gives
back, is converted to that type by PROGRAM, and every weight must have these bytes. Where it has not, and BASE is the folder of the
weights before they were quantised, zeros take the signs that they have there: AutoRound's own export keeps them, its file does not."""
import hashlib
import json
import pathlib
import struct
import subprocess
import sys
import tempfile

TOWER, TEXT = "vision_model.", "language_model."
ON_DISK = (("model." + TEXT, TEXT + "model."), ("model." + TOWER, TOWER), ("model.multi_modal_projector.", "multi_modal_projector."),
           ("lm_head.", TEXT + "lm_head."), ("vision_tower.", TOWER))


def on_disk(name):
    """The name of the published files, of a name in memory or in MLX."""
    return next((new + name[len(old):] for old, new in ON_DISK if name.startswith(old)), name)


def read(folder):
    """{name: (type, shape, bytes)} of all files of a folder."""
    tensors = {}
    for file in pathlib.Path(folder).glob("*.safetensors"):
        raw = file.read_bytes()
        data = 8 + struct.unpack_from("<Q", raw)[0]
        for name, entry in json.loads(raw[8:data]).items():
            if name != "__metadata__":
                begin, end = entry["data_offsets"]
                tensors[on_disk(name)] = (entry["dtype"], entry["shape"], raw[data + begin:data + end])
    return tensors


def signs_of_zeros(raw, base):
    """16-bit floats, of which zeros take the signs of `base`."""
    pairs = zip(struct.iter_unpack("<H", raw), struct.iter_unpack("<H", base))
    return b"".join(struct.pack("<H", a if a & 0x7FFF else b & 0x8000) for (a,), (b,) in pairs)


def compare(program, reference, base):
    """(weights, equal ones, equal but for signs of zeros)"""
    wanted = json.loads(reference.read_text())
    kind = next(iter(wanted.values()))["dtype"].lower()
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run([program, "convert", reference.parent, scratch + "/out", "--to", "huggingface", "--dtype", kind], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        written = read(scratch + "/out")
    same = but_zeros = 0
    for name, entry in wanted.items():
        dtype, shape, raw = written[on_disk(name)]
        assert (dtype, shape) == (entry["dtype"], entry["shape"]), name
        if hashlib.sha256(raw).hexdigest() == entry["sha256"]:
            same += 1
        elif base and hashlib.sha256(signs_of_zeros(raw, base[on_disk(name)][2])).hexdigest() == entry["sha256"]:
            but_zeros += 1
    return len(wanted), same, but_zeros


def main():
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    base = read(sys.argv[3]) if len(sys.argv) == 4 else None
    wrong, references = 0, sorted(pathlib.Path(sys.argv[2]).glob("*/dequantised*.json"))
    for reference in references:
        count, same, but_zeros = compare(sys.argv[1], reference, base)
        wrong += same + but_zeros != count
        note = f", {but_zeros} but for the signs of zeros" if but_zeros else ""
        print(f"{reference.parent.name}, {reference.stem}: {same} of {count}{note}")
    sys.exit(wrong != 0 or not references)


if __name__ == "__main__":
    main()
