#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the walls between the rooms: rooms.py INCLUDE_FOLDER reads every #include and names each one that breaks them."""
import pathlib
import re
import sys

# A room may include itself, support, and what stands here. Dependencies run one way, down the list. backend/ itself holds
# only the concept, in pointers and extents, which `run` speaks; its models in the folders below may know sentences to fuse.
ROOMS = {
    "support": [],
    "config": [],
    "checkpoint": ["config", "weights"],
    "image": [],
    "tokens": ["config"],
    "weights": ["config"],
    "backend": ["weights"],
    "expression": ["config", "weights", "backend", "checkpoint"],
    "layers": ["config", "weights", "backend", "expression"],
    "model": ["config", "weights", "checkpoint", "expression", "layers"],
    "backend/scalar": ["weights", "backend", "expression", "layers"],
    "backend/cuda": ["weights", "backend", "tokens"],
    "backend/simd": ["weights", "backend", "backend/scalar", "expression", "layers"],
    "runtime": ["config", "checkpoint", "image", "tokens", "weights", "expression", "layers", "model", "backend",
                "backend/scalar", "backend/simd"],
}
CUDA = ("cuda_runtime_api.h", "cublasLt.h", "cub/")  # of the CUDA Toolkit, for backend/cuda alone
LIBRARIES = ("Eigen/", "unsupported/Eigen/", "xsimd/", "nlohmann/", "stb_image.h", "stb/stb_image.h")

# C++20's library, the C headers it takes over, and what the operating system and the compiler add.
STANDARD = re.compile(r"[a-z_]+")
SYSTEM = re.compile(r"(sys/[a-z]+|[a-z]*intrin|arm_neon|cpuid|std[a-z]+|string|limits|fcntl|unistd|pthread|sched|dlfcn)\.h")


def room_of(header):
    """The longest room that "llamavision/<room>/<file>.hpp" lies in; None for llamavision/<file>.hpp, above the rooms."""
    folders = header.split("/")[1:-1]
    return max((room for room in ROOMS if folders[:len(room.split("/"))] == room.split("/")), key=len,
               default="/".join(folders) or None)


def faults(root):
    for path in sorted([*root.rglob("*.[hi]pp"), *root.rglob("*.inc"), *root.rglob("*.cuh")]):
        room = room_of(path.relative_to(root).as_posix())
        if room and room not in ROOMS:
            yield f"{path}: {room} is no room"
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            match = re.match(r"\s*#\s*include\s*[<\"]([^>\"]+)[>\"]", line)
            if not match:
                continue
            target, where = match[1], f"{path}:{number}"
            if target.startswith("llamavision/"):
                other = room_of(target)
                if not (root / target).exists():
                    yield f"{where}: no header {target}"
                elif room and other not in (room, "support", *ROOMS[room]):
                    yield f"{where}: {room} must not know {other}"
            elif "\"" in line:
                yield f"{where}: headers are named from the root, <llamavision/...>"
            elif not (target.startswith(LIBRARIES) or (room == "backend/cuda" and target.startswith(CUDA)) or STANDARD.fullmatch(target) or SYSTEM.fullmatch(target)):
                yield f"{where}: {target} belongs to no library that this one depends on"


if __name__ == "__main__":
    found = list(faults(pathlib.Path(sys.argv[1])))
    print("\n".join(found) or "every include keeps to its room")
    sys.exit(bool(found))
