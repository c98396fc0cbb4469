#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a user of the templates pays: compiles each program here with -O2 and prints seconds of one core and peak memory.
measure.py [--flags "-O2"] [COMPILER...]: without names, g++ and clang++ where they are installed."""
import argparse
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
INCLUDES = [f"-I{ROOT / 'include'}", "-isystem/usr/include/eigen3", "-isystem/usr/include/stb"]


def compile_once(compiler, flags, source, output):
    """(seconds of user and system time, MiB of the largest process) of one compilation; compilers fork, so all count."""
    command = [compiler, "-std=c++20", *flags, *INCLUDES, "-c", str(source), "-o", output]
    child = subprocess.Popen(command)
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        sys.exit(f"failed: {shlex.join(command)}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("compilers", nargs="*", default=[name for name in ("g++", "clang++") if shutil.which(name)])
    parser.add_argument("--flags", default="-O2")
    arguments = parser.parse_args()
    print(f"| compiler, {arguments.flags} | program | seconds | MiB |\n|---|---|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        for compiler in arguments.compilers:
            version = subprocess.run([compiler, "-dumpfullversion", "-dumpversion"], capture_output=True, text=True)
            separate = ["-DLLAMAVISION_SEPARATE", "-DLLAMAVISION_PUBLISHED"]
            published = HERE / "published.cpp"  # needs them
            programs = [(source, source.stem, []) for source in sorted(HERE.glob("*.cpp")) if source != published]
            programs += [(source, f"{source.stem}, with separate", separate) for source in (HERE / "minimal.cpp", published)]
            programs += [(source, f"separate/{source.stem}, once", separate)
                         for source in sorted((ROOT / "include/llamavision/separate").glob("*.cpp"))]
            for source, name, extra in programs:
                flags = shlex.split(arguments.flags) + extra
                seconds, memory = compile_once(compiler, flags, source, f"{folder}/unit.o")
                print(f"| {compiler} {version.stdout.split()[0]} | {name} | {seconds:.1f} | {memory:.0f} |", flush=True)
