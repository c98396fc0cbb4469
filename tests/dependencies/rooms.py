#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the walls between the rooms: rooms.py INCLUDE_FOLDER reads every #include, every namespace that is opened, and every use of a
namespace `detail`, and names each line that breaks a wall. A room declares into no other room's namespace, and uses no other room's
`detail`. Of `detail` this does not see: names that are used without the word, inside a `detail` that is opened again; names whose declaration
does not begin a line; and of a name that several rooms declare in one namespace, which of them is meant."""
import pathlib
import re
import sys

# A room may include itself, support, and what stands here. Dependencies run one way, down the list. backend/ itself holds
# only the concept, in pointers and extents, which `run` speaks; its models in the folders below may know sentences to fuse.
ROOMS = {
    "support": [],
    "config": [],
    "checkpoint": ["config", "weights"],
    "image": ["config"],
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
CODECS = ("webp/", "avif/", "libheif/")  # where they are found, for image/codecs alone
LIBRARIES = ("Eigen/", "unsupported/Eigen/", "xsimd/", "nlohmann/", "stb_image.h", "stb/stb_image.h")

# C++20's library, the C headers it takes over, and what the operating system and the compiler add.
STANDARD = re.compile(r"[a-z_]+")
SYSTEM = re.compile(r"(sys/[a-z]+|[a-z]*intrin|arm_neon|cpuid|std[a-z]+|string|limits|fcntl|unistd|pthread|sched|dlfcn)\.h")


def room_of(header):
    """The longest room that "llamavision/<room>/<file>.hpp" lies in; None for llamavision/<file>.hpp, above the rooms."""
    folders = header.split("/")[1:-1]
    return max((room for room in ROOMS if folders[:len(room.split("/"))] == room.split("/")), key=len,
               default="/".join(folders) or None)


OPENED = re.compile(r"namespace ([a-z0-9_:]+) \{")
CLOSED = re.compile(r"\} // namespace")
DECLARED = re.compile(r"[^({=;]*?\b([A-Za-z_][A-Za-z_0-9]*)(?=[({=;]| [{=]| final\b| : |$)")
USED = re.compile(r"((?:[a-z_0-9]+::)*)detail::([A-Za-z_][A-Za-z_0-9]*)")


def scopes(path):
    """(line number, the namespaces around it, the line without its comment) for each line of the file."""
    around = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if match := OPENED.match(line):
            around.append(match[1])
        elif CLOSED.match(line) and around:
            around.pop()
        else:
            yield number, "::".join(around), line.split("//")[0]


def declarations(paths, root):
    """Name of a `detail` and name in it -> the rooms that declare it."""
    found = {}
    for path in paths:
        for _, around, line in scopes(path):
            if around.endswith("detail") and line[:1] not in (" ", "}", "#", "") and (match := DECLARED.match(line)):
                found.setdefault((around, match[1]), set()).add(room_of(path.relative_to(root).as_posix()))
    return found


def details_of_others(paths, root):
    declared = declarations(paths, root)
    known = {around for around, _ in declared}
    for path in paths:
        room = room_of(path.relative_to(root).as_posix())
        for number, around, line in scopes(path):
            for prefix, name in USED.findall(line):
                outer = around.split("::")
                tried = ["::".join([*outer[:depth], *filter(None, prefix.split("::")), "detail"]) for depth in range(len(outer), -1, -1)]
                meant = next((namespace for namespace in tried if namespace in known), None)
                rooms = declared.get((meant, name), {room})
                if room not in rooms:
                    yield f"{path}:{number}: {room} must not use {meant}::{name} of {' or '.join(sorted(rooms))}"


def namespaces_of_others(paths, root):
    for path in paths:
        room = room_of(path.relative_to(root).as_posix())
        for number, line in enumerate(path.read_text().splitlines(), 1):
            match = re.match(r"namespace llamavision::([a-z_]+)", line)
            if match and match[1] in ROOMS and room.split("/")[0] != match[1]:
                yield f"{path}:{number}: {room} must not declare into {match[1]}'s namespace"


def faults(root):
    paths = sorted([*root.rglob("*.[hi]pp"), *root.rglob("*.inc"), *root.rglob("*.cuh")])
    yield from namespaces_of_others(paths, root)
    yield from details_of_others(paths, root)
    for path in paths:
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
            elif not (target.startswith(LIBRARIES) or (room == "backend/cuda" and target.startswith(CUDA)) or
                      (path.parent.name == "codecs" and target.startswith(CODECS)) or STANDARD.fullmatch(target) or SYSTEM.fullmatch(target)):
                yield f"{where}: {target} belongs to no library that this one depends on"


if __name__ == "__main__":
    found = list(faults(pathlib.Path(sys.argv[1])))
    print("\n".join(found) or "every room keeps to its walls")
    sys.exit(bool(found))
