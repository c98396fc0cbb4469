#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The house rules: house.py ROOT [CLANG_FORMAT]. Without the formatter: licence lines, include guards, file lengths and
what the top level holds. With it: whether every C++ file is formatted as .clang-format says."""
import pathlib
import subprocess
import sys

LONGEST = 450
TOP = {"CMakeLists.txt", "CMakePresets.json", "LICENSE", "README.md",
       "include", "examples", "tests", "benchmarks", "docs", "findings"}
CODE = {".hpp", ".ipp", ".inc", ".cpp", ".cu", ".cuh"}
SOURCES = CODE | {".py", ".cmake", ".sh"}


def files(root):
    for folder in ("include", "examples", "tests", "benchmarks"):
        yield from sorted(path for path in (root / folder).rglob("*")
                          if path.suffix in SOURCES or path.name == "CMakeLists.txt")


def faults(root):
    for path in root.iterdir():
        if path.name not in TOP and not path.name.startswith((".", "build")):
            yield f"{path.name}: the top level holds {', '.join(sorted(TOP))} and dotfiles, nothing more"
    for path in files(root):
        lines = path.read_text().splitlines()
        if not any("SPDX-License-Identifier: Apache-2.0" in line for line in lines[:2]):
            yield f"{path}: the first line names the licence"
        if path.suffix in (".hpp", ".cuh") and "#pragma once" not in lines:
            yield f"{path}: no #pragma once"
        if len(lines) > LONGEST:
            yield f"{path}: {len(lines)} lines; one idea fits in {LONGEST}"


if __name__ == "__main__":
    root = pathlib.Path(sys.argv[1])
    if len(sys.argv) > 2:
        sys.exit(subprocess.run([sys.argv[2], "--dry-run", "-Werror",
                                 *(path for path in files(root) if path.suffix in CODE)]).returncode)
    found = list(faults(root))
    print("\n".join(found) or "every file keeps to the house rules")
    sys.exit(bool(found))
