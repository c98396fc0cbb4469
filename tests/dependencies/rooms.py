#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the walls between the rooms: rooms.py INCLUDE_FOLDER reads every #include and names each one that breaks them."""
import pathlib
import re
import sys

# A room may include itself, support, and what stands here. Dependencies run one way, down the list.
ROOMS = {
    "support": [],
    "config": [],
    "checkpoint": ["config"],
    "image": [],
    "tokens": ["config"],
    "weights": ["config", "checkpoint"],
    "expression": ["config", "checkpoint", "weights"],
    "layers": ["config", "weights", "expression"],
    "model": ["config", "weights", "expression", "layers"],
    "backend": ["config", "weights", "expression", "layers"],
    "runtime": ["config", "checkpoint", "image", "tokens", "weights", "expression", "layers", "model", "backend"],
}
LIBRARIES = ("Eigen/", "unsupported/Eigen/", "xsimd/", "nlohmann/", "stb_image.h", "stb/stb_image.h")

# C++20's library, the C headers it takes over, and what the operating system and the compiler add.
STANDARD = re.compile(r"[a-z_]+")
SYSTEM = re.compile(r"(sys/)?[a-z0-9]+\.h")


def faults(root):
    for path in sorted(root.rglob("*.hpp")):
        parts = path.relative_to(root / "llamavision").parts
        room = parts[0] if len(parts) > 1 else None  # llamavision/model.hpp stands above the rooms
        if room is not None and room not in ROOMS:
            yield f"{path}: {room} is no room"
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            match = re.match(r"\s*#\s*include\s*[<\"]([^>\"]+)[>\"]", line)
            if not match:
                continue
            target, where = match[1], f"{path}:{number}"
            if target.startswith("llamavision/"):
                other = target.split("/")[1]
                if not (root / target).exists():
                    yield f"{where}: no header {target}"
                elif room and other not in [room, "support", *ROOMS[room]]:
                    yield f"{where}: {room} must not know {other}"
            elif "\"" in line:
                yield f"{where}: headers are named from the root, <llamavision/...>"
            elif not (target.startswith(LIBRARIES) or STANDARD.fullmatch(target) or SYSTEM.fullmatch(target)):
                yield f"{where}: {target} belongs to no library that this one depends on"


if __name__ == "__main__":
    found = list(faults(pathlib.Path(sys.argv[1])))
    print("\n".join(found) or "every include keeps to its room")
    sys.exit(bool(found))
