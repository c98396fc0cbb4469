#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tokens a second of a model that is several times larger than its memory, beside what the disk reads at most.

    beyond_memory.py --memory 2e9 --packed 11b.packed build/release/bin/llamavision --config 11b --random --text q4 --vision bf16
    beyond_memory.py --memory 16e9 --packed 90b.packed build/release/bin/llamavision --config 90b --random --text q4 --vision bf16

The weights are laid out in the packed file first, where they are not there yet, without a limit. Then `PROGRAM bench ...
--packed FILE --beyond-memory` runs in a control group that may use MEMORY bytes, page cache included (needs the right to make
one, as root has it), with a short answer and a long one: what differs is what tokens took and read. The disk's rate is that of
the packed file read from its start to its end past the page cache, before and after."""
import argparse
import json
import mmap
import os
import pathlib
import resource
import subprocess
import sys
import time

from measuring import say

SHORT, LONG = 2, 6  # tokens
PIECE = 1 << 24  # bytes


class MemoryGroup:
    """A control group below this process's own that may use so many bytes."""

    def __init__(self, limit):
        for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers not in ("", "memory"):
                continue
            root, name = ("/sys/fs/cgroup", "memory.max") if controllers == "" else ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            parent = pathlib.Path(root + path)
            self.folder = parent / f"llamavision_{os.getpid()}"
            try:
                if controllers == "":
                    (parent / "cgroup.subtree_control").write_text("+memory")
                self.folder.mkdir()
                (self.folder / name).write_text(str(int(limit)))
                return
            except OSError:
                if self.folder.exists():
                    self.folder.rmdir()
        raise SystemExit("beyond_memory.py needs the right to make a control group that limits memory")

    def join(self):
        (self.folder / "cgroup.procs").write_text(str(os.getpid()))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.folder.rmdir()


def disk_rate(file):
    """Bytes a second, past the page cache where the file system can do that."""
    direct = getattr(os, "O_DIRECT", 0)
    try:
        number = os.open(file, os.O_RDONLY | direct)
    except OSError:
        number = os.open(file, os.O_RDONLY)
    try:
        os.posix_fadvise(number, 0, 0, os.POSIX_FADV_DONTNEED)
        room, begin, total = mmap.mmap(-1, PIECE), time.monotonic(), 0
        while got := os.readv(number, [room]):
            total += got
        return total / (time.monotonic() - begin)
    finally:
        os.close(number)


def bench(command, before=None):
    """What it prints, and how many bytes it read from a disk."""
    def read_so_far():
        return 512 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_inblock

    start = read_so_far()
    said = subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE, text=True, preexec_fn=before).stdout
    return json.loads(said), read_so_far() - start


def measure(options, words):
    command = [options.program, "bench", *words, "--packed", options.packed, "--tiles", 1, "--prompt", 4, "--json"]
    if not options.packed.exists():
        say(f"laying out {options.packed}")
        bench([*command, "--beyond-memory", "--answer", 0])
    size = options.packed.stat().st_size
    rates = [disk_rate(options.packed)]
    figures = {}
    with MemoryGroup(options.memory) as group:
        for tokens in (SHORT, LONG):
            say(f"{tokens} tokens in {options.memory / 1e9:.1f} GB")
            figures[tokens] = bench([*command, "--beyond-memory", "--answer", tokens], group.join)
    rates.append(disk_rate(options.packed))
    said = figures[LONG][0]
    seconds = said["decode"]["seconds"]
    return {"model": said["model"], "vision": said["vision"], "text": said["text"], "file": size, "memory": options.memory,
            "peak": said["memory"]["peak"], "picture": said["image"][0]["seconds"], "token": seconds,
            "read": (figures[LONG][1] - figures[SHORT][1]) / (LONG - SHORT), "disk": sum(rates) / len(rates)}


def report(f):
    rate = f["read"] / f["token"]
    return (f"{f['model']}; vision {f['vision']}, text {f['text']}: a file of {f['file'] / 1e9:.1f} GB, {f['memory'] / 1e9:.1f} GB of memory\n"
            f"a picture of 1 tile  {f['picture']:8.1f} s\n"
            f"a token              {f['token']:8.2f} s, {1 / f['token']:.3f} tok/s: {f['read'] / 1e9:.2f} GB read, {rate / 1e9:.2f} GB/s, "
            f"{100 * rate / f['disk']:.0f} % of the disk's {f['disk'] / 1e9:.2f} GB/s\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memory", type=float, required=True, metavar="BYTES", help="what the program may use")
    parser.add_argument("--packed", type=pathlib.Path, required=True, metavar="FILE", help="on the disk that is measured; kept")
    parser.add_argument("--json", action="store_true", help="one object instead of words")
    parser.add_argument("program")
    options, words = parser.parse_known_args()
    figures = measure(options, words)
    print(json.dumps(figures) if options.json else report(figures), end="\n" if options.json else "")


if __name__ == "__main__":
    main()
